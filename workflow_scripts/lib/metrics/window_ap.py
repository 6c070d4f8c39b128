"""Average precision and top-window IoU of lists of windows, the part that QVHighlights and CALCE share.

Reproduces jayleicn/moment_detr standalone_eval/utils.py and eval.py, which tjhd1475/CALCE lavis/tasks/mr_eval.py
follows. Two IoU formulas are used there. They are equal in exact arithmetic where windows overlap, but float64 rounds
them differently, which decides IoUs next to a threshold; so each is used where the published code uses it.
"""

from collections.abc import Iterator

import numpy as np

from workflow_scripts.lib.metrics.windows import Windows

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""0.5, 0.55, ..., 0.95."""


def cross_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the overlap over the sum of lengths less overlap (IoU A); float64 (..., 2) each, leading axes broadcast.

    Two empty windows at the same place have IoU 1 (the published code divides by zero and counts any two as a hit).
    """
    overlap = _overlap(first, second)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - overlap
    is_same = (first == second).all(axis=-1)
    return np.divide(overlap, union, out=is_same.astype(np.float64), where=union > 0)


def paired_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the overlap over the hull (IoU B); shapes as in `cross_iou`, and 1 for identical empty windows."""
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    return np.divide(_overlap(first, second), hull, out=np.ones(hull.shape), where=hull > 0)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    end, start = np.minimum(first[..., 1], second[..., 1]), np.maximum(first[..., 0], second[..., 0])
    return np.maximum(0.0, end - start)


def top_window_iou(predicted: Windows, targets: Windows) -> np.ndarray:
    """Return IoU B of every first listed window with its best target by IoU A (the first of equals).

    Parameters
    ----------
    predicted, targets : Windows of the same N queries, at least one target each

    Returns
    -------
    float64 (N,); 0 where nothing was predicted
    """
    top = predicted.spans[:, :1]
    iou = np.where(targets.valid_mask, cross_iou(top, targets.spans), -1.0)
    best = np.take_along_axis(targets.spans, iou.argmax(axis=1)[:, None, None], axis=1)
    return np.where(predicted.counts > 0, paired_iou(top[:, 0], best[:, 0]), 0.0)


def average_precision(predicted: Windows, targets: Windows) -> np.ndarray:
    """Return the interpolated average precision at the ten thresholds.

    Parameters
    ----------
    predicted : Windows in the order of their ranking
    targets : Windows of the same N queries, at least one each

    Returns
    -------
    float64 (N, 10); 0 where nothing was predicted

    Notes
    -----
    A prediction takes, of the targets not yet taken, the one with the highest IoU A, if that reaches the threshold.
    Of targets with equal IoU the one listed last is taken.
    """
    ap = np.zeros((len(predicted.counts), len(THRESHOLDS)))
    for rows, n_targets in _by_number_of_targets(targets.counts):
        some, wanted = predicted.rows(rows), targets.rows(rows).head(n_targets)
        is_pair = some.valid_mask[:, :, None] & wanted.valid_mask[:, None, :]
        iou = np.where(is_pair, cross_iou(some.spans[:, :, None], wanted.spans[:, None]), -1.0)
        ap[rows] = _interpolated(_hits(iou), wanted.counts)
    return ap


def _by_number_of_targets(counts: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yield groups of queries with 1, 2, 3 to 4, 5 to 8, ... targets, so that little of a group's arrays is padding."""
    powers = np.ceil(np.log2(np.maximum(counts, 1))).astype(int)
    for power in np.unique(powers):
        rows = np.flatnonzero(powers == power)
        yield rows, int(counts[rows].max())


def _hits(iou: np.ndarray) -> np.ndarray:
    """Return which predictions hit, bool (N, T, P), from IoUs (N, P, G) that are -1 where there is no pair."""
    n_queries, n_predicted, n_targets = iou.shape
    thresholds = np.array(THRESHOLDS)
    is_free = np.ones((n_queries, len(thresholds), n_targets), dtype=bool)
    hits = np.zeros((n_queries, len(thresholds), n_predicted), dtype=bool)
    for rank in range(n_predicted):
        free_iou = np.where(is_free, iou[:, None, rank], -1.0)
        best = n_targets - 1 - free_iou[..., ::-1].argmax(axis=-1)[..., None]
        hit = np.take_along_axis(free_iou, best, axis=-1) >= thresholds[:, None]
        np.put_along_axis(is_free, best, np.take_along_axis(is_free, best, axis=-1) & ~hit, axis=-1)
        hits[..., rank] = hit[..., 0]
    return hits


def _interpolated(hits: np.ndarray, n_targets: np.ndarray) -> np.ndarray:
    """Return the area under the precision envelope, float64 (N, T)."""
    precision = np.cumsum(hits, axis=-1) / np.arange(1, hits.shape[-1] + 1)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    return (envelope * hits).sum(axis=-1) / n_targets[:, None]
