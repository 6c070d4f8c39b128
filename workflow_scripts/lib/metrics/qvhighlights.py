"""Moment retrieval and highlight detection as the QVHighlights benchmark scores them.

Reproduces jayleicn/moment_detr standalone_eval/eval.py: mAP and R1 at ten thresholds for three lengths of windows and
for all, mAP and HIT@1 of saliency scores for three minimum ratings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.clip_saliency import ClipRatings, ClipScores, hit_at_one, saliency_ap
from workflow_scripts.lib.metrics.errors import Caution, caution
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.metrics.window_ap import MOMENT_METRICS, WindowScores, round_percent, score_windows
from workflow_scripts.lib.metrics.windows import Windows, window_cautions

MAX_WINDOWS = 10
"""Only the first listed windows of a query count for mAP."""
LengthRanges = Mapping[str, tuple[float, float] | None]
LENGTH_RANGES: LengthRanges = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, 150.0), "full": None}
"""Lengths of windows in seconds, (above, up to); None takes every window."""
LIGHTHOUSE_RANGES: LengthRanges = {"full": (0.0, 1500.0)}
"""The same of line/lighthouse."""
MINIMUM_RATINGS = {"Fair": 2, "Good": 3, "VeryGood": 4}
REPORTED_RATING = "VeryGood"
HIGHLIGHT_METRICS = ("HL-mAP", "HL-HIT@1")

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """The windows of one range of lengths.

    Attributes
    ----------
    is_member : bool (N,), the query has a target of that length
    scores : WindowScores of the members
    """

    is_member: np.ndarray
    scores: WindowScores

    def metrics(self) -> dict[str, np.ndarray]:
        """Return the values of all N queries by metric; NaN where a query is no member."""
        return {name: _spread(values, self.is_member) for name, values in self.scores.metrics().items()}


@dataclass(frozen=True)
class Highlights:
    """Average precision and HIT@1 of N queries at one minimum rating, float64 (N,), shares."""

    ap: np.ndarray
    hit: np.ndarray


def score(length_ranges: LengthRanges, question: Moments, answers: Spans, options: Options) -> Scored:
    """Score windows (with scores), saliency, or both.

    Parameters
    ----------
    length_ranges : name -> lengths
    options : `clip` and `empty_windows` are heeded

    Notes
    -----
    mAP ranks the first ten listed windows by score; R1 takes the first listed one, whatever its score. In a range of
    lengths only targets of that length stay, predictions stay whole, and queries without such a target are left out;
    a range without any query is left out of the result.
    """
    ranges: dict[str, Range] = {}
    highlights: dict[str, Highlights] = {}
    cautions: tuple[Caution, ...] = ()
    if answers.windows is not None:
        predicted = answers.windows.clipped(question.durations_s) if options.clip else answers.windows
        ranges = score_ranges(predicted, question.targets, length_ranges, options)
        cautions += _window_cautions(question, answers.windows)
    if answers.clips is not None and question.ratings is not None:
        highlights = score_highlights(answers.clips, question.ratings)
        odd = np.flatnonzero(answers.clips.has_other_length)
        cautions += caution("SaliencyLength", len(odd), (question.ids[i] for i in odd.tolist()))
    lengths = {name: found.metrics() for name, found in ranges.items()}
    per_query = lengths.pop("full", {})
    if highlights:
        reported = highlights[REPORTED_RATING]
        per_query |= dict(zip(HIGHLIGHT_METRICS, (reported.ap, reported.hit), strict=True))
    official = _official(_rounded(exact_numbers(ranges, highlights)))
    return Scored(per_query, lengths=lengths, official=official, cautions=cautions)


def metric_names(options: Options) -> tuple[str, ...]:
    """Return the names of all metrics of moments and saliency."""
    return MOMENT_METRICS + HIGHLIGHT_METRICS


def _window_cautions(question: Moments, predicted: Windows) -> tuple[Caution, ...]:
    unused = np.maximum(predicted.counts - MAX_WINDOWS, 0)
    found = window_cautions(question.ids, predicted, question.durations_s)
    return found + caution("UnusedWindows", unused.sum(), (question.ids[i] for i in np.flatnonzero(unused).tolist()))


def score_ranges(
    predicted: Windows, targets: Windows, length_ranges: LengthRanges, options: Options
) -> dict[str, Range]:
    """Return the scores of every range of lengths that a query has a target of."""
    ranked = predicted.head(MAX_WINDOWS).ranked()
    found: dict[str, Range] = {}
    for name, limits in length_ranges.items():
        is_member, wanted = np.ones(len(targets.counts), dtype=bool), targets
        if limits is not None:
            length = targets.spans[..., 1] - targets.spans[..., 0]
            wanted = targets.where((length > limits[0]) & (length <= limits[1]))
            is_member = wanted.counts > 0
            wanted = wanted.rows(is_member)
        if is_member.any():
            members = score_windows(predicted.rows(is_member), ranked.rows(is_member), wanted, options.empty_windows)
            found[name] = Range(is_member, members)
    return found


def _spread(values: np.ndarray, is_member: np.ndarray) -> np.ndarray:
    spread = np.full(len(is_member), np.nan)
    spread[is_member] = values
    return spread


def score_highlights(predicted: ClipScores, ratings: ClipRatings) -> dict[str, Highlights]:
    """Return the scores of saliency for every minimum rating."""
    ap = saliency_ap(predicted, ratings, list(MINIMUM_RATINGS.values()))
    return {
        name: Highlights(ap[:, i].mean(axis=1), hit_at_one(predicted, ratings, minimum))
        for i, (name, minimum) in enumerate(MINIMUM_RATINGS.items())
    }


def exact_numbers(ranges: Mapping[str, Range], highlights: Mapping[str, Highlights]) -> Numbers:
    """Return the numbers of the published script in percent, before it rounds them."""
    numbers: Numbers = {
        name: {"MR-mAP": found.scores.precision(), "MR-R1": found.scores.recall()} for name, found in ranges.items()
    }
    return numbers | {
        f"HL-min-{name}": {"HL-mAP": float(100 * found.ap.mean()), "HL-Hit1": float(100 * found.hit.mean())}
        for name, found in highlights.items()
    }


def _rounded(numbers: Numbers) -> Numbers:
    return {key: _rounded(value) if isinstance(value, dict) else round_percent(value) for key, value in numbers.items()}


def _official(rounded: Numbers) -> Numbers:
    """Return the rounded numbers with the summary that the published script prints first."""
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
