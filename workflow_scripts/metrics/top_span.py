"""Score the first span of every query, with queries that were not answered counted as misses."""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow_scripts.metrics.span_index import evaluate, recall_at

Span = tuple[float, float]


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
        spans = np.array([predicted[query] for query in answered])
        scores = evaluate(answered, spans, np.array([reference[query] for query in answered]))
        iou |= dict(zip(answered, scores.iou.tolist(), strict=True))
    return iou


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
