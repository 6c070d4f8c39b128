"""Moments in seconds <-> step indices, and the step pairs of the saliency loss.

Reproduces the numbers of HuiGuanLab/IMG (index rule of 26hzhang/VSLNet).
"""

import random

import numpy as np


def span_to_steps(start_s: float, end_s: float, n_steps: int, duration_s: float) -> tuple[int, int]:
    """Return the inclusive step indices whose cell [first, last] overlaps a moment best.

    Parameters
    ----------
    start_s, end_s : seconds, clipped to the video; an empty or reversed moment gives (0, 0)
    n_steps : number of steps of the video, >= 1
    duration_s : seconds, > 0

    Returns
    -------
    (first, last)
        Arg-max of the IoU over all pairs of step starts and step ends, first maximum in row-major order.

    Notes
    -----
    Cell bounds are float32 and computed as `index / n_steps * duration_s` (`steps_to_seconds` uses another order of
    operations), the IoU is float64 with the hull, at least 1e-12, as denominator.
    """
    index = np.arange(n_steps + 1, dtype=np.float32)
    bounds = (index / np.float32(n_steps) * np.float32(duration_s)).astype(np.float64)
    starts, ends = bounds[:-1, None], bounds[None, 1:]
    overlap = np.maximum(0.0, np.minimum(ends, end_s) - np.maximum(starts, start_s))
    hull = np.maximum(1e-12, np.maximum(ends, end_s) - np.minimum(starts, start_s))
    first, last = divmod(int(np.argmax(overlap / hull)), n_steps)
    return first, last


def steps_to_seconds(first: int, last: int, n_steps: int, duration_s: float) -> tuple[np.float32, np.float32]:
    """Return start and end (float32 seconds) of the inclusive steps `first`..`last` of `n_steps`."""
    duration, count = np.float32(duration_s), np.float32(n_steps)
    return np.float32(first) * duration / count, np.float32(last + 1) * duration / count


def draw_saliency_pairs(
    first: int, last: int, n_steps: int, rng: random.Random, n_pairs: int = 2
) -> tuple[list[int], list[int]]:
    """Draw distinct steps inside and outside a moment.

    Parameters
    ----------
    first, last : inclusive step indices; `first` > `last` is read as `first` = `last`
    n_steps : number of steps of the video
    rng : source of the draws; positives are drawn before negatives
    n_pairs : steps to draw on either side

    Returns
    -------
    positives, negatives : `n_pairs` indices each
        `first` repeated where the moment has fewer steps than that, 0 repeated where the rest of the video has.
    """
    first = min(first, last)
    inside = range(first, last + 1)
    outside = [*range(first), *range(last + 1, n_steps)]
    positives = rng.sample(inside, n_pairs) if len(inside) >= n_pairs else [first] * n_pairs
    negatives = rng.sample(outside, n_pairs) if len(outside) >= n_pairs else [0] * n_pairs
    return positives, negatives
