"""The best answer that knows only where a query's moment stands in the order of its video's moments.

Systems that see the queries of a video in the order of their annotated starts are told that much at test time. What it
is worth is a baseline for their reports.
"""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.lib.metrics.constant_span import best_constant_span
from workflow_scripts.lib.metrics.span_index import hull_iou

N_BINS = 32
"""Bins of the duration, between which the spans lie; videos of more queries than that share bins of ranks."""


def order_only_recall(
    train: Sequence[tuple[np.ndarray, np.ndarray]], test: Sequence[tuple[np.ndarray, np.ndarray]], threshold: float
) -> float:
    """Return the R1 in percent of answering each rank among n queries with the span that hits most in training.

    Parameters
    ----------
    train, test : per video moments float64 (n, 2) in shares of its duration, and the rank of each by start, (n,)
    threshold : IoU from which a moment counts as hit

    Notes
    -----
    The span is chosen for this threshold alone: the recalls of several thresholds bound a system from above, they are
    not those of one. Ranks that training lacks get the best constant span of training.
    """
    known, asked = _by_place(train), _by_place(test)
    everything = np.concatenate(list(known.values()))
    constant = best_constant_span(everything, np.ones(len(everything)), threshold, N_BINS)
    first, last = np.triu_indices(N_BINS + 1, k=1)
    spans = np.stack([first, last], axis=1) / N_BINS
    n_hit = 0
    for place, moments in asked.items():
        if place in known:
            hits = hull_iou(spans[:, None], known[place]) >= threshold
            answer = spans[hits.sum(axis=1).argmax()]
        else:
            answer = constant.spans(np.ones(1))[0]
        n_hit += int((hull_iou(answer, moments) >= threshold).sum())
    return 100.0 * n_hit / sum(map(len, asked.values()))


def _by_place(videos: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[tuple[int, int], np.ndarray]:
    """Return the moments of every (rank, n); of many queries, of every bin of rank / n."""
    found: dict[tuple[int, int], list[np.ndarray]] = {}
    for moments, ranks in videos:
        n = len(moments)
        for moment, rank in zip(moments, ranks, strict=True):
            place = (int(rank), n) if n <= N_BINS else (int((rank + 0.5) / n * N_BINS), N_BINS + 1)
            found.setdefault(place, []).append(moment)
    return {place: np.array(moments) for place, moments in found.items()}
