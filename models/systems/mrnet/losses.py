"""Loss of MRNet: overlap regression, two contrasts, and the density of the learned masks.

Source: xian-sh/MRNet; the contrasts are those of MCG-NJU/MMN.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.systems.mrnet.config import LossConfig

LATE_SHARE = 0.01


def loss_terms(
    outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], config: LossConfig, batch_size: int, epoch: int
) -> dict[str, Tensor]:
    """Return the scalar terms of the loss, and `total`.

    Parameters
    ----------
    outputs : of `MrnetNetwork.forward`
    batch : `iou` float32 (S, C), overlap of candidates with moments; `video_of_query` int64 (S,), place among the B
        maps; `map_video` int64 (B,), number of the video that a map shows; `moment_iou` float32 (S, S), overlap of the
        moments with one another
    batch_size : of the settings, whatever the present batch holds; scales the floor of the density
    epoch : counted from zero
    """
    outputs = {name: tensor.float() for name, tensor in outputs.items()}
    target = ((batch["iou"] - config.min_iou) / (config.max_iou - config.min_iou)).clamp(0, 1)
    overlap = F.binary_cross_entropy_with_logits(outputs["iou_logits"], target)
    video, sentence = _contrasts(outputs, batch, config)
    # parity: one density per video of the batch, though it does not depend on the video.
    density = outputs["density"] * len(batch["map_video"])
    sparse = config.sparse_weight * density
    is_dense = density.detach() >= config.sparse_floor * batch_size
    # parity: the density counts a second time while it is above its floor.
    others = config.contrastive_weight * (video + sentence) + sparse + torch.where(is_dense, sparse, 0.0)
    share = 1.0 if epoch < config.all_losses_epochs else LATE_SHARE
    terms = {"overlap": overlap, "video": video, "sentence": sentence, "density": density}
    return terms | {"total": overlap + share * others}


def _contrasts(outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor], config: LossConfig) -> tuple[Tensor, Tensor]:
    """Return the contrast of positive candidates with all queries, and of queries with all candidates."""
    queries, candidates, own = outputs["queries"], outputs["candidates"], batch["video_of_query"]
    n_queries = len(queries)
    best = batch["iou"].topk(config.positives, dim=1).indices
    positives = candidates[own[:, None], best]
    everyone = positives @ queries.T
    itself = torch.eye(n_queries, dtype=torch.bool, device=queries.device)
    everyone = everyone - config.margin * itself[:, None]
    positive = everyone.diagonal(dim1=0, dim2=2).T
    video_of_query = batch["map_video"][own]
    is_same_video = video_of_query[:, None] == video_of_query
    # A comparison with NaN, the overlap of two equal empty moments, is false: such queries are no negatives either.
    is_alike = is_same_video & ~(batch["moment_iou"] < config.negative_iou) & ~itself
    logits = (everyone / config.tau_video).masked_fill(is_alike[:, None], -torch.inf)
    video = (logits.logsumexp(dim=-1) - positive / config.tau_video).mean()

    # parity: a candidate of the own video that overlaps the moment counts as one of cosine 0, not as none.
    within = outputs["contrastive"].where(batch["iou"] < config.negative_iou, 0.0)
    negative = (within / config.tau_sentence).exp().sum(dim=1)
    is_other = video_of_query[:, None] != batch["map_video"]
    across = torch.einsum("sd,bcd->sbc", queries, candidates)
    negative = negative + (across / config.tau_sentence).exp().sum(dim=-1).where(is_other, 0.0).sum(dim=1)
    positive = positive / config.tau_sentence
    sentence = ((positive.exp() + negative[:, None] + 1e-6).log() - positive).mean()
    return video, sentence
