"""Optical flow between neighbouring frames by torchvision's RAFT (Teed and Deng 2020, arXiv 2003.12039)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.optical_flow import raft_large

from models.encoders.networks.filling import fill

RANDOM_GAIN = 1.0
SIDE_MULTIPLE = 8
MIN_SIDE = 128
PAIRS_AT_ONCE = 8
"""Every pair needs all correlations between two maps of an eighth of the size."""


def load_raft(weights: int | dict[str, Any], device: str) -> nn.Module:
    """Build `raft_large` and load the weights strictly."""
    network = raft_large()
    fill(network, weights, RANDOM_GAIN)
    return network.eval().requires_grad_(False).to(device)


def raft_flow(network: nn.Module, frames: np.ndarray, n_updates: int) -> Tensor:
    """Return the flow from each frame to the next.

    Parameters
    ----------
    frames : uint8 (T + 1, H, W, 3)
    n_updates : refinement steps

    Returns
    -------
    float32 (T, 2, H, W): x and y in pixels

    Raises
    ------
    ValueError
        a side is below 128 pixels, where RAFT's correlation pyramid ends

    Notes
    -----
    Sides are padded to multiples of 8 by repeating the border on both sides, and cut again (video_features does so).
    """
    height, width = frames.shape[1:3]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"RAFT needs frames of at least {MIN_SIDE} pixels, got {width} x {height}")
    device = next(network.parameters()).device
    pixels = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1
    down, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
    top, left = down // 2, right // 2
    pixels = F.pad(pixels, (left, right - left, top, down - top), mode="replicate")
    first, second = pixels[:-1].split(PAIRS_AT_ONCE), pixels[1:].split(PAIRS_AT_ONCE)
    found = [network(*pair, num_flow_updates=n_updates)[-1] for pair in zip(first, second, strict=True)]
    return torch.cat(found)[:, :, top : top + height, left : left + width]
