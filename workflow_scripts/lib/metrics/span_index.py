"""R1 at three thresholds and mean IoU of one span per query, as IMG, ADPN and VSLNet compute them.

Reproduces HuiGuanLab/IMG (from 26hzhang/VSLNet) as it ran under NumPy 1, where a predicted time (float32) and an
annotated one (float64) gave a float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.metrics.errors import NonFiniteSpan, ReversedSpan, name_some
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates

THRESHOLDS = (0.3, 0.5, 0.7)


@dataclass(frozen=True)
class SpanScores:
    """Result of `evaluate`.

    Attributes
    ----------
    metrics : `R1@0.3`, `R1@0.5`, `R1@0.7`, `mIoU`, in percent
    iou : float64 (N,), per query
    """

    metrics: dict[str, float]
    iou: np.ndarray


def hull_iou(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return overlap over hull of pairs of spans.

    Parameters
    ----------
    predicted : float (..., 2), seconds; rounded to float32 first, as the published code stores them
    reference : float64 (..., 2), seconds, not rounded; the leading axes broadcast

    Returns
    -------
    float64 (...)
        0 for disjoint spans; 1 for two empty spans at the same place, where the published code divides by zero.

    Notes
    -----
    parity: everything is float64, except that a length with both bounds predicted (the overlap of a prediction inside
    the moment, the hull of one around it) is a float32 difference. That decides some IoUs next to a threshold.
    """
    predicted = np.asarray(predicted, dtype=np.float32)
    own_length = (predicted[..., 1] - predicted[..., 0]).astype(np.float64)
    start, end = predicted[..., 0].astype(np.float64), predicted[..., 1].astype(np.float64)
    reference = np.asarray(reference, dtype=np.float64)
    true_start, true_end = reference[..., 0], reference[..., 1]
    is_inside = (start >= true_start) & (end <= true_end)
    is_around = (start <= true_start) & (end >= true_end)
    overlap = np.where(is_inside, own_length, np.minimum(end, true_end) - np.maximum(start, true_start))
    hull = np.where(is_around, own_length, np.maximum(end, true_end) - np.minimum(start, true_start))
    iou = np.divide(overlap, hull, out=np.ones_like(hull), where=hull > 0)
    return np.maximum(0.0, iou)


def recall_at(iou: np.ndarray, threshold: float) -> float:
    """Return the percentage of queries with an IoU of at least `threshold`; `iou` is float64 (N,), N >= 1."""
    return float(np.count_nonzero(iou >= threshold) / len(iou) * 100.0)


def evaluate(query_ids: Sequence[str], predicted: np.ndarray, reference: np.ndarray) -> SpanScores:
    """Score one predicted span per query.

    Parameters
    ----------
    query_ids : N names, for messages
    predicted : float (N, 2), start and end in seconds
    reference : float64 (N, 2), the annotated moment clipped to the video, in seconds

    Returns
    -------
    SpanScores

    Raises
    ------
    NonFiniteSpan, ReversedSpan
        If a predicted span is not a span.
    DuplicateQuery
        If a query is answered twice.
    ValueError
        If there is no query, or the shapes do not fit.
    """
    predicted, reference = np.asarray(predicted, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    expected = (len(query_ids), 2)
    if not len(query_ids) or predicted.shape != expected or reference.shape != expected:
        raise ValueError(
            f"{len(query_ids)} queries, predictions {predicted.shape}, references {reference.shape}: need (N, 2) twice"
        )
    refuse_duplicates(query_ids)
    for is_wrong, error, what in (
        (~np.isfinite(predicted).all(axis=1), NonFiniteSpan, "a start or end that is not a number"),
        (predicted[:, 1] < predicted[:, 0], ReversedSpan, "an end before its start"),
    ):
        if is_wrong.any():
            raise error(f"predictions with {what}: query {name_some([query_ids[i] for i in np.flatnonzero(is_wrong)])}")
    iou = hull_iou(predicted, reference)
    metrics = {f"R1@{threshold}": recall_at(iou, threshold) for threshold in THRESHOLDS}
    return SpanScores(metrics | {"mIoU": float(iou.mean() * 100.0)}, iou)
