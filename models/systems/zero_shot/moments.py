"""Moments in seconds out of the scores of a video's rows."""

import math

import numpy as np

from models.systems.zero_shot.config import Config
from models.systems.zero_shot.threshold_merge import merged_spans
from models.systems.zero_shot.timed_scores import TimedScores


def merged_moments(scored: TimedScores, duration_s: float, config: Config) -> np.ndarray:
    """Return the moments of a query by `threshold_merge`, best first, float64 (n, 3): start, end, score.

    Parameters
    ----------
    scored : of the rows of one video
    """
    if config.clip_s is not None:
        scored = scored.on_clips(config.clip_s, math.ceil(duration_s / config.clip_s))
    return in_seconds(merged_spans(scored.scores, config.threshold_merge), scored.times)


def in_seconds(spans: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return spans (first row, the one after the last, score) with the start and end of these rows."""
    first, last = spans[:, 0].astype(int), spans[:, 1].astype(int) - 1
    return np.stack([times[first, 0], times[last, 1], spans[:, 2]], axis=1)
