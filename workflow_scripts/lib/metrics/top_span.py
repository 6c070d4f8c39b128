"""Score the first span of every query, with queries that were not answered counted as misses."""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow_scripts.lib.metrics.span_index import hull_iou
from workflow_scripts.lib.metrics.windows import list_windows

Span = tuple[float, float]
AVERAGED = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Thresholds of `R1-avg`, 0.5 to 0.95."""


def recall_at(iou: np.ndarray, threshold: float) -> float:
    """Return the percentage of queries with an IoU of at least `threshold`; `iou` is float64 (N,), N >= 1."""
    return float(np.count_nonzero(iou >= threshold) / len(iou) * 100.0)


def top_span_iou(predicted: Mapping[str, Span | None], reference: Mapping[str, Span]) -> dict[str, float]:
    """Return the hull IoU of every query of `reference`; no answer gives 0.

    Parameters
    ----------
    predicted : query id -> span in seconds, or None for an answer that could not be read
    reference : query id -> annotated moment in seconds
    """
    answered = [query for query in reference if predicted.get(query) is not None]
    iou = dict.fromkeys(reference, 0.0)
    if answered:
        spans = list_windows(answered, [[predicted[query]] for query in answered]).spans[:, 0]
        found = hull_iou(spans, np.array([reference[query] for query in answered]))
        iou |= dict(zip(answered, found.tolist(), strict=True))
    return iou


def nearest_moment(predicted: Span | None, moments: np.ndarray) -> Span:
    """Return the annotated moment, of float64 (n, 2) in seconds, that a prediction overlaps most; the first on ties."""
    start, end = moments.T
    shared = np.minimum(end, predicted[1]) - np.maximum(start, predicted[0]) if predicted else np.zeros(len(moments))
    hull = np.maximum(end, predicted[1]) - np.minimum(start, predicted[0]) if predicted else np.ones(len(moments))
    overlap = np.divide(np.maximum(shared, 0), hull, out=np.zeros(len(moments)), where=hull > 0)
    return tuple(moments[np.argmax(overlap)])


def selection_thresholds(metric: str) -> tuple[float, ...]:
    """Return the thresholds a training watches: the usual three and that of the metric which selects (`R1@0.6`)."""
    _, is_recall, threshold = metric.partition("R1@")
    own = {float(threshold)} if is_recall and threshold.replace(".", "", 1).isdigit() else set()
    return tuple(sorted({0.3, 0.5, 0.7} | own))


def summarise(iou: Sequence[float], thresholds: Sequence[float]) -> dict[str, float]:
    """Return `R1@t` for every threshold and `mIoU`, in percent; nothing if there is no query."""
    values = np.asarray(iou, dtype=np.float64)
    if not len(values):
        return {}
    return {f"R1@{t}": recall_at(values, t) for t in thresholds} | {"mIoU": float(values.mean() * 100)}


def average_recall(iou: Sequence[float]) -> float:
    """Return `R1-avg`: the mean of R1 over the thresholds `AVERAGED`, in percent."""
    values = np.asarray(iou, dtype=np.float64)
    return float(np.mean([recall_at(values, threshold) for threshold in AVERAGED]))
