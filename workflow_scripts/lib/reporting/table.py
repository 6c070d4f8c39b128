"""The tables of a metrics file: a system, its variants and what it stands beside, against metrics and groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.lib.metrics.rule_sets import RULE_SETS

MOMENTS = "R1@0.5"
"""The number by which moments are told, whatever a rule set ends with."""
BASELINES = {
    "best_constant": "best constant span",
    "order_only": "order of the moments alone",
    "floor": "baseline, learnt",
}
"""Baseline of a metrics file -> what the table calls it."""


@dataclass(frozen=True)
class Table:
    """Scores by one rule set.

    Attributes
    ----------
    rules : name of the rule set; None where a file has no numbers
    names : metrics, in the order in which they are drawn
    groups : groups of queries, each with one metric more
    group_metric : that metric
    rows : label, values of the metrics and of the groups (None: not known)
    """

    rules: str | None
    names: Sequence[str]
    groups: Sequence[str]
    group_metric: str
    rows: Sequence[tuple[str, Sequence[float | None]]]

    @property
    def header(self) -> list[str]:
        """Names of the columns, that of the labels apart."""
        return [*self.names, *(f"{group} {self.group_metric}" for group in self.groups)]


def tables_of(metrics: Mapping[str, Any]) -> list[Table]:
    """Return the table of the first rule set of every task, that of the headline first."""
    first: dict[tuple[str, bool], str] = {}
    for rules in sorted(metrics.get("rule_sets", {}), key=lambda name: name != metrics.get("rules")):
        first.setdefault((RULE_SETS[rules].task, RULE_SETS[rules].about_steps), rules)
    return [_table(metrics, rules) for rules in first.values()] or [_table(metrics, metrics.get("rules"))]


def _table(metrics: Mapping[str, Any], rules: str | None) -> Table:
    own = metrics["rule_sets"][rules]["metrics"] if rules in metrics.get("rule_sets", {}) else metrics["metrics"]
    names = [name for name in RULE_SETS[rules].columns if name in own] if rules in RULE_SETS else list(own)
    group_metric = RULE_SETS[rules].group_metric if rules in RULE_SETS else ""
    is_headline = rules == metrics.get("rules")
    groups = list(metrics["groups"]) if is_headline else []
    rows = []
    for label, scores in _scored(metrics):
        values = scores["metrics"] if is_headline else scores.get("rule_sets", {}).get(rules)
        if values is not None:
            of_groups = [scores.get("groups", {}).get(group, {}).get(group_metric) for group in groups]
            rows.append((label, [*map(values.get, names), *of_groups]))
    for row in published_rows(metrics, rules):
        rows.append((f"{row['system']} (published)", [*map(row["metrics"].get, names), *[None] * len(groups)]))
    return Table(rules, names, groups, group_metric, rows)


def _scored(metrics: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return label and scores of the baselines, the system, its parts, it under other settings or without a stream."""
    baselines, name = metrics["baselines"], metrics["system"]
    own = {"metrics": metrics["metrics"], "groups": metrics["groups"]}
    own["rule_sets"] = {rules: section["metrics"] for rules, section in metrics.get("rule_sets", {}).items()}
    rows = [(label, baselines[key]) for key, label in BASELINES.items() if baselines.get(key)]
    rows.append((name, own))
    rows += [(f"{name}, predictor {part} alone", scores) for part, scores in metrics.get("predictors", {}).items()]
    varied = metrics.get("variations", {}).items()
    rows += [(f"{name}, {variation.replace('_', ' ')}", scores) for variation, scores in varied]
    return rows + [(f"{name}, {stream} set to zero", scores) for stream, scores in metrics["ablations"].items()]


def published_rows(metrics: Mapping[str, Any], rules: str | None) -> list[Mapping[str, Any]]:
    """Return the published rows about the same split by a rule set."""
    return [row for row in metrics.get("published") or [] if row["rules"] == rules]


def headline(rules: str, there: Sequence[str]) -> str:
    """Return the metric that stands for a rule set, of those that are there: R1@0.5 of moments, else its own choice."""
    chosen = RULE_SETS[rules].headline if rules in RULE_SETS else ""
    return next((name for name in (MOMENTS, chosen) if name in there), there[0])


def rule_set_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return lines for every rule set: its numbers, each with its confidence interval, and published rows.

    The published rows of the tables' rule sets stand in the tables themselves.
    """
    lines, in_tables = [], [table.rules for table in tables_of(metrics)]
    for name, section in metrics.get("rule_sets", {}).items():
        numbers = []
        for metric, value in section["metrics"].items():
            low_high = section["confidence"].get(metric)
            interval = f" [{low_high[0]:.1f}, {low_high[1]:.1f}]" if low_high else ""
            numbers.append(f"{metric} {value:.2f}{interval}")
        lines.append(f"  {name}: {', '.join(numbers)}")
        for row in published_rows(metrics, name) if name not in in_tables else []:
            values = ", ".join(f"{metric} {value:.2f}" for metric, value in row["metrics"].items())
            lines.append(f"    {row['system']} (published): {values}")
    return lines


def left_out_notes(metrics: Mapping[str, Any]) -> list[str]:
    """Return what was left out of training and selection and why, a line each; none where nothing was."""
    left_out = metrics.get("provenance", {}).get("checkpoint", {}).get("left_out", {})
    return [
        f"left out of {role}: {', '.join(f'{n} ({reason})' for reason, n in reasons.items())}"
        for role, reasons in left_out.items()
        if reasons
    ]


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Return the tables as text, fit for a terminal."""
    title = f"{metrics['system']} on {metrics['dataset']} ({metrics['split']}, {metrics['protocol']} protocol), percent"
    # Published tables have two decimals; what stands beside them has, too.
    digits = 2 if metrics.get("published") or metrics["protocol"] == "external" else 1
    first, *others = tables_of(metrics)
    text = ["", title, *_lines(first, digits)]
    for table in others:
        rules = RULE_SETS[table.rules]
        text += ["", f"{'captions of steps' if rules.about_steps else rules.task} ({table.rules}):"]
        text += _lines(table, digits)
    counts = metrics["counts"]
    lost = ", ".join(f"{n} {reason}" for reason, n in counts["skipped"].items()) or "none left out"
    means = [f"mean {name.replace('_', ' ')} {s['mean']:.2f}" for name, s in metrics.get("query_scores", {}).items()]
    unreadable = f"; {n} answers could not be read" if (n := counts.get("unreadable")) else ""
    scored = f"{counts['evaluated']} of {counts['queries']} queries scored; {lost}{unreadable}"
    means += left_out_notes(metrics)
    notes = rule_set_notes(metrics)
    if notes:
        notes = ["", "By rule set, with 95 % confidence intervals over queries:", *notes]
    return "\n".join([*text, scored, *means, *notes])


def _lines(table: Table, digits: int) -> list[str]:
    lines = [["", *table.header]]
    lines += [[label, *("" if v is None else f"{v:.{digits}f}" for v in values)] for label, values in table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
