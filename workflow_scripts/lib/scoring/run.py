"""Score the predictions of a system: by every rule set, per group of queries, and with a stream set to zero."""

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.errors import NothingAnnotated
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.scoring.annotated import Split
from workflow_scripts.lib.scoring.answered import read_answers
from workflow_scripts.lib.scoring.results import Result, group_means, options_of


def score_run(
    split: Split, predictions: pa.Table, saliency: Path, evaluation: Mapping[str, Any], rules: Iterable[str]
) -> list[Result]:
    """Apply rule sets to a system's predictions.

    Parameters
    ----------
    split : annotated queries that were asked
    predictions : rows of the table of predictions
    saliency : table of predicted saliency, which need not be there
    evaluation : resolved settings (`thresholds`, `nms_thresholds`)
    rules : names of rule sets

    Returns
    -------
    one Result per rule set; none for those whose annotations the split lacks altogether
    """
    results = []
    for name in rules:
        rule_set = RULE_SETS[name]
        try:
            question = split.question(rule_set.task, rule_set.view, rule_set.about_steps)
        except NothingAnnotated:
            continue
        answers, options = read_answers(predictions, saliency, name, question), options_of(evaluation, name)
        results.append(Result(name, question, options, apply_rules(name, question, answers, options)))
    return results


def grouped(results: list[Result], split: Split, group_by: str | None) -> dict[str, dict[str, float]]:
    """Return the first rule set's metrics of every group of queries, named by a field of their extra data."""
    if group_by is None or not results:
        return {}
    return group_means(results[0], {query: str(extra.get(group_by)) for query, extra in split.extra().items()})


def score_kinds(
    split: Split, predictions: pa.Table, column: str, kinds: Iterable[str], evaluation: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return metrics and groups, by the first rule set, of each kind of predictions that a column tells apart."""
    return {
        kind: _score_headline(split, predictions.filter(pc.equal(predictions[column], kind)), evaluation)
        for kind in kinds
    }


def score_means(split: Split, scores: pa.Table, group_by: str | None) -> dict[str, dict[str, Any]]:
    """Return mean, and means of groups, of every score that a system gives for queries.

    Parameters
    ----------
    scores : rows of the table of query scores
    group_by : field of the queries' extra data; None: no groups
    """
    group_of = {} if group_by is None else {query: str(extra.get(group_by)) for query, extra in split.extra().items()}
    values: dict[str, list[tuple[str, float]]] = {}
    for row in scores.to_pylist():
        values.setdefault(row["name"], []).append((row["query_id"], row["value"]))
    found = {}
    for name, rows in values.items():
        groups: dict[str, list[float]] = {}
        for query, value in rows:
            if query in group_of:
                groups.setdefault(group_of[query], []).append(value)
        means = {group: statistics.fmean(members) for group, members in sorted(groups.items())}
        found[name] = {"mean": statistics.fmean(value for _, value in rows), "groups": means}
    return found


def _score_headline(split: Split, rows: pa.Table, evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    results = score_run(split, rows, Path(), evaluation, evaluation["rules"][:1])
    metrics = results[0].scored.metrics if results else {}
    return {"metrics": metrics, "groups": grouped(results, split, evaluation["group_by"])}
