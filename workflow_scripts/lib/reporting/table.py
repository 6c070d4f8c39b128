"""The table of a metrics file: systems, ablations and baselines against groups of queries."""

from collections.abc import Mapping
from typing import Any

HEADLINE = "R1@0.5"
BASELINES = {"best_constant": "best constant span", "order_only": "order of the moments alone"}
"""Baseline of a metrics file -> what the table calls it."""


def table_rows(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return label and scores of every row.

    The baselines, the system, its predictors, it under other settings, it with a stream set to zero.
    """
    baselines = metrics["baselines"]
    rows = [(label, baselines[name]) for name, label in BASELINES.items() if baselines.get(name)]
    rows.append((metrics["system"], metrics))
    predictors = metrics.get("predictors", {}).items()
    rows += [(f"{metrics['system']}, predictor {name} alone", scores) for name, scores in predictors]
    varied = metrics.get("variations", {}).items()
    rows += [(f"{metrics['system']}, {name.replace('_', ' ')}", scores) for name, scores in varied]
    rows += [(f"{metrics['system']}, {stream} set to zero", scores) for stream, scores in metrics["ablations"].items()]
    return rows


def published_rows(metrics: Mapping[str, Any], rules: str | None) -> list[Mapping[str, Any]]:
    """Return the published rows about the same split by a rule set."""
    return [row for row in metrics.get("published") or [] if row["rules"] == rules]


def rule_set_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return lines for every rule set: its numbers, each with its confidence interval, and published rows.

    The published rows of the headline's rule set stand in the table itself.
    """
    lines = []
    for name, section in metrics.get("rule_sets", {}).items():
        numbers = []
        for metric, value in section["metrics"].items():
            low_high = section["confidence"].get(metric)
            interval = f" [{low_high[0]:.1f}, {low_high[1]:.1f}]" if low_high else ""
            numbers.append(f"{metric} {value:.2f}{interval}")
        lines.append(f"  {name}: {', '.join(numbers)}")
        for row in published_rows(metrics, name) if name != metrics["rules"] else []:
            values = ", ".join(f"{metric} {value:.2f}" for metric, value in row["metrics"].items())
            lines.append(f"    {row['system']} (published): {values}")
    return lines


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return the table as text, fit for a terminal."""
    names, groups = list(metrics["metrics"]), list(metrics["groups"])
    header = ["", *names, *(f"{group} {HEADLINE}" for group in groups)]
    published = published_rows(metrics, metrics.get("rules"))
    # Published tables have two decimals; what stands beside them has, too.
    digits = 2 if metrics.get("published") or metrics["protocol"] == "external" else 1
    lines = [header]
    for label, scores in table_rows(metrics):
        values = [scores["metrics"].get(name) for name in names]
        values += [scores["groups"].get(group, {}).get(HEADLINE) for group in groups]
        lines.append([label, *("" if v is None else f"{v:.{digits}f}" for v in values)])
    for row in published:
        values = [row["metrics"].get(name) for name in names]
        label = f"{row['system']} (published)"
        lines.append([label, *("" if v is None else f"{v:.{digits}f}" for v in values), *[""] * len(groups)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    text = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
    title = f"{metrics['system']} on {metrics['dataset']} ({metrics['split']}, {metrics['protocol']} protocol), percent"
    counts = metrics["counts"]
    lost = ", ".join(f"{n} {reason}" for reason, n in counts["skipped"].items()) or "none left out"
    means = [f"mean {name.replace('_', ' ')} {s['mean']:.2f}" for name, s in metrics.get("query_scores", {}).items()]
    unreadable = f"; {n} answers could not be read" if (n := counts.get("unreadable")) else ""
    scored = f"{counts['evaluated']} of {counts['queries']} queries scored; {lost}{unreadable}"
    notes = rule_set_notes(metrics)
    if notes:
        notes = ["", "By rule set, with 95 % confidence intervals over queries:", *notes]
    return "\n".join(["", title, *text, scored, *means, *notes])
