"""From rows of a video and the scores of a query to ranked spans: shots, merged where their scores are alike.

Ours, after what is told of Diwan et al. 2023 (Zero-shot video moment retrieval with off-the-shelf models): shots, a
score for each, and neighbours that are merged as water rises over the ridges between basins. No published code was
read.
"""

import numpy as np

from models.systems.zero_shot.config import Watershed
from models.systems.zero_shot.ranking import directions
from models.systems.zero_shot.threshold_merge import FLAT, saliency


def watershed_spans(rows: np.ndarray, scores: np.ndarray, options: Watershed) -> np.ndarray:
    """Return the spans of a query, best first, float64 (n, 3): first row, the one after the last, score in [0, 1].

    Parameters
    ----------
    rows : (T, D), of one video in time, T at least 1
    scores : (texts, T), what each wording of the query gives every row
    """
    heights = saliency(scores).astype(np.float64)
    if not heights.any():
        return np.array([[0.0, len(rows), FLAT]])
    sums = np.concatenate([[0.0], np.cumsum(heights)])
    bounds = shot_bounds(rows, options.cut)
    while True:
        means = np.diff(sums[bounds]) / np.diff(bounds)
        ridges = np.abs(np.diff(means))
        if not len(ridges) or ridges.min() > 1 - options.alike:
            break
        bounds = np.delete(bounds, ridges.argmin() + 1)
    order = np.argsort(-means, kind="stable")
    return np.stack([bounds[:-1], bounds[1:], means], axis=1)[order]


def shot_bounds(rows: np.ndarray, cut: float) -> np.ndarray:
    """Return the first row of every shot, and how many rows (T, D) there are.

    A shot begins where a row differs from the one before, by the cosine, more than rows of this video usually do: by
    `cut` standard deviations more than the mean.
    """
    unit = directions(rows)
    changes = 1 - (unit[1:] * unit[:-1]).sum(axis=1, dtype=np.float64)
    # A video that never changes has no cuts; rounding is no change.
    is_cut = changes > max(changes.mean() + cut * changes.std(), 1e-5) if len(changes) else np.zeros(0, bool)
    return np.concatenate([[0], np.flatnonzero(is_cut) + 1, [len(rows)]])
