"""Losses of the three tasks, and QUAG's contrast of video and speech."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import LongTensor, Tensor

from models.systems.quag.config import LossConfig
from models.systems.quag.network import CLOSED
from models.systems.quag.words import PAD


def loss_terms(outputs: Mapping[str, Tensor], batch: Mapping[str, Any], config: LossConfig) -> dict[str, Tensor]:
    """Return `total`, the loss that is minimised, and its terms: that of the batch's task, and QUAG's `contrast`.

    Parameters
    ----------
    outputs : of `MomentNetwork.forward`
    batch : of `samples.collate`; moments: `start_row`, `end_row` int64 (B,); steps: `next_row` int64 (B,), inside the
        moment mask; captions: `next_words` int64 (B, L)
    """
    task = batch["task"]
    terms = {task: _TASK_LOSSES[task](outputs, batch, config)}
    total = terms[task]
    if "similarity" in outputs:
        videos = None if config.same_video_negatives else batch["video_numbers"]
        terms["contrast"] = contrast(outputs["similarity"], videos)
        total = total + config.contrastive_weight * terms["contrast"]
    return {"total": total} | terms


def _moment_loss(outputs: Mapping[str, Tensor], batch: Mapping[str, Any], config: LossConfig) -> Tensor:
    """Return the cross-entropy of every row with being the start, and likewise the end."""
    valid, losses = batch["valid_mask"], []
    for name in ("start", "end"):
        target = F.one_hot(batch[f"{name}_row"], valid.shape[1]).to(outputs[name].dtype)
        # parity: the mean over all rows of all videos, so that long ones weigh more.
        losses.append(F.binary_cross_entropy_with_logits(outputs[name][valid], target[valid]))
    return (losses[0] + losses[1]) / 2


def _boundary_loss(outputs: Mapping[str, Tensor], batch: Mapping[str, Any], config: LossConfig) -> Tensor:
    """Return the cross-entropy of the rows of the moment's rest with the next boundary."""
    logits = outputs["boundary"].masked_fill(~batch["moment_mask"], CLOSED)
    return F.cross_entropy(logits, batch["next_row"])


def _caption_loss(outputs: Mapping[str, Tensor], batch: Mapping[str, Any], config: LossConfig) -> Tensor:
    """Return the cross-entropy of the words."""
    # parity: what follows a caption's end counts unless asked otherwise.
    ignored = PAD if config.ignore_pad else -1
    return F.cross_entropy(outputs["words"].flatten(0, 1), batch["next_words"].flatten(), ignore_index=ignored)


_TASK_LOSSES = {"moments": _moment_loss, "steps": _boundary_loss, "captions": _caption_loss}


def contrast(similarity: Tensor, video_numbers: LongTensor | None = None) -> Tensor:
    """Return how badly videos and speech of a batch find each other, 0 for a batch of one.

    Parameters
    ----------
    similarity : float (B, B), rows are videos
    video_numbers : int64 (B,), equal for items of the same video, which then are no negatives; None: all are
    """
    own = torch.arange(len(similarity), device=similarity.device)
    if video_numbers is not None:
        is_same = (video_numbers[:, None] == video_numbers) & (own[:, None] != own)
        similarity = similarity.masked_fill(is_same, -torch.inf)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.t(), own)) / 2
