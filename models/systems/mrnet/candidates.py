"""The candidate moments of a video: which pairs of clips, their times, their overlap with annotated moments.

Source: xian-sh/MRNet, after microsoft/2D-TAN.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np


def offsets(counts: Sequence[int]) -> list[tuple[int, int, bool]]:
    """Return (last clip - first clip, step of the first clip, whether a coarser group begins) after the diagonal."""
    steps, offset = [], 0
    for group, count in enumerate(counts):
        for k in range(count):
            offset += 2**group
            steps.append((offset, 2**group, group > 0 and k == 0))
    return steps


@cache
def candidate_cells(n_clips: int, counts: tuple[int, ...]) -> np.ndarray:
    """Return the candidates as int64 (C, 2), first and last clip (inclusive), in row-major order."""
    cells = [(i, i) for i in range(n_clips)]
    for offset, stride, _ in offsets(counts):
        cells += [(i, i + offset) for i in range(0, n_clips - offset, stride)]
    return np.array(sorted(cells), dtype=np.int64)


def cell_spans(cells: np.ndarray, n_clips: int, duration_s: float) -> np.ndarray:
    """Return the times of cells (C, 2) as float32 (C, 2), start and end in seconds.

    Notes
    -----
    Scaled in float32, index * duration / clips in this order: many pairs of cells overlap by exactly a half, and a
    rounding error decides which of them suppression keeps.
    """
    bounds = (cells + np.array([0, 1])).astype(np.float32)
    return bounds * np.float32(duration_s) / np.float32(n_clips)


def hull_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the overlap of float32 spans (..., 2) over their hull, as float32; NaN for two equal empty spans."""
    overlap = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    with np.errstate(invalid="ignore"):
        return np.maximum(overlap, np.float32(0)) / hull


def clamp_moment(start_s: float, end_s: float, duration_s: float) -> tuple[float, float]:
    """Return a moment cut to [0, duration]."""
    return max(start_s, 0.0), min(end_s, duration_s)
