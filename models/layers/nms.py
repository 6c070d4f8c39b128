"""Greedy suppression of overlapping spans that stops as soon as enough of them are kept."""

import numpy as np

# `suppress` of the metrics (ranked_spans.py) is the evaluators' own, over many queries at once and by two
# published rules. Neither may import the other: metrics are plain arrays that need no model, models know no evaluator.
# A test holds them together.


def best_apart(order: np.ndarray, spans: np.ndarray, threshold: float, n_wanted: int | None) -> list[int]:
    """Return the places of the best spans that do not overlap one another too much.

    Parameters
    ----------
    order : int (C,), places of the spans by descending score
    spans : float32 (C, 2), start and end
    threshold : a span is dropped if its overlap over the hull with a kept one is above, in float32
    n_wanted : stop when so many are kept; None: never

    Returns
    -------
    Places in descending score; the first `n_wanted` of what MCG-NJU/MMN and xian-sh/MRNet keep.
    """
    left, bound = np.asarray(order), np.float32(threshold)
    kept: list[int] = []
    starts, ends = np.ascontiguousarray(spans[left, 0]), np.ascontiguousarray(spans[left, 1])
    while len(left) and (n_wanted is None or len(kept) < n_wanted):
        kept.append(int(left[0]))
        overlap = np.minimum(ends, ends[0]) - np.maximum(starts, starts[0])
        hull = np.maximum(ends, ends[0]) - np.minimum(starts, starts[0])
        # Two equal empty spans have no overlap to divide: the second goes.
        iou = np.divide(np.maximum(overlap, 0), hull, out=np.ones_like(hull), where=hull > 0)
        is_apart = iou <= bound
        is_apart[0] = False
        left, starts, ends = left[is_apart], starts[is_apart], ends[is_apart]
    return kept
