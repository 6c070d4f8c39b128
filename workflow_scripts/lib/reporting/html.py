"""Render a report as one self-contained HTML file."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.reporting.page import TEMPLATES, svg_markup
from workflow_scripts.lib.reporting.shown_answers import AnsweredTask
from workflow_scripts.lib.reporting.table import left_out_notes, published_rows, tables_of


def render_report(
    title: str, metrics: Mapping[str, Any], history: Sequence[Mapping[str, Any]], sections: Sequence[AnsweredTask]
) -> str:
    """Return the report.

    Parameters
    ----------
    metrics : content of the system's metrics.json
    history : one row per epoch; empty where the checkpoint was trained elsewhere, or nothing is trained
    sections : answers of the first seed
    """
    random_weights = [f"{name} {w}" for name, w in metrics["provenance"]["weights"].items() if w.startswith("random(")]
    return TEMPLATES.get_template("report.html.jinja").render(
        title=title,
        metrics=metrics,
        tables=[(_named(table.rules), table) for table in tables_of(metrics)],
        rule_sets=metrics.get("rule_sets", {}),
        published={name: published_rows(metrics, name) for name in metrics.get("rule_sets", {})},
        curve=training_curve(history) if history else None,
        sections=sections,
        random_weights=random_weights,
        left_out=left_out_notes(metrics),
        provenance=json.dumps(metrics["provenance"], indent=2, sort_keys=True),
    )


def _named(rules: str | None) -> str:
    if rules not in RULE_SETS:
        return ""
    return "captions of steps" if RULE_SETS[rules].about_steps else RULE_SETS[rules].task


def training_curve(history: Sequence[Mapping[str, Any]]) -> Markup:
    """Return an SVG of the training loss and the selection scores over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.8), layout="constrained")
    loss, score = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    loss.plot(epochs, [row["total"] for row in history])
    loss.set(title="training loss", xlabel="epoch", yscale="log")
    names = {name for rules in RULE_SETS.values() for name in rules.columns}
    for name in [key for key in history[-1] if key in names or key.startswith("select_")]:
        known = [(row["epoch"], row[name]) for row in history if name in row]
        score.plot(*zip(*known, strict=True), label=name)
    score.set(title="selection split", xlabel="epoch")
    score.set_ylim(bottom=0)
    if score.lines:
        score.legend(fontsize="small")
    return svg_markup(figure)
