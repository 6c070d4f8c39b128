"""Moment retrieval as CALCE scores the windows that a language model writes.

Reproduces tjhd1475/CALCE lavis/tasks/mr_eval.py (after Mr. BLIP): R1 and mAP at ten thresholds, R1-avg, mIoU, and the
share of answers that could not be read.
"""

import ast
import re
import warnings
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import caution
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.metrics.window_ap import (
    MOMENT_METRICS,
    THRESHOLDS,
    WindowScores,
    round_percent,
    score_windows,
)
from workflow_scripts.lib.metrics.windows import window_cautions

MANY_WINDOWS = 10
"""QVHighlights looks at no more windows than these; here all count, which a caution says."""
UNREADABLE = (-1, -1)
"""The window that stands for an answer, or a part of one, that is no window."""


def parse_windows(text: str) -> list[list[float]]:
    """Return the windows that an answer lists, `[[-1, -1]]` if it is not a list of lists.

    Parameters
    ----------
    text : answer of the model, e.g. `"[[10, 20], [31, 40]]"`; it has to begin with `[[`

    Returns
    -------
    list of windows; a sub-list that has not two entries becomes `[-1, -1]`. Entries are not checked to be numbers.
    """
    unreadable: list[list[float]] = [list(UNREADABLE)]
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


def score(question: Moments, answers: Spans, options: Options) -> Scored:
    """Score windows in the order in which they were written.

    Parameters
    ----------
    answers : `UNREADABLE` stands for an answer that could not be read
    options : `clip` and `empty_windows` are heeded

    Notes
    -----
    Like QVHighlights, except: the order of the list is the ranking, all windows count for mAP, and the ranges of
    lengths are left out (the published script repeats the full range there).
    """
    predicted = answers.moments
    is_unreadable = (predicted.spans == UNREADABLE).all(axis=-1)
    is_invalid = (predicted.spans[:, 0] == UNREADABLE[0]).any(axis=-1)
    cautions = window_cautions(question.ids, predicted, question.durations_s, is_unreadable)
    many = np.flatnonzero(predicted.counts > MANY_WINDOWS)
    cautions += caution("ManyWindows", len(many), (question.ids[i] for i in many.tolist()))
    if options.clip:
        predicted = predicted.clipped(question.durations_s)
    scores = score_windows(predicted, predicted, question.targets, options.empty_windows)
    per_query = scores.metrics()
    per_query["R1-avg"] = np.mean([scores.first.is_hit(scores.iou, t) for t in THRESHOLDS], axis=0)
    per_query["invalid"] = is_invalid.astype(np.float64)
    return Scored(per_query, official=_official(scores, is_invalid), cautions=cautions)


def metric_names(options: Options) -> tuple[str, ...]:
    """Return the names of all metrics."""
    return (*MOMENT_METRICS, "R1-avg", "invalid")


def _official(scores: WindowScores, is_invalid: np.ndarray) -> dict[str, Any]:
    """Return what the published script writes: R1, mAP and `R1_avg` in percent, the others as shares and counts."""
    rounded = {t: round_percent(value) for t, value in scores.recall().items()}
    return {
        "R1": rounded,
        # parity: the mean is taken of the rounded values
        "R1_avg": float(np.mean(list(rounded.values()))),
        "mAP": {t: round_percent(value) for t, value in scores.precision().items()},
        "mIoU": float(scores.iou.mean()),
        "invalid_predictions": float(is_invalid.mean()),
        "invalid_pred_num": int(is_invalid.sum()),
        "total": len(is_invalid),
    }
