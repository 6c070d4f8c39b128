"""Join the metrics of all seeds and splits of one system: mean, spread and every single value; print the table."""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.table import metrics_table
from workflow_scripts.lib.store.atomic import write_json

AVERAGED = ("metrics", "groups", "ablations", "variations", "predictors", "query_scores")
PER_SEED = (*AVERAGED, "baselines", "counts", "provenance", "confidence", "rule_sets")
OF_ONE_SEED = {"confidence": {}, "official": {}, "lengths": {}, "cautions": []}
"""What a rule set says about the queries of one seed; with several seeds it stands with each."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="metrics files seed<N>/<split>/metrics.json")
    parser.add_argument("--out", required=True, type=Path, help="metrics file to write")
    args = parser.parse_args()
    by_split: dict[str, dict[str, Any]] = {}
    for path in args.runs:
        by_split.setdefault(path.parent.name, {})[path.parent.parent.name] = json.loads(
            path.read_text(encoding="utf-8")
        )
    splits = {split: join_seeds(runs) for split, runs in by_split.items()}
    first, *others = splits.values()
    joined = {**first, "other_splits": others} if others else first
    write_json(args.out, joined)
    print(metrics_table(joined))


def join_seeds(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return one metrics object for all seeds of a split."""
    first = next(iter(runs.values()))
    if len(runs) == 1:
        return {**first, "seeds": list(runs)}
    return {
        **first,
        **{key: mean_of([run[key] for run in runs.values()]) for key in AVERAGED if key in first},
        "confidence": {},
        "rule_sets": {
            name: {
                **section,
                **OF_ONE_SEED,
                "metrics": mean_of([run["rule_sets"][name]["metrics"] for run in runs.values()]),
            }
            for name, section in first.get("rule_sets", {}).items()
        },
        "spread": {m: statistics.stdev(run["metrics"][m] for run in runs.values()) for m in first["metrics"]},
        "seeds": {seed: {key: run[key] for key in PER_SEED if key in run} for seed, run in runs.items()},
    }


def mean_of(values: list[Any]) -> Any:
    """Return the mean of numbers, key by key of nested mappings."""
    if isinstance(values[0], dict):
        return {key: mean_of([value[key] for value in values]) for key in values[0]}
    return statistics.fmean(values)


if __name__ == "__main__":
    run_entry_point(main)
