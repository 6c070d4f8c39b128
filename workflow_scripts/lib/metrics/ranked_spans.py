"""R@1 and R@5 at IoU thresholds, and mIoU, of ranked candidate spans after suppression of overlapping ones.

Two published rules: microsoft/2D-TAN lib/core/eval.py, and MCG-NJU/MMN and xian-sh/MRNet (`nms` and `iou` of their
evaluation code).
"""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.metrics.errors import BadReference, NonFiniteSpan, caution, name_some
from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.scored import Options, Scored, by_length
from workflow_scripts.lib.metrics.windows import Windows, window_cautions

RANKS = (1, 5)
CHUNK_ROWS = 512
"""Queries at a time, so that the arrays of a step stay in the processor's cache."""


@dataclass(frozen=True)
class Rule:
    """How overlap is computed and compared.

    Attributes
    ----------
    name : of the rule in results
    dtype : of all arithmetic
    is_strict : whether a hit needs an IoU above the threshold (True), or of at least the threshold (False)
    suppresses_by_hull : whether suppression divides the overlap by the hull, or by the sum of lengths less overlap
    max_kept : spans to keep of a query; None keeps all that are not suppressed
    """

    name: str
    dtype: type
    is_strict: bool
    suppresses_by_hull: bool
    max_kept: int | None

    @property
    def first(self) -> FirstSpan:
        """How R1 is decided: by the first annotated moment."""
        return FirstSpan(self._iou, self.is_strict, self.dtype)

    def _iou(self, predicted: np.ndarray, targets: Windows) -> np.ndarray:
        return hull_iou(predicted.astype(self.dtype), targets.spans[:, 0].astype(self.dtype))


TAN = Rule("2d-tan", np.float64, is_strict=True, suppresses_by_hull=False, max_kept=5)
MMN = Rule("mmn-mrnet", np.float32, is_strict=False, suppresses_by_hull=True, max_kept=None)


@dataclass(frozen=True)
class Kept:
    """Spans that suppression left of N queries.

    Attributes
    ----------
    index : int64 (N, 5), place among the candidates, best first; -1 where fewer are left
    counts : int64 (N,), spans left (at most `max_kept` of the rule)
    """

    index: np.ndarray
    counts: np.ndarray


def hull_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return overlap over hull in the dtype of the spans (..., 2); 1 for identical empty spans."""
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    return np.divide(_overlap(first, second), hull, out=np.ones_like(hull), where=hull > 0)


def sum_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return overlap over the sum of lengths less overlap; otherwise as `hull_iou`."""
    overlap = _overlap(first, second)
    union = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0]) - overlap
    is_same = (first == second).all(axis=-1)
    return np.divide(overlap, union, out=is_same.astype(union.dtype), where=union > 0)


def _overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    end, start = np.minimum(first[..., 1], second[..., 1]), np.maximum(first[..., 0], second[..., 0])
    return np.maximum(end - start, 0)


def suppress(spans: np.ndarray, valid_mask: np.ndarray, threshold: float, rule: Rule) -> Kept:
    """Keep the best span, drop those that overlap it by more than the threshold, and so on with the rest.

    Parameters
    ----------
    spans : float (N, C, 2), sorted by descending score
    valid_mask : bool (N, C), True where there is a candidate
    threshold : IoU up to which two spans are both kept
    rule : Rule

    Returns
    -------
    Kept
    """
    kept = Kept(np.full((len(spans), max(RANKS)), -1), np.zeros(len(spans), dtype=np.int64))
    for first in range(0, len(spans), CHUNK_ROWS):
        rows = slice(first, first + CHUNK_ROWS)
        _suppress_chunk(spans[rows].astype(rule.dtype), valid_mask[rows].copy(), threshold, rule, kept, first)
    return kept


def _suppress_chunk(
    spans: np.ndarray, is_left: np.ndarray, threshold: float, rule: Rule, kept: Kept, offset: int
) -> None:
    iou = hull_iou if rule.suppresses_by_hull else sum_iou
    rows = np.arange(len(spans)) + offset
    n_steps = spans.shape[1] if rule.max_kept is None else min(rule.max_kept, spans.shape[1])
    for step in range(n_steps):
        has_left = is_left.any(axis=1)
        if not has_left.all():
            spans, is_left, rows = spans[has_left], is_left[has_left], rows[has_left]
        if not len(rows):
            return
        best = is_left.argmax(axis=1)
        kept.counts[rows] += 1
        if step < kept.index.shape[1]:
            kept.index[rows, step] = best
        here = np.arange(len(rows))
        is_left &= iou(spans, spans[here, best][:, None]) <= threshold
        is_left[here, best] = False


def top_iou(spans: np.ndarray, kept: Kept, reference: np.ndarray, rule: Rule) -> np.ndarray:
    """Return the IoU of the first five kept spans with the annotated one, (N, 5) in the rule's dtype; -1 for none."""
    if not spans.shape[1]:
        return np.full(kept.index.shape, -1, dtype=rule.dtype)
    chosen = np.take_along_axis(spans, np.maximum(kept.index, 0)[..., None], axis=1)
    iou = hull_iou(chosen.astype(rule.dtype), reference[:, None].astype(rule.dtype))
    return np.where(kept.index >= 0, iou, rule.dtype(-1))


def kept_iou(question: Moments, candidates: Windows, rule: Rule, nms_threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoU of the spans that suppression keeps.

    Parameters
    ----------
    candidates : Windows with scores; sorted here by descending score, equal scores keep their order
    rule : TAN or MMN
    nms_threshold : IoU above which the span with the lower score is dropped

    Returns
    -------
    iou : (N, 5) in the rule's dtype, best score first; -1 where fewer are left
    n_kept : int64 (N,), spans left of every query

    Raises
    ------
    BadReference, NonFiniteSpan
        If an annotated moment ends before it starts, or a span is too late for the rule's dtype.

    Notes
    -----
    Where fewer than five candidates are left, those are used (MMN and MRNet stop with an error).
    """
    reference = question.targets.spans[:, 0]
    is_wrong = ~np.isfinite(reference).all(axis=1) | (reference[:, 1] < reference[:, 0])
    too_late = np.abs(candidates.spans).max(axis=(1, 2), initial=0) > np.finfo(rule.dtype).max
    for is_odd, error, what in (
        (is_wrong, BadReference, "annotated spans that are no spans"),
        (too_late, NonFiniteSpan, f"windows with a start or end past the largest {rule.dtype.__name__}"),
    ):
        if is_odd.any():
            raise error(f"{what}: query {name_some([question.ids[i] for i in np.flatnonzero(is_odd).tolist()])}")
    ranked = candidates.ranked()
    kept = suppress(ranked.spans, ranked.valid_mask, nms_threshold, rule)
    return top_iou(ranked.spans, kept, reference, rule), kept.counts


def score(rule: Rule, question: Moments, answers: Spans, options: Options) -> Scored:
    """Score candidate spans with scores; `options.thresholds`, `nms_threshold` and `clip` are heeded."""
    predicted = answers.moments.clipped(question.durations_s) if options.clip else answers.moments
    # Candidates are float32 products of a grid: the last one may end a rounding error after the video.
    cautions = window_cautions(question.ids, predicted, question.durations_s * (1 + 1e-6))
    iou, n_kept = kept_iou(question, predicted, rule, options.nms_threshold)
    few = np.flatnonzero(n_kept < max(RANKS))
    cautions += caution("FewCandidates", len(few), (question.ids[i] for i in few.tolist()))
    # -1, where nothing is left, lies below every IoU.
    per_query = {
        name: values
        for rank in RANKS
        for name, values in rule.first.hits(iou[:, :rank].max(axis=1), options.thresholds, f"R{rank}").items()
    }
    per_query["mIoU"] = np.maximum(iou[:, 0], 0).astype(np.float64)
    return Scored(per_query, lengths=by_length(question, per_query), cautions=cautions)


def metric_names(options: Options) -> tuple[str, ...]:
    """Return the names of all metrics."""
    return (*(f"R{rank}@{t}" for rank in RANKS for t in options.thresholds), "mIoU")
