"""Answers that look at nothing, chosen and scored by the rule set that they stand beside in a report.

`constant_span`: the best span that is the same for every query. `order_only`: the best answer that knows only where a
query's moment stands in the order of its video's moments; systems that see the queries of a video in the order of their
annotated starts are told that much at test time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.windows import Windows

THRESHOLD = 0.5
"""IoU from which the first span has to hit for the constant span to be chosen, whatever thresholds are reported."""
N_INTERVALS = 40
"""Of the grid of constant spans, from 0 to the latest end of a moment, and from 0 to the whole duration."""
N_BINS = 32
"""Of the duration, between which the spans of ranks lie; videos of more queries than that share bins of ranks."""


@dataclass(frozen=True)
class ConstantSpan:
    """One span for every query.

    Attributes
    ----------
    unit : `seconds`, or `duration` (share of the video's duration)
    start, end : bounds in that unit
    recall : percentage of the queries it was searched on that it hits, at `THRESHOLD`
    """

    unit: Literal["seconds", "duration"]
    start: float
    end: float
    recall: float

    def spans(self, durations_s: np.ndarray) -> np.ndarray:
        """Return the predicted spans in seconds, float64 (N, 2), cut at the end of each video."""
        bounds = np.array([self.start, self.end])
        if self.unit == "duration":
            return bounds * durations_s[:, None]
        return np.minimum(bounds, durations_s[:, None])


def constant_span(
    rules: str, question: Moments, options: Options, n_intervals: int = N_INTERVALS
) -> tuple[ConstantSpan, Spans]:
    """Search a grid of spans, in seconds and relative to the duration, for the one that most queries are hit by.

    Parameters
    ----------
    rules : a rule set for moments
    question : the queries that it is searched on, and answered for: so the search is generous
    options : Options of the rule set; `thresholds` does not matter
    n_intervals : of each of the two grids

    Returns
    -------
    ConstantSpan
        The best of all; on ties the earliest start, then the earliest end, seconds before shares.
    Spans
        It, as the answer to every query.

    Notes
    -----
    Searched by what R1 (R of HiREST) is made of in the rule set, `RuleSet.first`, which is much faster than
    `apply_rules` and gives the same number.
    """
    first = _first(rules, options)

    def searched(candidate: ConstantSpan) -> ConstantSpan:
        iou = first.iou(candidate.spans(question.durations_s), question.targets)
        return replace(candidate, recall=float(first.is_hit(iou, THRESHOLD).mean() * 100))

    candidates = _grid(float(question.targets.spans[..., 1].max()), n_intervals)
    best = max(map(searched, candidates), key=lambda span: span.recall)
    return best, _answers(best.spans(question.durations_s))


def _first(rules: str, options: Options) -> FirstSpan:
    """Return how a rule set judges the first span.

    Raises
    ------
    ValueError
        It is not about moments.
    """
    first = RULE_SETS[rules].first
    if first is None:
        raise ValueError(f"the rule set {rules} judges no first span")
    return first(options)


def _grid(latest_end_s: float, n_intervals: int) -> Iterator[ConstantSpan]:
    first, last = np.triu_indices(n_intervals + 1, k=1)
    units: tuple[tuple[Literal["seconds", "duration"], float], ...] = (("seconds", latest_end_s), ("duration", 1.0))
    for unit, extent in units:
        edges = np.linspace(0.0, extent, n_intervals + 1)
        for start, end in zip(edges[first], edges[last], strict=True):
            yield ConstantSpan(unit, float(start), float(end), recall=0.0)


def _answers(spans: np.ndarray) -> Spans:
    """Return one span per query, float64 (N, 2), as answers."""
    return Spans(Windows(spans[:, None], np.ones((len(spans), 1)), np.ones(len(spans), dtype=np.int64)))


def order_only(rules: str, train: Moments, question: Moments, options: Options) -> dict[str, float]:
    """Return what it is worth to know each query's rank among the starts of its video's (first) moments.

    Parameters
    ----------
    rules : a rule set for moments
    train : queries that the span of every rank among n queries is chosen on: the one that hits most of them
    question : queries that are answered
    options : Options of the rule set

    Returns
    -------
    metric -> number in percent, of every recall of the first span that the rule set gives

    Notes
    -----
    The spans are chosen for each threshold alone: the recalls of several thresholds bound a system from above, they are
    not those of one. Ranks that training lacks get the best constant span of training.
    """
    found = {}
    for metric, threshold in _first_recalls(rules, options).items():
        spans = _spans_of_places(rules, train, question, options, threshold)
        found[metric] = apply_rules(rules, question, _answers(spans), options).metrics[metric]
    return found


def _first_recalls(rules: str, options: Options) -> dict[str, float]:
    """Return the metrics that are recalls of the first span, with their thresholds."""
    named = (name.partition("@") for name in RULE_SETS[rules].names(options))
    return {f"{prefix}@{t}": float(t) for prefix, _, t in named if prefix in ("R1", "R") and t}


def _spans_of_places(rules: str, train: Moments, question: Moments, options: Options, threshold: float) -> np.ndarray:
    """Return the span of every asked query, float64 (N, 2) in seconds."""
    first = _first(rules, options)
    places = _places(train)
    known = {place: i for i, place in enumerate(dict.fromkeys(places))}
    own = np.array([known[place] for place in places])
    shares, latest = _shares(1.0), float((train.targets.spans[:, 0, 1] / train.durations_s).max())
    # Both grids of a constant span, where the unit is the video's duration.
    constants = np.concatenate([np.minimum(_shares(latest), 1.0), shares])
    n_hit = np.empty((len(constants), len(known)), dtype=np.int64)
    for i, share in enumerate(constants):
        is_hit = first.is_hit(first.iou(share * train.durations_s[:, None], train.targets), threshold)
        n_hit[i] = np.bincount(own[is_hit], minlength=len(known))
    best = shares[n_hit[-len(shares) :].argmax(axis=0)]
    constant = constants[n_hit.sum(axis=1).argmax()]
    chosen = [best[known[place]] if place in known else constant for place in _places(question)]
    return np.array(chosen) * question.durations_s[:, None]


def _shares(extent: float) -> np.ndarray:
    """Return the grid of spans between `N_BINS` bins of an extent, float64 (S, 2)."""
    first, last = np.triu_indices(N_BINS + 1, k=1)
    edges = np.linspace(0.0, extent, N_BINS + 1)
    return np.stack([edges[first], edges[last]], axis=1)


def _places(question: Moments) -> list[tuple[int, int]]:
    """Return (rank by start, number of queries) of every query in its video; of many queries, the bin of its rank."""
    members: dict[str, list[int]] = {}
    for i, video in enumerate(question.video_ids):
        members.setdefault(video, []).append(i)
    places = [(0, 0)] * len(question.ids)
    for own in members.values():
        n = len(own)
        for rank, i in enumerate(sorted(own, key=lambda i: question.targets.spans[i, 0, 0])):
            places[i] = (rank, n) if n <= N_BINS else (int((rank + 0.5) / n * N_BINS), N_BINS + 1)
    return places
