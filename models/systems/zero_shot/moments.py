"""Moments in seconds out of the rows of a video and their scores."""

import math

import numpy as np

from models.systems.zero_shot.config import Config
from models.systems.zero_shot.threshold_merge import merged_spans
from models.systems.zero_shot.timed_scores import TimedScores
from models.systems.zero_shot.watershed import watershed_spans


def localised(
    texts: np.ndarray, rows: np.ndarray, scored: TimedScores, duration_s: float, config: Config
) -> np.ndarray:
    """Return the moments of a query by the localiser of the settings, best first, float64 (n, 3): start, end, score.

    Parameters
    ----------
    texts : (texts, D), the query and its other wordings
    rows : (T, D), of one video in time
    scored : what the texts give these rows
    """
    if config.localiser == "segments":
        # A search by another localiser does not wait for torch.
        from models.systems.zero_shot.segments import ranked, segment_spans

        spans = ranked(np.concatenate([segment_spans(rows[:, None], text, config.segments) for text in texts]))
    elif config.localiser == "watershed":
        spans = watershed_spans(rows, scored.scores, config.watershed)
    else:
        if config.clip_s is not None:
            scored = scored.on_clips(config.clip_s, math.ceil(duration_s / config.clip_s))
        spans = merged_spans(scored.scores, config.threshold_merge)
    return in_seconds(spans, scored.times)


def in_seconds(spans: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return spans (first row, the one after the last, score) with the start and end of these rows."""
    first, last = spans[:, 0].astype(int), spans[:, 1].astype(int) - 1
    return np.stack([times[first, 0], times[last, 1], spans[:, 2]], axis=1)
