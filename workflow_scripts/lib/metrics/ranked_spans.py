"""R@1 and R@5 at IoU thresholds, and mIoU, of ranked candidate spans after suppression of overlapping ones.

Two published rules: microsoft/2D-TAN lib/core/eval.py, and MCG-NJU/MMN and xian-sh/MRNet (`nms` and `iou` of their
evaluation code).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import BadReference, Caution, NonFiniteSpan, caution, name_some
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates, require_field
from workflow_scripts.lib.metrics.windows import Windows, as_float, count_cautions, odd_windows, read_windows

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


@dataclass(frozen=True)
class RankedScores:
    """Result of `evaluate`.

    Attributes
    ----------
    metrics : `R1@t`, `R5@t` for every threshold and `mIoU` (of rank 1), in percent
    iou : (N, 5) in the rule's dtype, IoU of the kept spans, best score first; -1 where fewer are left
    n_kept : int64 (N,), spans left of every query
    per_query : column name -> (N,) array: `query_id`, `IoU` (rank 1), `best_IoU` (of the first five)
    cautions : what looked odd
    """

    metrics: dict[str, float]
    iou: np.ndarray
    n_kept: np.ndarray
    per_query: dict[str, np.ndarray]
    cautions: tuple[Caution, ...]


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


def recall(iou: np.ndarray, rank: int, threshold: float, rule: Rule) -> np.ndarray:
    """Return which queries are hit among the first `rank` kept spans, bool (N,), from IoUs (N, 5)."""
    bound = rule.dtype(threshold)
    is_hit = iou[:, :rank] > bound if rule.is_strict else iou[:, :rank] >= bound
    return is_hit.any(axis=1)


def summarise(iou: np.ndarray, thresholds: Sequence[float], rule: Rule) -> dict[str, float]:
    """Return `R1@t`, `R5@t` and `mIoU` in percent from IoUs (N, 5), N >= 1."""
    metrics = {f"R{rank}@{t}": float(recall(iou, rank, t, rule).mean() * 100.0) for rank in RANKS for t in thresholds}
    return metrics | {"mIoU": float(np.maximum(iou[:, 0], 0).astype(np.float64).mean() * 100.0)}


def evaluate(
    ids: Sequence[str],
    candidates: Windows,
    reference: np.ndarray,
    rule: Rule,
    nms_threshold: float,
    thresholds: Sequence[float] = (0.3, 0.5, 0.7),
) -> RankedScores:
    """Score candidate spans that are in an array already and were checked by `read_windows`.

    Parameters
    ----------
    ids : N names
    candidates : Windows with scores; sorted here by descending score, equal scores keep their order
    reference : float64 (N, 2), annotated spans in seconds
    rule : TAN or MMN
    nms_threshold : IoU above which the span with the lower score is dropped
    thresholds : IoUs that make a hit

    Returns
    -------
    RankedScores

    Notes
    -----
    Where fewer than five candidates are left, those are used (MMN and MRNet stop with an error).
    """
    reference = np.asarray(reference, dtype=np.float64).reshape(-1, 2)
    if not len(ids) or len(reference) != len(ids) or len(candidates.counts) != len(ids):
        raise BadReference(f"{len(ids)} queries, {len(candidates.counts)} predictions, {len(reference)} annotations")
    return _scores(ids, *_score_kept(ids, candidates, reference, rule, nms_threshold), thresholds, rule)


def _score_kept(
    ids: Sequence[str], candidates: Windows, reference: np.ndarray, rule: Rule, nms_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the IoU of the first five spans that are kept (N, 5) and how many are kept (N,)."""
    is_wrong = ~np.isfinite(reference).all(axis=1) | (reference[:, 1] < reference[:, 0])
    if is_wrong.any():
        raise BadReference(
            f"annotated spans that are no spans: query {name_some([ids[i] for i in np.flatnonzero(is_wrong)])}"
        )
    too_late = np.abs(candidates.spans).max(axis=(1, 2), initial=0) > np.finfo(rule.dtype).max
    if too_late.any():
        named = name_some([ids[i] for i in np.flatnonzero(too_late)])
        raise NonFiniteSpan(f"windows with a start or end past the largest {rule.dtype.__name__}: query {named}")
    ranked = candidates.ranked()
    kept = suppress(ranked.spans, ranked.valid_mask, nms_threshold, rule)
    return top_iou(ranked.spans, kept, reference, rule), kept.counts


def _scores(
    ids: Sequence[str], iou: np.ndarray, n_kept: np.ndarray, thresholds: Sequence[float], rule: Rule
) -> RankedScores:
    few = np.flatnonzero(n_kept < max(RANKS))
    per_query = {
        "query_id": np.array([str(i) for i in ids], dtype=object),
        "IoU": np.maximum(iou[:, 0], 0).astype(np.float64),
        "best_IoU": np.maximum(iou.max(axis=1), 0).astype(np.float64),
    }
    cautions = caution("FewCandidates", len(few), (ids[i] for i in few))
    return RankedScores(summarise(iou, thresholds, rule), iou, n_kept, per_query, cautions)


def evaluate_rows(
    rows: Sequence[Mapping[str, Any]],
    rule: Rule,
    nms_threshold: float,
    thresholds: Sequence[float] = (0.3, 0.5, 0.7),
    *,
    empty_as_miss: bool = False,
    clip: bool = False,
) -> RankedScores:
    """Score rows with `vid`, `sentence_index`, `duration`, `gt` and `candidates` (lists of start, end, score).

    Parameters
    ----------
    rows : one per query
    rule, nms_threshold, thresholds : see `evaluate`
    empty_as_miss : count a query without candidates as missed, instead of refusing
    clip : cut candidates to the video first

    Raises
    ------
    PredictionError
        Its subclasses, see `errors`.
    """
    for field in ("vid", "sentence_index", "gt", "candidates"):
        require_field(rows, field)
    ids = [f"{row['vid']}#{row['sentence_index']}" for row in rows]
    refuse_duplicates(ids)
    if not rows:
        raise BadReference("no query to score")
    durations_s = None
    if all("duration" in row for row in rows):
        durations_s = np.array([as_float(row["duration"]) for row in rows])
    elif clip:
        raise ValueError("candidates can only be clipped if every row has a 'duration'")
    parts, odd = [], []
    for first in range(0, len(rows), CHUNK_ROWS):
        some = slice(first, first + CHUNK_ROWS)
        own_s = None if durations_s is None else durations_s[some]
        candidates = read_windows(ids[some], [row["candidates"] for row in rows[some]], True, empty_as_miss)
        # Candidates are float32 products of a grid: the last one may end a rounding error after the video.
        odd.append(odd_windows(candidates, None if own_s is None else own_s * (1 + 1e-6)))
        candidates = candidates.clipped(own_s) if clip else candidates
        reference = read_windows(ids[some], [[row["gt"]] for row in rows[some]], False, False).spans[:, 0]
        parts.append(_score_kept(ids[some], candidates, reference, rule, nms_threshold))
    iou, n_kept = (np.concatenate(column) for column in zip(*parts, strict=True))
    cautions = count_cautions(ids, {name: np.concatenate([part[name] for part in odd]) for name in odd[0]})
    scores = _scores(ids, iou, n_kept, thresholds, rule)
    return RankedScores(scores.metrics, scores.iou, scores.n_kept, scores.per_query, cautions + scores.cautions)
