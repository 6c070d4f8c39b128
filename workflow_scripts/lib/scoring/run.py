"""Score the answers of a system: by every rule set, per group of queries, and each variant beside it."""

import statistics
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.errors import NothingAnnotated
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.predictions.answer_tables import OWN, variants_in
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_owner
from workflow_scripts.lib.scoring.pictures import with_pictures
from workflow_scripts.lib.scoring.results import Result, group_means, options_of
from workflow_scripts.lib.scoring.tasks import Tables, ask, tasks_of


def score_run(
    split: AnnotatedSplit,
    tables: Tables,
    evaluation: Mapping[str, Any],
    rules: Iterable[str],
    tasks: Collection[str],
    variant: str = OWN,
) -> tuple[list[Result], dict[str, str]]:
    """Apply rule sets to a system's answers.

    Parameters
    ----------
    split : annotated
    tables : task -> answers of all variants
    evaluation : resolved settings (`thresholds`, `nms_thresholds`, ...; `given`)
    rules : names of rule sets
    tasks : what the system was asked

    Returns
    -------
    one Result per rule set, and why others gave none
    """
    own = {task: table.filter(pc.equal(table["variant"], variant)) for task, table in tables.items()}
    results, left_out = [], {}
    for name in rules:
        rule_set = RULE_SETS[name]
        if not set(tasks_of(rule_set)) & set(tasks):
            left_out[name] = f"the system does not answer {' or '.join(tasks_of(rule_set))}"
            continue
        if rule_set.about_steps and evaluation.get("given", {}).get("steps") == "predicted":
            left_out[name] = "the steps are predicted: their captions belong to no annotated step"
            continue
        try:
            question, answers = ask(split, own, rule_set)
        except NothingAnnotated as error:
            left_out[name] = str(error)
            continue
        options = options_of(evaluation, name)
        if "CLIPScore" in options.also and rule_set.task == "captions":
            question = with_pictures(question, split, Path(evaluation["pictures"]), rule_set.about_steps)
        results.append(Result(name, question, options, apply_rules(name, question, answers, options)))
    return results, left_out


def grouped(result: Result, split: AnnotatedSplit, group_by: str | None) -> dict[str, dict[str, float]]:
    """Return the metrics of every group of queries, named by a field of their extra data."""
    if group_by is None:
        return {}
    group_of = {query: str(fields.get(group_by)) for query, fields in split.extra().items()}
    rules, ids = RULE_SETS[result.rules], result.question.ids
    if rules.task == "videos":
        group_of = {text: group_of[query] for query, text in split.prompts().items()}
    elif rules.about_steps:
        group_of = {step: group_of[step_owner(step)] for step in ids}
    return group_means(result, group_of) if set(ids) <= group_of.keys() else {}


def score_variants(
    split: AnnotatedSplit, tables: Tables, prefix: str, evaluation: Mapping[str, Any], results: Iterable[Result]
) -> dict[str, dict[str, Any]]:
    """Return what each variant of a prefix scores by the rule sets that scored the system itself.

    Returns
    -------
    name of the variant -> `metrics` and `groups` by the first rule set that scores it, and all of them by `rule_sets`
    """
    rules = [result.rules for result in results]
    names = dict.fromkeys(name for table in tables.values() for name in variants_in(table, prefix))
    found = {}
    for name in names:
        variant = f"{prefix}{name}"
        tasks = [task for task, table in tables.items() if _has(table, variant)]
        scored, _ = score_run(split, tables, evaluation, rules, tasks, variant)
        if scored:
            found[name] = {
                "metrics": scored[0].scored.metrics,
                "groups": grouped(scored[0], split, evaluation["group_by"]),
                "rule_sets": {result.rules: result.scored.metrics for result in scored},
            }
    return found


def _has(table: pa.Table, variant: str) -> bool:
    return pc.any(pc.equal(table["variant"], variant)).as_py() or False


def score_means(split: AnnotatedSplit, scores: pa.Table, group_by: str | None) -> dict[str, dict[str, Any]]:
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
