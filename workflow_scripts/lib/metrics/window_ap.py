"""Average precision and top-window IoU of lists of windows, the part that QVHighlights and CALCE share.

Reproduces jayleicn/moment_detr standalone_eval/utils.py and eval.py, which tjhd1475/CALCE lavis/tasks/mr_eval.py
follows. Two IoU formulas are used there. They are equal in exact arithmetic where windows overlap, but float64 rounds
them differently, which decides IoUs next to a threshold; so each is used where the published code uses it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.windows import Windows

THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))
"""0.5, 0.55, ..., 0.95."""
R1_THRESHOLDS = (0.5, 0.7)
AP_THRESHOLDS = (0.5, 0.75)
"""Of the ten, those that are reported."""


EmptyWindows = Literal["published", "identical"]
"""What two windows without length have in common, see `scored.Options`."""


def cross_iou(first: np.ndarray, second: np.ndarray, empty: EmptyWindows) -> np.ndarray:
    """Return the overlap over the sum of lengths less overlap (IoU A); float64 (..., 2) each, leading axes broadcast.

    Of two empty windows it is infinite (`published`), or 1 at the same place and else 0 (`identical`).

    Notes
    -----
    parity: the published code divides 0 by 0 there. NaN is below no threshold and sorts above every number, so that the
    two hit each other in mAP at any threshold, wherever they are; an infinite IoU does the same.
    """
    overlap = _overlap(first, second)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - overlap
    is_same = (first == second).all(axis=-1)
    of_empty = is_same.astype(np.float64) if empty == "identical" else np.full(union.shape, np.inf)
    return np.divide(overlap, union, out=of_empty, where=union > 0)


def paired_iou(first: np.ndarray, second: np.ndarray, empty: EmptyWindows) -> np.ndarray:
    """Return the overlap over the hull (IoU B); shapes as in `cross_iou`.

    Of two empty windows at the same place it is 0 (`published`, as the published code fills in) or 1 (`identical`).
    """
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    of_empty = np.full(hull.shape, 1.0 if empty == "identical" else 0.0)
    return np.divide(_overlap(first, second), hull, out=of_empty, where=hull > 0)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    end, start = np.minimum(first[..., 1], second[..., 1]), np.maximum(first[..., 0], second[..., 0])
    return np.maximum(0.0, end - start)


def top_window_iou(top: np.ndarray, targets: Windows, empty: EmptyWindows) -> np.ndarray:
    """Return IoU B of one window per query with its best target by IoU A (the first of equals).

    Parameters
    ----------
    top : float64 (N, 2), start and end in seconds
    targets : Windows of the same N queries, at least one each

    Returns
    -------
    float64 (N,)
    """
    iou = np.where(targets.valid_mask, cross_iou(top[:, None], targets.spans, empty), -1.0)
    best = np.take_along_axis(targets.spans, iou.argmax(axis=1)[:, None, None], axis=1)
    return paired_iou(top, best[:, 0], empty)


FIRST = {empty: FirstSpan(partial(top_window_iou, empty=empty)) for empty in get_args(EmptyWindows)}
"""How R1 is decided, by what two empty windows have in common."""


def average_precision(predicted: Windows, targets: Windows, empty: EmptyWindows) -> np.ndarray:
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
        iou = np.where(is_pair, cross_iou(some.spans[:, :, None], wanted.spans[:, None], empty), -1.0)
        ap[rows] = _interpolated(_hits(iou), wanted.counts)
    return ap


@dataclass(frozen=True)
class WindowScores:
    """Average precisions and first windows of N queries.

    Attributes
    ----------
    ap : float64 (N, 10), at `THRESHOLDS`
    iou : float64 (N,), of the first listed window; 0 where nothing was predicted
    first : what makes it a hit
    """

    ap: np.ndarray
    iou: np.ndarray
    first: FirstSpan

    def precision(self) -> dict[str, float]:
        """Return mAP by threshold and its `average`, in percent."""
        means = self.ap.mean(axis=0)
        by_threshold = {str(t): float(100 * value) for t, value in zip(THRESHOLDS, means, strict=True)}
        return by_threshold | {"average": float(100 * means.mean())}

    def recall(self) -> dict[str, float]:
        """Return R1 by threshold, in percent."""
        return {str(t): float(np.mean(self.first.is_hit(self.iou, t)) * 100) for t in THRESHOLDS}

    def metrics(self) -> dict[str, np.ndarray]:
        """Return the values of every query, float64 (N,), by the names in `MOMENT_METRICS`."""
        precision = {f"mAP@{t}": self.ap[:, THRESHOLDS.index(t)] for t in AP_THRESHOLDS}
        return self.first.hits(self.iou, R1_THRESHOLDS) | {"mIoU": self.iou} | precision | {"mAP": self.ap.mean(axis=1)}


def score_windows(predicted: Windows, ranked: Windows, targets: Windows, empty: EmptyWindows) -> WindowScores:
    """Score windows.

    Parameters
    ----------
    predicted : Windows as they are listed
    ranked : Windows as they are ranked
    targets : Windows of the same queries, at least one each
    """
    first = FIRST[empty]
    iou = np.where(predicted.counts > 0, first.iou(predicted.spans[:, 0], targets), 0.0)
    return WindowScores(average_precision(ranked, targets, empty), iou, first)


MOMENT_METRICS = (
    *(f"R1@{t}" for t in R1_THRESHOLDS),
    "mIoU",
    *(f"mAP@{t}" for t in AP_THRESHOLDS),
    "mAP",
)
"""The names of `WindowScores.metrics`, in its order."""


def round_percent(value: float) -> float:
    """Return a number with two decimals, rounded as the published scripts do: through its decimal text."""
    return float(f"{value:.2f}")


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
