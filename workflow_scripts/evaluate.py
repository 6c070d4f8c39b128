"""Score the predictions of one split: overall, per kind of query, ablated, and beside the best constant answer."""

import argparse
import json
from pathlib import Path

import pyarrow.compute as pc

from workflow_scripts.lib.datasets.references import annotations_folder, read_references
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.provenance import provenance
from workflow_scripts.lib.reporting.scores import constant_baseline, order_baseline, skipped_counts
from workflow_scripts.lib.scoring.annotated import Split
from workflow_scripts.lib.scoring.results import refusing_readably, sections, write_tables
from workflow_scripts.lib.scoring.run import grouped, score_kinds, score_means, score_run
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import read_table

COLUMNS = ("query_id", "video_id", "rank", "start_s", "end_s", "score", "text", "step_index")
"""Of predictions, what scores them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--run", required=True, type=Path, help="folder of the predictions")
    parser.add_argument("--out", required=True, type=Path, help="metrics file to write; tables are written beside it")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    summary = json.loads((args.run / "predict.json").read_text(encoding="utf-8"))
    config, name = settings["config"], args.run.name
    evaluation, annotations = config["evaluation"], annotations_folder(args.settings, settings)
    predictions = read_table(args.run / "predictions.parquet", COLUMNS)
    ablations = read_table(args.run / "ablations.parquet", [*COLUMNS, "zeroed"])
    predictors = read_table(args.run / "predictors.parquet", [*COLUMNS, "predictor"])
    scores = read_table(args.run / "query_scores.parquet")
    asked = pc.unique(predictions["query_id"])
    with refusing_readably(str(args.run / "predictions.parquet")):
        split = Split.read(annotations, name, config["queries"]["kinds"]).only(asked)
        saliency = args.run / "prediction_saliency.parquet"
        results = score_run(split, predictions, saliency, evaluation, evaluation["rules"])
        zeroed = score_kinds(split, ablations, "zeroed", evaluation["zero_streams"], evaluation)
        varied = score_kinds(split, ablations, "zeroed", evaluation["variations"], evaluation)
        names = pc.unique(predictors["predictor"]).to_pylist()
        by_predictor = score_kinds(split, predictors, "predictor", names, evaluation)
    known = set(asked.to_pylist())
    references = [r for r in read_references(annotations, name, config["queries"]) if r.query_id in known]
    write_tables(args.out.parent, results)
    baselines = {"best_constant": constant_baseline(references, evaluation["thresholds"], evaluation["group_by"])}
    if evaluation["order_baseline"]:
        train = read_references(annotations, config["splits"]["train"], config["queries"])
        baselines["order_only"] = order_baseline(train, references, evaluation["thresholds"])
    n_scored = len(results[0].question.ids) if results else 0
    write_json(
        args.out,
        {
            "dataset": settings["dataset"],
            "system": settings["name"],
            "split": name,
            "protocol": config["protocol"],
            **sections(results),
            "groups": grouped(results, split, evaluation["group_by"]),
            "ablations": zeroed,
            "variations": varied,
            "predictors": by_predictor,
            "query_scores": score_means(split, scores, evaluation["group_by"]),
            "baselines": baselines,
            "published": evaluation["published"].get(name) or None,
            "counts": skipped_counts(len(asked), n_scored, summary["skipped"], summary["unreadable"]),
            "provenance": provenance(settings, summary),
        },
    )


if __name__ == "__main__":
    run_entry_point(main)
