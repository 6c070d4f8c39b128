"""R1 and mean IoU of one span per query, as IMG, ADPN and VSLNet compute them.

Reproduces HuiGuanLab/IMG (from 26hzhang/VSLNet) as it ran under NumPy 1, where a predicted time (float32) and an
annotated one (float64) gave a float64.
"""

import numpy as np

from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.scored import Options, Scored, by_length
from workflow_scripts.lib.metrics.windows import window_cautions


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


FIRST = FirstSpan(lambda predicted, targets: hull_iou(predicted, targets.spans[:, 0]))
"""How R1 is decided: by the first annotated moment."""


def score(question: Moments, answers: Spans, options: Options) -> Scored:
    """Score the first span of every query; `options.thresholds` and `options.clip` are heeded."""
    predicted = answers.moments.clipped(question.durations_s) if options.clip else answers.moments
    iou = np.where(predicted.counts > 0, FIRST.iou(predicted.spans[:, 0], question.targets), 0.0)
    per_query = FIRST.hits(iou, options.thresholds) | {"mIoU": iou}
    cautions = window_cautions(question.ids, predicted, question.durations_s)
    return Scored(per_query, lengths=by_length(question, per_query), cautions=cautions)


def metric_names(options: Options) -> tuple[str, ...]:
    """Return the names of all metrics."""
    return (*(f"R1@{t}" for t in options.thresholds), "mIoU")
