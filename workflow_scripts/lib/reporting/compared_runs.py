"""Systems beside each other: what every seed reached, which pairs differ by more than chance, what they cost."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.reporting.page import TEMPLATES
from workflow_scripts.lib.reporting.table import headline
from workflow_scripts.lib.scoring.comparison import compare_tables, holm, mean_over_seeds
from workflow_scripts.lib.scoring.results import PER_QUERY
from workflow_scripts.lib.store.tables import read_table

METRICS = "metrics.json"
LEVEL = 0.05
"""Below this adjusted p-value a difference counts as more than chance."""


@dataclass(frozen=True)
class ComparedRun:
    """A system on a split.

    Attributes
    ----------
    name : what it is called
    folder : of its results
    metrics : content of its metrics file
    seeds : seed -> rule set -> metrics
    per_query : values of single queries, the mean of the seeds
    """

    name: str
    folder: Path
    metrics: Mapping[str, Any]
    seeds: Mapping[str, Mapping[str, Mapping[str, float]]]
    per_query: pa.Table


def read_runs(places: Sequence[Path]) -> list[ComparedRun]:
    """Return the runs in folders: of a system, of one of its seeds and splits, or of an external prediction file.

    Raises
    ------
    UserError
        a folder has no scores, or the runs are of several datasets or splits
    """
    runs = [_read_run(place if place.is_dir() else place.parent) for place in places]
    about = {run.folder: (run.metrics["dataset"], run.metrics["split"]) for run in runs}
    if len(set(about.values())) > 1:
        told = ", ".join(f"{folder}: {' '.join(of)}" for folder, of in about.items())
        raise UserError(f"runs of several datasets or splits cannot be compared query by query ({told})")
    names = [run.name for run in runs]
    return [run if names.count(run.name) == 1 else replace(run, name=str(run.folder)) for run in runs]


def _read_run(folder: Path) -> ComparedRun:
    path = folder / METRICS
    if not path.is_file():
        raise UserError(f"{path}: no such file; make it first: snakemake {path}")
    metrics = json.loads(path.read_text(encoding="utf-8"))
    if (folder / PER_QUERY).is_file():
        own, tables = {folder.name: metrics}, [read_table(folder / PER_QUERY)]
    else:
        seeds = metrics["seeds"]
        own = dict(seeds) if isinstance(seeds, Mapping) else dict.fromkeys(seeds, metrics)
        tables = [read_table(folder / seed / metrics["split"] / PER_QUERY) for seed in own]
    scores = {
        seed: {rules: section["metrics"] for rules, section in scored["rule_sets"].items()}
        for seed, scored in own.items()
    }
    return ComparedRun(metrics["system"], folder, metrics, scores, mean_over_seeds(tables))


def compared_pairs(runs: Sequence[ComparedRun]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a section per rule set that two runs or more have: its metric, and every pair's difference on it.

    Second comes why some pairs cannot be compared.

    Each pair holds the better and the worse run and the row of `compare_tables` of the better less the worse, with the
    p-value adjusted for the number of pairs; `all` are the rows of all metrics.
    """
    sections: dict[str, list[dict[str, Any]]] = {}
    refused = []
    for first, second in combinations(runs, 2):
        common = [name for name in _rules(first) if name in _rules(second)]
        for rules in common:
            try:
                rows = compare_tables(first.per_query, second.per_query, first.name, second.name, rules)
            except UserError as error:
                refused.append(f"{rules}: {error}")
                continue
            sections.setdefault(rules, []).append({"first": first.name, "second": second.name, "all": rows})
    found = []
    for rules, pairs in sections.items():
        metric = headline(rules, [row["metric"] for row in pairs[0]["all"]])
        pairs = [pair | {"row": row} for pair in pairs for row in pair["all"] if row["metric"] == metric]
        adjusted = holm([pair["row"]["p_value"] for pair in pairs])
        told = [_told(pair, p_value, rules) for pair, p_value in zip(pairs, adjusted, strict=True)]
        found.append({"rules": rules, "metric": metric, "pairs": told})
    return found, refused


def _rules(run: ComparedRun) -> dict[str, Any]:
    return run.metrics["rule_sets"]


def _told(pair: Mapping[str, Any], p_value: float, rules: str) -> dict[str, Any]:
    row = pair["row"]
    is_up = _is_up(rules, row["metric"])
    is_second = (row["difference"] > 0) == is_up
    better, worse = ("second", "first") if is_second else ("first", "second")
    sign, higher = 1 if is_second else -1, (row["better"], row["worse"])
    return {
        **pair,
        "better": pair[better],
        "worse": pair[worse],
        "values": [row[better], row[worse]],
        "difference": sign * row["difference"],
        "interval": sorted(sign * row[end] for end in ("low", "high")),
        "counts": [*(higher if is_second == is_up else reversed(higher)), row["queries"]],
        "p_value": p_value,
        "is_more_than_chance": p_value < LEVEL,
    }


def cost(run: ComparedRun, benchmarks: Sequence[Path]) -> dict[str, float | None]:
    """Return what a system took: seconds and peak memory (MB) of training a seed and of extracting its features.

    Parameters
    ----------
    benchmarks : folders in which the workflow noted them; what is not noted is None
    """
    training = [row for folder in benchmarks for row in _noted(folder / run.metrics["system"], "train_seed*.tsv")]
    names = {name for own in run.metrics.get("inputs", {}).get("features", {}).values() for name in own}
    extraction = [row for folder in benchmarks for name in sorted(names) for row in _noted(folder / name, "[0-9]*.tsv")]
    predicting = run.metrics.get("provenance", {}).get("wall_seconds", {}).get("predict")
    return {
        "training_s": fmean(float(row["s"]) for row in training) if training else None,
        "training_mb": _peak(training),
        "predicting_s": predicting,
        "extraction_s": sum(float(row["s"]) for row in extraction) if extraction else None,
        "extraction_mb": _peak(extraction),
    }


def _noted(folder: Path, pattern: str) -> Iterable[dict[str, str]]:
    for path in sorted(folder.glob(pattern)):
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file, delimiter="\t")


def _peak(rows: Sequence[Mapping[str, str]]) -> float | None:
    # Where a job ends before it could be looked at, its memory is noted as `-`.
    known = [float(row["max_rss"]) for row in rows if row["max_rss"] not in ("-", "NA")]
    return max(known, default=None)


def render_runs(runs: Sequence[ComparedRun]) -> str:
    """Return the page."""
    first = runs[0].metrics
    shared, refused = compared_pairs(runs)
    results = {run.folder: next((p for p in run.folder.parents if (p / "benchmarks").is_dir()), None) for run in runs}
    annotated = {run.folder: run.metrics.get("inputs", {}).get("annotations") for run in runs}
    places = {
        folder: [own / "benchmarks", *([own.parent / annotated[folder] / "benchmarks"] if annotated[folder] else [])]
        for folder, own in results.items()
        if own is not None
    }
    costs = {run.name: cost(run, list(dict.fromkeys(places.get(run.folder, [])))) for run in runs}
    ranked = {section["rules"]: _ranked(runs, section["rules"], section["metric"]) for section in shared}
    shown = {"runs": runs, "sections": shared, "refused": refused, "ranked": ranked, "costs": costs}
    return TEMPLATES.get_template("runs.html.jinja").render(dataset=first["dataset"], split=first["split"], **shown)


def _ranked(runs: Sequence[ComparedRun], rules: str, metric: str) -> list[ComparedRun]:
    """Return the runs that a rule set scores, the best first."""
    scored = [run for run in runs if rules in _rules(run)]
    is_up = _is_up(rules, metric)
    return sorted(scored, key=lambda run: _rules(run)[rules]["metrics"][metric], reverse=is_up)


def _is_up(rules: str, metric: str) -> bool:
    return rules not in RULE_SETS or RULE_SETS[rules].is_higher_better(metric)
