"""Score the predictions of one split: overall, per kind of query, ablated, and beside the best constant answer."""

import argparse
import json
from pathlib import Path

from workflow_scripts.datasets.references import read_references
from workflow_scripts.errors import run_entry_point
from workflow_scripts.reporting.provenance import provenance
from workflow_scripts.reporting.scores import constant_baseline, score_groups, skipped_counts
from workflow_scripts.store.atomic import write_json
from workflow_scripts.store.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--run", required=True, type=Path, help="folder of the predictions")
    parser.add_argument("--out", required=True, type=Path, help="metrics file to write")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    summary = json.loads((args.run / "predict.json").read_text(encoding="utf-8"))
    config, split = settings["config"], args.run.name
    references = read_references(args.settings.parent.parent / "annotations", split, config["queries"])
    predictions = read_table(args.run / "predictions.parquet").to_pylist()
    ablations = read_table(args.run / "ablations.parquet").to_pylist()
    asked = {row["query_id"] for row in predictions}
    references = [r for r in references if r.query_id in asked]
    thresholds, group_by = config["evaluation"]["thresholds"], config["evaluation"]["group_by"]
    scores = score_groups(predictions, references, thresholds, group_by)
    write_json(
        args.out,
        {
            "dataset": settings["dataset"],
            "system": settings["name"],
            "split": split,
            "protocol": config["protocol"],
            "metrics": scores.metrics,
            "groups": scores.groups,
            "ablations": {
                stream: score_groups(
                    [row for row in ablations if row["zeroed"] == stream], references, thresholds, group_by
                ).as_dict()
                for stream in config["evaluation"]["zero_streams"]
            },
            "baselines": {"best_constant": constant_baseline(references, thresholds, group_by)},
            "published": None,
            "counts": skipped_counts(len(asked), len(scores.iou), summary["skipped"]),
            "provenance": provenance(settings, summary),
        },
    )


if __name__ == "__main__":
    run_entry_point(main)
