"""Moment retrieval and highlight detection as the QVHighlights benchmark scores them.

Reproduces jayleicn/moment_detr standalone_eval/eval.py: mAP and R1 at ten thresholds for three lengths of windows and
for all, mAP and HIT@1 of saliency scores for three minimum ratings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.clip_saliency import (
    ClipRatings,
    ClipScores,
    hit_at_one,
    read_clip_scores,
    read_ratings,
    saliency_ap,
)
from workflow_scripts.lib.metrics.errors import BadReference, Caution, MissingField, caution, name_some
from workflow_scripts.lib.metrics.row_checks import has_field, pair_rows, require_field
from workflow_scripts.lib.metrics.window_ap import THRESHOLDS, average_precision, top_window_iou
from workflow_scripts.lib.metrics.windows import Windows, read_windows, window_cautions

MAX_WINDOWS = 10
"""Only the first listed windows of a query count for mAP."""
LENGTH_RANGES: dict[str, tuple[float, float] | None] = {
    "short": (0.0, 10.0),
    "middle": (10.0, 30.0),
    "long": (30.0, 150.0),
    "full": None,
}
"""Lengths of windows in seconds, (above, up to); None takes every window."""
MINIMUM_RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}

Row = Mapping[str, Any]
Numbers = dict[str, Any]


@dataclass(frozen=True)
class QvhScores:
    """Result of `evaluate`.

    Attributes
    ----------
    official : numbers as the published script writes them, in percent, rounded to two decimals: `brief`, one entry
        per range of lengths with `MR-mAP` and `MR-R1`, one per minimum rating (`HL-min-Fair`, ...)
    exact : the same entries without `brief` and without rounding, with `MR-mIoU` added
    per_query : column name -> (N,) array: `query_id`, `AP@0.5` ... `AP` and `IoU` (first window), `HL-AP-VeryGood` and
        `HL-Hit1-VeryGood`, ...; shares, not percent
    per_range : range of lengths -> `is_member` (bool, the query has a target of that length), `AP@0.5` ... `AP` and
        `IoU` of the N queries; NaN where a query is no member
    cautions : what looked odd
    """

    official: Numbers
    exact: Numbers
    per_query: dict[str, np.ndarray]
    per_range: dict[str, dict[str, np.ndarray]]
    cautions: tuple[Caution, ...]


def evaluate(
    predictions: Sequence[Row],
    annotations: Sequence[Row],
    *,
    empty_as_miss: bool = False,
    allow_missing: bool = False,
    clip: bool = False,
    length_ranges: Mapping[str, tuple[float, float] | None] = LENGTH_RANGES,
) -> QvhScores:
    """Score predictions in the submission format of QVHighlights.

    Parameters
    ----------
    predictions : rows with `qid`, and `pred_relevant_windows` (lists of start, end, score), `pred_saliency_scores`
        (one number for every 2 s) or both
    annotations : rows with `qid`, `duration`, `relevant_windows`, and `relevant_clip_ids`, `saliency_scores` if
        saliency was predicted
    empty_as_miss : count a query without windows or saliency scores as missed, instead of refusing
    allow_missing : evaluate the queries that both sides have, instead of refusing
    clip : cut predicted windows to the video first
    length_ranges : name -> lengths; `{"full": (0, 1500)}` is the setting of line/lighthouse

    Returns
    -------
    QvhScores

    Raises
    ------
    PredictionError
        Its subclasses, see `errors`.

    Notes
    -----
    mAP ranks the first ten listed windows by score; R1 takes the first listed one, whatever its score. In a range of
    lengths only targets of that length stay, predictions stay whole, and queries without such a target are left out;
    a range without any query is left out of the result.
    """
    rows, truth = pair_rows(predictions, annotations, allow_missing)
    has_windows, has_saliency = (has_field(rows, f"pred_{name}") for name in ("relevant_windows", "saliency_scores"))
    if not has_windows and not has_saliency:
        raise MissingField(
            f"neither 'pred_relevant_windows' nor 'pred_saliency_scores' in any row, e.g. query {rows[0]['qid']}"
        )
    require_field(truth, "duration", "annotations")
    ids = [row["qid"] for row in rows]
    moments = _read_moments(ids, rows, truth, empty_as_miss) if has_windows else None
    saliency = _read_saliency(ids, rows, truth, empty_as_miss) if has_saliency else None
    durations_s = np.array([row["duration"] for row in truth], dtype=np.float64)
    return score(ids, durations_s, moments, saliency, clip=clip, length_ranges=length_ranges)


def score(
    ids: Sequence[Any],
    durations_s: np.ndarray,
    moments: tuple[Windows, Windows] | None,
    saliency: tuple[ClipScores, ClipRatings] | None,
    *,
    clip: bool = False,
    length_ranges: Mapping[str, tuple[float, float] | None] = LENGTH_RANGES,
) -> QvhScores:
    """Score what is in arrays already; see `evaluate`.

    Parameters
    ----------
    ids : N names
    durations_s : float64 (N,)
    moments : predicted (with scores) and annotated windows, at least one of these for every query; None if no windows
        were predicted
    saliency : predicted and annotated saliency; None if none was predicted
    """
    exact: Numbers = {}
    per_query: dict[str, np.ndarray] = {"query_id": np.array([str(i) for i in ids], dtype=object)}
    per_range: dict[str, dict[str, np.ndarray]] = {}
    cautions: tuple[Caution, ...] = ()
    if moments is not None:
        predicted, targets = moments
        unused = np.maximum(predicted.counts - MAX_WINDOWS, 0)
        cautions += window_cautions(ids, predicted, durations_s)
        cautions += caution("UnusedWindows", unused.sum(), (ids[i] for i in np.flatnonzero(unused)))
        predicted = predicted.clipped(durations_s) if clip else predicted
        numbers, per_range = _score_moments(predicted, targets, length_ranges)
        exact |= numbers
        whole = next((columns for columns in per_range.values() if columns["is_member"].all()), {})
        per_query |= {name: values for name, values in whole.items() if name != "is_member"}
    if saliency is not None:
        numbers, odd = _score_saliency(ids, *saliency, per_query)
        exact, cautions = exact | numbers, cautions + odd
    return QvhScores(_official(exact), exact, per_query, per_range, cautions)


def _read_moments(
    ids: Sequence[Any], rows: Sequence[Row], truth: Sequence[Row], empty_as_miss: bool
) -> tuple[Windows, Windows]:
    predicted = read_windows(ids, [row["pred_relevant_windows"] for row in rows], True, empty_as_miss)
    without = [row["qid"] for row in truth if not row.get("relevant_windows")]
    if without:
        raise BadReference(f"annotations without relevant windows: query {name_some(without)}")
    return predicted, read_windows(ids, [row["relevant_windows"] for row in truth], False, False)


def _score_moments(
    predicted: Windows, targets: Windows, length_ranges: Mapping[str, tuple[float, float] | None]
) -> tuple[Numbers, dict[str, dict[str, np.ndarray]]]:
    ranked = predicted.head(MAX_WINDOWS).ranked()
    numbers: Numbers = {}
    per_range: dict[str, dict[str, np.ndarray]] = {}
    for name, limits in length_ranges.items():
        kept, wanted = np.ones(len(targets.counts), dtype=bool), targets
        if limits is not None:
            length = targets.spans[..., 1] - targets.spans[..., 0]
            wanted = targets.where((length > limits[0]) & (length <= limits[1]))
            kept = wanted.counts > 0
            wanted = wanted.rows(kept)
        if not kept.any():
            continue
        ap = average_precision(ranked.rows(kept), wanted)
        iou = top_window_iou(predicted.rows(kept), wanted)
        numbers[name] = _moment_numbers(ap, iou)
        columns = {f"AP@{t}": ap[:, i] for i, t in enumerate(THRESHOLDS)} | {"AP": ap.mean(axis=1), "IoU": iou}
        per_range[name] = {"is_member": kept} | {key: _spread(values, kept) for key, values in columns.items()}
    return numbers, per_range


def _spread(values: np.ndarray, is_member: np.ndarray) -> np.ndarray:
    spread = np.full(len(is_member), np.nan)
    spread[is_member] = values
    return spread


def _moment_numbers(ap: np.ndarray, iou: np.ndarray) -> Numbers:
    mean_ap = ap.mean(axis=0)
    by_threshold = {str(t): float(100 * value) for t, value in zip(THRESHOLDS, mean_ap, strict=True)}
    return {
        "MR-mAP": by_threshold | {"average": float(100 * mean_ap.mean())},
        "MR-R1": {str(t): float(np.mean(iou >= t) * 100) for t in THRESHOLDS},
        "MR-mIoU": float(100 * iou.mean()),
    }


def _read_saliency(
    ids: Sequence[Any], rows: Sequence[Row], truth: Sequence[Row], empty_as_miss: bool
) -> tuple[ClipScores, ClipRatings]:
    ratings = read_ratings(truth)
    lists = [row["pred_saliency_scores"] for row in rows]
    return read_clip_scores(ids, lists, ratings.counts, empty_as_miss), ratings


def _score_saliency(
    ids: Sequence[Any], predicted: ClipScores, ratings: ClipRatings, per_query: dict[str, np.ndarray]
) -> tuple[Numbers, tuple[Caution, ...]]:
    ap = saliency_ap(predicted, ratings, list(MINIMUM_RATINGS.values()))
    numbers: Numbers = {}
    for i, (name, minimum) in enumerate(MINIMUM_RATINGS.items()):
        hits = hit_at_one(predicted, ratings, minimum)
        numbers[f"HL-min-{name}"] = {"HL-mAP": float(100 * ap[:, i].mean()), "HL-Hit1": float(100 * hits.mean())}
        per_query |= {f"HL-AP-{name}": ap[:, i].mean(axis=1), f"HL-Hit1-{name}": hits}
    odd = np.flatnonzero(predicted.has_other_length)
    return numbers, caution("SaliencyLength", len(odd), (ids[i] for i in odd))


def _official(exact: Numbers) -> Numbers:
    """Return the rounded numbers without MR-mIoU, and the summary that the published script prints first."""
    rounded: Numbers = {}
    for name, entry in exact.items():
        kept = {key: value for key, value in entry.items() if key != "MR-mIoU"}
        rounded[name] = {
            key: {t: round_percent(v) for t, v in value.items()} if isinstance(value, dict) else round_percent(value)
            for key, value in kept.items()
        }
    brief: Numbers = {}
    if "full" in rounded:
        precision, recall = rounded["full"]["MR-mAP"], rounded["full"]["MR-R1"]
        brief = {"MR-full-mAP": precision["average"]}
        brief |= {f"MR-full-mAP@{t}": precision[t] for t in ("0.5", "0.75")}
    brief |= {
        f"MR-{name}-mAP": rounded[name]["MR-mAP"]["average"] for name in ("long", "middle", "short") if name in rounded
    }
    if "full" in rounded:
        brief |= {f"MR-full-R1@{t}": recall[t] for t in ("0.5", "0.7")}
    for name in (name for name in rounded if name.startswith("HL-min-")):
        brief |= {f"{name}-{key.removeprefix('HL-')}": value for key, value in rounded[name].items()}
    return {"brief": brief} | rounded


def round_percent(value: float) -> float:
    """Return a number with two decimals, rounded as the published scripts do: through its decimal text."""
    return float(f"{value:.2f}")
