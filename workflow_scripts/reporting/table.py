"""The table of a metrics file: systems, ablations and baselines against groups of queries."""

from collections.abc import Mapping
from typing import Any

HEADLINE = "R1@0.5"


def table_rows(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return label and scores of every row: the baseline, the system, the system with a stream set to zero."""
    baseline = metrics["baselines"].get("best_constant")
    rows = [("best constant span", baseline)] if baseline else []
    rows.append((metrics["system"], metrics))
    rows += [(f"{metrics['system']}, {stream} set to zero", scores) for stream, scores in metrics["ablations"].items()]
    return rows


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return the table as text, fit for a terminal."""
    names, groups = list(metrics["metrics"]), list(metrics["groups"])
    header = ["", *names, *(f"{group} {HEADLINE}" for group in groups)]
    lines = [header]
    for label, scores in table_rows(metrics):
        values = [scores["metrics"].get(name) for name in names]
        values += [scores["groups"].get(group, {}).get(HEADLINE) for group in groups]
        lines.append([label, *("" if v is None else f"{v:.1f}" for v in values)])
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
    return "\n".join(["", title, *text, f"{counts['evaluated']} of {counts['queries']} queries scored; {lost}"])
