"""Answers of a network in evaluation mode: moments, steps and captions of a batch."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.systems.quag.captioning import Caption, write_captions
from models.systems.quag.config import Config
from models.systems.quag.decoding import best_moments, cut_moment
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

    Each video by itself, for as many rounds as it finds steps: what its masks do not change is computed once. Of the
    batch's other videos only the length of the longest counts, and that as published only.
    """
    return [_steps_of(network, batch, sample, config) for sample in range(len(batch["query"]))]


def _steps_of(network: MomentNetwork, batch: Mapping[str, Any], sample: int, config: Config) -> list[int]:
    one = {
        name: batch[name][sample : sample + 1] for name in ("visual", "speech", "query", "valid_mask") if name in batch
    }
    context = network.context(one, network.padding)
    n_video, n_rows = int(one["valid_mask"].sum()), one["valid_mask"].shape[1]

    def scores(is_left: np.ndarray, is_boundary: np.ndarray) -> np.ndarray:
        left, boundaries = (torch.from_numpy(mask)[None].to(one["query"].device) for mask in (is_left, is_boundary))
        return network.boundary_logits(context, left, boundaries, left)[0].softmax(0).cpu().numpy()

    return cut_moment(scores, *batch["moment_rows"][sample], n_video, n_rows, config.decoding)


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
