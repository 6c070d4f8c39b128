"""Render a report as one self-contained HTML file."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.page import TEMPLATES, svg_markup
from workflow_scripts.lib.reporting.table import HEADLINE, published_rows, table_rows

MAX_VIDEOS = 12
MIN_BAR_PERCENT = 0.3
"""A bar of this width can still be seen."""


def render_report(
    title: str,
    metrics: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    references: Sequence[Reference],
    predictions: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the report.

    Parameters
    ----------
    metrics : content of the system's metrics.json
    history : one row per epoch; empty where the checkpoint was trained elsewhere
    references, predictions, scores : queries, spans and query scores of the first seed, for the timelines
    """
    groups = list(metrics["groups"])
    random_weights = [f"{name} {w}" for name, w in metrics["provenance"]["weights"].items() if w.startswith("random(")]
    return TEMPLATES.get_template("report.html.jinja").render(
        title=title,
        metrics=metrics,
        names=list(metrics["metrics"]),
        groups=groups,
        headline=HEADLINE,
        rows=table_rows(metrics),
        rule_sets=metrics.get("rule_sets", {}),
        published={name: published_rows(metrics, name) for name in metrics.get("rule_sets", {})},
        curve=training_curve(history) if history else None,
        videos=timelines(references, predictions, scores),
        random_weights=random_weights,
        provenance=json.dumps(metrics["provenance"], indent=2, sort_keys=True),
    )


def training_curve(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Return an SVG of the training loss and the selection metrics over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    loss, score = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    loss.plot(epochs, [row["total"] for row in history])
    loss.set(title="training loss", xlabel="epoch", yscale="log")
    for name in [key for key in history[-1] if key.startswith(("R1@", "mIoU"))]:
        known = [(row["epoch"], row[name]) for row in history if name in row]
        score.plot(*zip(*known, strict=True), label=name)
    score.set(title="selection split, percent", xlabel="epoch", ylim=(0, 100))
    score.legend(fontsize="small")
    return svg_markup(figure)


def timelines(
    references: Sequence[Reference],
    predictions: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Return the first videos with their queries and scores; spans as percent of the video's duration."""
    scores_of: dict[str, list[str]] = defaultdict(list)
    for row in scores:
        scores_of[row["query_id"]].append(f"{row['name'].replace('_', ' ')} {row['value']:.2f}")
    predicted = {row["query_id"]: row for row in predictions if row["rank"] == 0}
    by_video: dict[str, list[Reference]] = defaultdict(list)
    for reference in references:
        if reference.query_id in predicted:
            by_video[reference.video_id].append(reference)
    shown = []
    for video_id, queries in sorted(by_video.items())[:MAX_VIDEOS]:
        rows = []
        for query in queries:
            row = predicted[query.query_id]
            span = None if row["start_s"] is None else (row["start_s"], row["end_s"])
            rows.append(
                {
                    "text": query.text,
                    "kind": query.extra.get("kind", ""),
                    "scores": ", ".join(scores_of[query.query_id]),
                    "annotated": _share(query.span, query),
                    "predicted": _share(span, query),
                }
            )
        shown.append({"video_id": video_id, "duration_s": queries[0].duration_s, "queries": rows})
    return shown


def _share(span: tuple[float, float] | None, query: Reference) -> dict[str, float] | None:
    if span is None:
        return None
    left, right = (100 * min(max(t / query.duration_s, 0), 1) for t in span)
    width = max(right - left, MIN_BAR_PERCENT)
    return {"left": min(left, 100 - width), "width": width, "start": span[0], "end": span[1]}
