"""Answers of a network in evaluation mode: moments, steps and captions of a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.systems.quag.captioning import Caption, write_captions
from models.systems.quag.config import Config
from models.systems.quag.decoding import MomentCut, best_moments
from models.systems.quag.network import MomentNetwork
from models.systems.quag.words import CaptionWords


@torch.no_grad()
def find_moments(network: MomentNetwork, batch: Mapping[str, Any], config: Config) -> list[tuple[int, int]]:
    """Return first and last row of the moment of every query; the last may be before the first, as published."""
    found = network(batch)
    return best_moments(found["start"], found["end"], batch["valid_mask"], config.decoding.enforce_order)


@torch.no_grad()
def find_steps(network: MomentNetwork, batch: Mapping[str, Any], config: Config) -> list[list[int]]:
    """Return the boundaries of the steps in every moment of `batch["moment_rows"]`, in rows.

    What masks do not change is computed once, and a video for as many rounds as it finds steps. Of the other videos of
    the batch only the length of the longest counts, and that as published only.
    """
    context = network.for_many_masks(network.context(batch, network.padding))
    lengths, n_rows = batch["valid_mask"].sum(1).tolist(), batch["valid_mask"].shape[1]
    cuts = [
        MomentCut(*rows, length, n_rows, config.decoding)
        for rows, length in zip(batch["moment_rows"], lengths, strict=True)
    ]
    active = cuts
    while going_on := [cut for cut in active if cut.goes_on]:
        if len(going_on) < len(active):
            context = context.only([number for number, cut in enumerate(active) if cut.goes_on])
        active = going_on
        left, boundaries = (
            torch.from_numpy(np.stack(masks)).to(context.rows.device)
            for masks in zip(*((cut.is_left, cut.is_boundary) for cut in active), strict=True)
        )
        scores = network.boundary_logits(context, left, boundaries, left).softmax(1).cpu().numpy()
        for cut, own in zip(active, scores, strict=True):
            cut.take(own)
    return [cut.boundaries() for cut in cuts]


@torch.no_grad()
def describe_steps(
    network: MomentNetwork, batch: Mapping[str, Any], config: Config, words: CaptionWords
) -> list[Caption]:
    """Return the best caption of every step of a batch of any size; `words.text` spells it."""
    decoding, decoder = config.decoding, network.clip4cap_model.decoder
    return write_captions(
        decoder, step_memory(network, batch), words, decoding.beams, config.data.max_words, decoding.freeze_finished
    )


@torch.no_grad()
def step_memory(network: MomentNetwork, batch: Mapping[str, Any]) -> Tensor:
    """Return what the caption decoder sees of every step, float (B, S, width)."""
    return network.memory(network.context(batch, network.padding), batch)
