"""What the baseline learns from training items: one span, one curve, a number of steps, two captions."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from models.systems.interface import SALIENCY_CLIP_S, Item

N_INTERVALS = 40
"""Of the grid of spans, from the start to the end of a video."""
N_BINS = 32
"""Of the curve of saliency over the length of a video."""


def constant_span(items: Sequence[Item], hit_iou: float) -> tuple[float, float]:
    """Return the span, in shares of the duration, that hits most queries; the whole video if none has a moment.

    A span hits a query if its IoU with one of its moments is `hit_iou` or more. Of equally good ones the earliest
    start, then the earliest end.
    """
    moments = [item.annotated.moments / item.duration_s for item in items if len(item.annotated.moments)]
    if not moments:
        return 0.0, 1.0
    first, last = np.triu_indices(N_INTERVALS + 1, k=1)
    spans = np.stack([first, last], axis=1) / N_INTERVALS
    n_hit = np.zeros(len(spans), dtype=np.int64)
    for own in moments:
        shared = np.minimum(spans[:, None, 1], own[:, 1]) - np.maximum(spans[:, None, 0], own[:, 0])
        hull = np.maximum(spans[:, None, 1], own[:, 1]) - np.minimum(spans[:, None, 0], own[:, 0])
        n_hit += (np.maximum(shared, 0) >= hit_iou * hull).any(axis=1)
    start, end = spans[n_hit.argmax()]
    return float(start), float(end)


def mean_saliency(items: Iterable[Item]) -> list[float]:
    """Return the mean points of clips by their place in the video, in `N_BINS` bins; flat if nothing is rated."""
    totals, counts = np.zeros(N_BINS), np.zeros(N_BINS)
    for item in items:
        if len(item.annotated.saliency):
            n_clips = max(int(item.duration_s / SALIENCY_CLIP_S), len(item.annotated.saliency))
            points = np.zeros(n_clips)
            points[: len(item.annotated.saliency)] = item.annotated.saliency.mean(axis=1)
            bins = bins_of(n_clips)
            np.add.at(totals, bins, points)
            np.add.at(counts, bins, 1)
    return (totals / np.maximum(counts, 1)).tolist()


def bins_of(n_clips: int) -> np.ndarray:
    """Return the bin that each of the clips of a video lies in, int64 (n_clips,)."""
    return (np.arange(n_clips) * N_BINS // max(n_clips, 1)).astype(np.int64)


def usual_number(counts: Iterable[int]) -> int:
    """Return the rounded mean of numbers that are not 0; 1 if there is none."""
    there = [count for count in counts if count]
    return max(1, round(sum(there) / len(there))) if there else 1


def most_frequent(texts: Iterable[str]) -> str:
    """Return the text that occurs most often, the first of equals in alphabetical order; empty if there is none."""
    counts = Counter(texts)
    return min(counts, key=lambda text: (-counts[text], text), default="")
