"""Scores of one run: overall and per group of queries, and the best answer that looks at nothing."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.constant_span import best_constant_span
from workflow_scripts.lib.metrics.order_span import order_only_recall
from workflow_scripts.lib.metrics.top_span import summarise, top_span_iou
from workflow_scripts.lib.predictions.references import Reference

BASELINE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Scores:
    """Metrics in percent, overall and per group, and the IoU of every scored query."""

    metrics: dict[str, float]
    groups: dict[str, dict[str, float]]
    iou: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Return metrics and groups."""
        return {"metrics": self.metrics, "groups": self.groups}


def score_groups(
    predictions: Sequence[Mapping[str, Any]],
    references: Sequence[Reference],
    thresholds: Sequence[float],
    group_by: str | None,
) -> Scores:
    """Score the rank-0 span of every query that has an annotated moment."""
    spans = {
        row["query_id"]: None if row["start_s"] is None else (row["start_s"], row["end_s"])
        for row in predictions
        if row["rank"] == 0
    }
    scored = [r for r in references if r.span is not None]
    iou = top_span_iou(spans, {r.query_id: r.span for r in scored})
    groups = {
        name: summarise([iou[r.query_id] for r in members], thresholds)
        for name, members in _group(scored, group_by).items()
    }
    return Scores(summarise(list(iou.values()), thresholds), groups, iou)


def _group(references: Sequence[Reference], group_by: str | None) -> dict[str, list[Reference]]:
    groups: dict[str, list[Reference]] = defaultdict(list)
    if group_by is not None:
        for reference in references:
            groups[str(reference.extra.get(group_by))].append(reference)
    return dict(sorted(groups.items()))


def constant_baseline(
    references: Sequence[Reference], thresholds: Sequence[float], group_by: str | None
) -> dict[str, Any] | None:
    """Return the scores of the best constant span, chosen on the very queries it is scored on (so: generous)."""
    scored = [r for r in references if r.span is not None]
    if not scored:
        return None
    durations = np.array([r.duration_s for r in scored])
    best = best_constant_span(np.array([r.span for r in scored]), durations, BASELINE_THRESHOLD)
    rows = [
        {"query_id": r.query_id, "rank": 0, "start_s": float(span[0]), "end_s": float(span[1])}
        for r, span in zip(scored, best.spans(durations), strict=True)
    ]
    span = {"unit": best.unit, "start": best.start, "end": best.end}
    return {"span": span, **score_groups(rows, scored, thresholds, group_by).as_dict()}


def order_baseline(
    train: Sequence[Reference], references: Sequence[Reference], thresholds: Sequence[float]
) -> dict[str, Any] | None:
    """Return the scores of the best answer that knows only a query's rank among the starts of its video's moments.

    Every threshold has spans of its own, learnt on `train`; None where nothing is annotated there.
    """
    known, asked = _moments_of_videos(train), _moments_of_videos(references)
    if not (known and asked):
        return None
    return {"metrics": {f"R1@{t}": order_only_recall(known, asked, t) for t in thresholds}, "groups": {}}


def _moments_of_videos(references: Sequence[Reference]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for every video its moments, in shares of the duration, and their ranks by start."""
    videos = defaultdict(list)
    for reference in references:
        if reference.span is not None:
            videos[reference.video_id].append(np.array(reference.span) / reference.duration_s)
    found = []
    for moments in map(np.array, videos.values()):
        ranks = np.empty(len(moments), dtype=np.int64)
        ranks[np.argsort(moments[:, 0], kind="stable")] = np.arange(len(moments))
        found.append((moments, ranks))
    return found


def skipped_counts(n_asked: int, n_scored: int, skipped: Mapping[str, int], n_unreadable: int = 0) -> dict[str, Any]:
    """Return how many queries there are, were scored, were lost for which reason, or had an unreadable answer."""
    reasons = dict(skipped)
    if n_asked > n_scored:
        reasons["no annotated moment"] = n_asked - n_scored
    n_queries = n_asked + sum(skipped.values())
    return {"queries": n_queries, "evaluated": n_scored, "skipped": reasons, "unreadable": n_unreadable}
