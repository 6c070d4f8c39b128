"""Apply rule sets, with confidence intervals, and write the tables of single queries and lengths."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.lib.datasets.errors import AnnotationError
from workflow_scripts.lib.errors import DataError, UserError
from workflow_scripts.lib.metrics.bootstrap import confidence_interval
from workflow_scripts.lib.metrics.questions import Question
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.scored import Options, Scored, percent
from workflow_scripts.lib.scoring.annotated import step_owner
from workflow_scripts.lib.scoring.tasks import TASKS, tasks_of
from workflow_scripts.lib.store.tables import write_table

log = logging.getLogger(__name__)

LEVEL = 0.95
PER_QUERY, PER_LENGTH = "per_query.parquet", "per_length.parquet"
_TEXT = pa.dictionary(pa.int32(), pa.string())
PER_QUERY_SCHEMA = pa.schema(
    [("rules", _TEXT), ("metric", _TEXT), ("query_id", pa.string()), ("video_id", pa.string()), ("value", pa.float64())]
)
PER_LENGTH_SCHEMA = pa.schema(
    [("rules", pa.string()), ("length", pa.string()), ("metric", pa.string()), ("queries", pa.int64())]
    + [(name, pa.float64()) for name in ("value", "low", "high")]
)


@dataclass(frozen=True)
class Result:
    """One question, scored by one rule set.

    Attributes
    ----------
    rules : name of the rule set
    question : what was asked
    options : Options
    scored : Scored
    """

    rules: str
    question: Question
    options: Options
    scored: Scored

    def section(self) -> dict[str, Any]:
        """Return what metrics.json says about this rule set."""
        rule_set, scored = RULE_SETS[self.rules], self.scored
        options = {"moments": rule_set.view} if rule_set.task == "moments" else {}
        options |= {name: getattr(self.options, name) for name in rule_set.options}
        return {
            "metrics": scored.metrics,
            "confidence": intervals({k: v for k, v in scored.per_query.items() if k not in scored.corpus}),
            "queries": len(self.question.ids),
            "options": options,
            "source": rule_set.source,
            "official": dict(scored.official),
            "lengths": {
                name: {metric: percent(values) for metric, values in columns.items()} | {"queries": _n_members(columns)}
                for name, columns in scored.lengths.items()
            },
            "cautions": [str(caution) for caution in scored.cautions],
        }


def options_of(settings: Mapping[str, Any], rules: str, clip: bool = False) -> Options:
    """Return the options of a rule set from resolved settings.

    Parameters
    ----------
    settings : `thresholds`, `nms_thresholds`, and of the other fields of Options those that are not as by default
    rules : name of the rule set
    clip : cut predicted windows to the video first
    """
    nms_threshold = settings["nms_thresholds"].get(rules, Options.nms_threshold)
    found = Options(tuple(settings["thresholds"]), nms_threshold, clip)
    chosen = {name: settings[name] for name in ("empty_windows", "reversed", "match_number") if name in settings}
    models = {metric: tuple(map(Path, paths)) for metric, paths in settings.get("models", {}).items()}
    return replace(found, **chosen, also=tuple(models), models=models)


def sections(results: Sequence[Result]) -> dict[str, Any]:
    """Return what metrics.json says, the numbers of the first rule set and those of every one, and log what is odd."""
    for result in results:
        for caution in result.scored.cautions:
            log.warning("%s: %s", result.rules, caution)
    found = {result.rules: result.section() for result in results}
    first = next(iter(found.values()), {"metrics": {}, "confidence": {}})
    return {
        "rules": next(iter(found), None),
        "metrics": first["metrics"],
        "confidence": first["confidence"],
        "rule_sets": found,
    }


def counts(
    results: Sequence[Result], summary: Mapping[str, Any], empty: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Return how many queries there are, were scored, were lost for which reason, or had an unreadable answer.

    `without`, where there are some: how many were asked without rows of a stream, as a video without sound is. Of the
    task of the first rule set; the others by task.

    Parameters
    ----------
    summary : content of `predict.json`
    empty : reason -> number of queries that were asked, whose annotated moments hold nothing of their video
    """
    by_task = {}
    for task, asked in summary["tasks"].items():
        # The steps of a query are described one by one, and asked about together.
        kinds: dict[bool, set[str]] = {}
        for result in results:
            rules, ids = RULE_SETS[result.rules], result.question.ids
            if task in tasks_of(rules):
                kinds.setdefault(rules.about_steps, {step_owner(i) for i in ids} if rules.about_steps else set(ids))
        n_scored, reasons = sum(map(len, kinds.values())), dict(asked["skipped"])
        lost = empty if empty and task in ("moments", "highlights") else {}
        reasons |= lost
        if asked["asked"] > n_scored + sum(lost.values()):
            reasons[TASKS[task].unannotated] = asked["asked"] - n_scored - sum(lost.values())
        by_task[task] = {
            "queries": asked["asked"] + sum(asked["skipped"].values()),
            "evaluated": n_scored,
            "skipped": reasons,
        }
    asked = tasks_of(RULE_SETS[results[0].rules]) if results else by_task
    first = next(task for task in asked if task in by_task)
    without = {"without": summary["without"]} if summary.get("without") else {}
    return {**by_task[first], "unreadable": summary["unreadable"], **without, "tasks": by_task}


def intervals(columns: Mapping[str, np.ndarray]) -> dict[str, list[float]]:
    """Return the bootstrap confidence interval of every mean, in percent.

    Parameters
    ----------
    columns : metric -> float64 (N,), shares; NaN where a query is not in the mean

    Returns
    -------
    metric -> [low, high]; all metrics of the same queries share their resamples
    """
    found: dict[str, list[float]] = {}
    by_members: dict[bytes, list[str]] = {}
    for name, values in columns.items():
        by_members.setdefault(np.isnan(values).tobytes(), []).append(name)
    for names in by_members.values():
        values = np.stack([columns[name] for name in names], axis=-1)
        values = values[~np.isnan(values[:, 0])]
        if len(values):
            interval = confidence_interval(100 * values, LEVEL)
            found |= {n: [float(interval.low[i]), float(interval.high[i])] for i, n in enumerate(names)}
    return {name: found[name] for name in columns if name in found}


def _n_members(columns: Mapping[str, np.ndarray]) -> int:
    return int((~np.isnan(next(iter(columns.values())))).sum())


def write_tables(folder: Path, results: Sequence[Result]) -> None:
    """Write `per_query.parquet` and `per_length.parquet`.

    Notes
    -----
    The mean of `value` over the rows of one rule set and metric, times 100, is the number in metrics.json, but for BLEU
    and METEOR: their rows are the captions' own scores.
    """
    parts = [_per_query(result) for result in results]
    empty = PER_QUERY_SCHEMA.empty_table()
    write_table(folder / PER_QUERY, pa.concat_tables([empty, *parts]).unify_dictionaries())
    lines = [line for result in results for line in _per_length(result)]
    write_table(folder / PER_LENGTH, pa.Table.from_pylist(lines, schema=PER_LENGTH_SCHEMA))


def _per_query(result: Result) -> pa.Table:
    ids = pa.array(result.question.ids, pa.string())
    videos = pa.array(result.question.video_ids, pa.string())
    parts = []
    for metric, values in result.scored.per_query.items():
        is_member = pa.array(~np.isnan(values))
        columns = {
            "rules": pa.array([result.rules] * len(ids), pa.string()).dictionary_encode(),
            "metric": pa.array([metric] * len(ids), pa.string()).dictionary_encode(),
            "query_id": ids,
            "video_id": videos,
            "value": pa.array(values, pa.float64()),
        }
        parts.append(pa.table(columns, schema=PER_QUERY_SCHEMA).filter(is_member))
    return pa.concat_tables(parts)


def _per_length(result: Result) -> Iterator[dict[str, Any]]:
    for length, columns in result.scored.lengths.items():
        bounds = intervals(columns)
        for metric, values in columns.items():
            low, high = bounds[metric]
            yield {
                "rules": result.rules,
                "length": length,
                "metric": metric,
                "queries": int((~np.isnan(values)).sum()),
                "value": percent(values),
                "low": low,
                "high": high,
            }


def group_means(result: Result, group_of: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Return the metrics of every group of queries, in percent; those that are no means are left out.

    Parameters
    ----------
    group_of : query id -> group
    """
    own = np.array([group_of[query] for query in result.question.ids], dtype=object)
    scored = result.scored
    groups = {}
    for name in sorted(set(own.tolist())):
        chosen = {metric: values[own == name] for metric, values in scored.per_query.items()}
        groups[name] = {
            metric: percent(values)
            for metric, values in chosen.items()
            if metric not in scored.corpus and not np.isnan(values).all()
        }
    return groups


@contextlib.contextmanager
def refusing_readably(where: str) -> Iterator[None]:
    """Turn a refusal of an evaluator into a message for the person at the keyboard: where, its name, what is wrong."""
    try:
        yield
    except AnnotationError:
        # Says where it is, and its name, itself.
        raise
    except DataError as error:
        raise UserError(f"{where}: {type(error).__name__}: {error}") from error
