"""Moment retrieval as CALCE scores the windows that a language model writes.

Reproduces tjhd1475/CALCE lavis/tasks/mr_eval.py (after Mr. BLIP): R1 and mAP at ten thresholds, R1-avg, mIoU, and the
share of answers that could not be read.
"""

import ast
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import BadReference, Caution, caution, name_some
from workflow_scripts.lib.metrics.qvhighlights import round_percent
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates, refuse_other_ids, require_field
from workflow_scripts.lib.metrics.window_ap import THRESHOLDS, average_precision, top_window_iou
from workflow_scripts.lib.metrics.windows import Windows, read_windows, window_cautions

MANY_WINDOWS = 10
"""QVHighlights looks at no more windows than these; here all count, which a caution says."""
UNREADABLE = (-1, -1)
"""The window that stands for an answer, or a part of one, that is no window."""


@dataclass(frozen=True)
class CalceScores:
    """Result of `evaluate`.

    Attributes
    ----------
    official : as the published script writes them: `R1` and `mAP` by threshold and `R1_avg` in percent (R1 and mAP
        with two decimals), `mIoU` and `invalid_predictions` as shares, `invalid_pred_num`, `total`
    exact : `R1`, `R1_avg`, `mAP`, `mIoU`, `invalid`, in percent, not rounded
    per_query : column name -> (N,) array: `query_id`, `AP@0.5` ... `AP`, `IoU` (shares), `is_invalid`
    cautions : what looked odd
    """

    official: dict[str, Any]
    exact: dict[str, Any]
    per_query: dict[str, np.ndarray]
    cautions: tuple[Caution, ...]


def parse_windows(text: str) -> list[list[float]]:
    """Return the windows that an answer lists, `[[-1, -1]]` if it is not a list of lists.

    Parameters
    ----------
    text : answer of the model, e.g. `"[[10, 20], [31, 40]]"`; it has to begin with `[[`

    Returns
    -------
    list of windows; a sub-list that has not two entries becomes `[-1, -1]`. Entries are not checked to be numbers.
    """
    unreadable = [list(UNREADABLE)]
    if not re.match(r"\[\[.*\]\]", text):
        return unreadable
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            windows = ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return unreadable
    if not isinstance(windows, list) or not all(isinstance(window, (list, tuple)) for window in windows):
        return unreadable
    return [list(window) if len(window) == 2 else list(UNREADABLE) for window in windows]


def evaluate(
    rows: Sequence[Mapping[str, Any]],
    *,
    durations_s: Sequence[float] | None = None,
    empty_as_miss: bool = False,
    clip: bool = False,
    merge_repeats: bool = False,
) -> CalceScores:
    """Score windows in the order in which they were written.

    Parameters
    ----------
    rows : rows with `qid`, `pred_relevant_windows` and `relevant_windows`, lists of start and end in seconds
    durations_s : duration of every row's video; needed to clip and to notice windows outside their video
    empty_as_miss : count a query without windows as missed, instead of refusing
    clip : cut predicted windows to the video first
    merge_repeats : take rows of the same query as the published script does, instead of refusing them: they become one
        query with the windows of all of them. It met such rows when a sampler for several GPUs had filled up a batch

    Returns
    -------
    CalceScores

    Raises
    ------
    PredictionError
        Its subclasses, see `errors`.

    Notes
    -----
    Like QVHighlights, except: the order of the list is the ranking, all windows count for mAP, and the ranges of
    lengths are left out (the published script repeats the full range there).
    """
    for field in ("qid", "pred_relevant_windows", "relevant_windows"):
        require_field(rows, field)
    if not rows:
        raise BadReference("no query to score")
    ids = [row["qid"] for row in rows]
    refuse_other_ids(rows, "qid")
    counts = Counter(ids)
    if merge_repeats:
        rows, ids = _merge(rows), list(counts)
    refuse_duplicates(ids)
    predicted = read_windows(ids, [row["pred_relevant_windows"] for row in rows], False, empty_as_miss)
    without = [row["qid"] for row in rows if not row["relevant_windows"]]
    if without:
        raise BadReference(f"rows without 'relevant_windows': query {name_some(without)}")
    targets = read_windows(ids, [row["relevant_windows"] for row in rows], False, False)
    return score(ids, predicted, targets, durations_s, clip=clip, n_rows=np.array([counts[i] for i in ids]))


def _merge(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per query, with the windows of all its rows."""
    merged: dict[Any, dict[str, Any]] = {}
    for row in rows:
        found = merged.setdefault(row["qid"], {"qid": row["qid"], "pred_relevant_windows": [], "relevant_windows": []})
        for field in ("pred_relevant_windows", "relevant_windows"):
            found[field] = [*found[field], *row[field]]
    return list(merged.values())


def score(
    ids: Sequence[Any],
    predicted: Windows,
    targets: Windows,
    durations_s: Sequence[float] | None = None,
    *,
    clip: bool = False,
    n_rows: np.ndarray | None = None,
) -> CalceScores:
    """Score windows that are in arrays already; see `evaluate`.

    Parameters
    ----------
    ids : N names
    predicted : Windows; `UNREADABLE` stands for an answer that could not be read
    targets : Windows of the same queries, at least one each
    n_rows : int (N,), rows that every query was merged from, for the share of invalid ones; None is one each
    """
    is_unreadable = (predicted.spans == UNREADABLE).all(axis=-1)
    is_invalid = (predicted.spans[:, 0] == UNREADABLE[0]).any(axis=-1) & (predicted.counts > 0)
    known_s = None if durations_s is None else np.asarray(durations_s, dtype=np.float64)
    cautions = window_cautions(ids, predicted, known_s, is_unreadable)
    many = np.flatnonzero(predicted.counts > MANY_WINDOWS)
    cautions += caution("ManyWindows", len(many), (ids[i] for i in many))
    if clip:
        if known_s is None:
            raise ValueError("windows can only be clipped if the durations of the videos are known")
        predicted = predicted.clipped(known_s)
    ap, iou = average_precision(predicted, targets), top_window_iou(predicted, targets)
    columns = {f"AP@{t}": ap[:, i] for i, t in enumerate(THRESHOLDS)}
    per_query = {"query_id": np.array([str(i) for i in ids], dtype=object), **columns}
    per_query |= {"AP": ap.mean(axis=1), "IoU": iou, "is_invalid": is_invalid}
    weights = np.ones(len(iou), np.int64) if n_rows is None else n_rows
    return CalceScores(*_numbers(ap, iou, is_invalid, weights), per_query, cautions)


def _numbers(
    ap: np.ndarray, iou: np.ndarray, is_invalid: np.ndarray, n_rows: np.ndarray
) -> tuple[dict[str, Any], dict[str, Any]]:
    mean_ap = ap.mean(axis=0)
    recall = {str(t): float(np.mean(iou >= t) * 100) for t in THRESHOLDS}
    precision = {str(t): float(100 * value) for t, value in zip(THRESHOLDS, mean_ap, strict=True)}
    precision["average"] = float(100 * mean_ap.mean())
    rounded = {t: round_percent(value) for t, value in recall.items()}
    official = {
        "R1": rounded,
        # parity: the mean is taken of the rounded values
        "R1_avg": float(np.mean(list(rounded.values()))),
        "mAP": {t: round_percent(value) for t, value in precision.items()},
        "mIoU": float(iou.mean()),
        "invalid_predictions": float(np.average(is_invalid, weights=n_rows)),
        "invalid_pred_num": int(n_rows[is_invalid].sum()),
        "total": int(n_rows.sum()),
    }
    exact = {"R1": recall, "R1_avg": float(np.mean(list(recall.values()))), "mAP": precision}
    return official, exact | {"mIoU": float(100 * iou.mean()), "invalid": float(100 * is_invalid.mean())}
