"""Score the answers of one split: overall, per kind of query, each variant, and beside answers without looking."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.predictions.answer_tables import FLOOR, PREDICTOR, QUERY_SCORES, VARIATION, ZERO, read_answers
from workflow_scripts.lib.predictions.references import annotations_folder
from workflow_scripts.lib.reporting.provenance import inputs_of, provenance
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import counts, refusing_readably, sections, write_tables
from workflow_scripts.lib.scoring.run import grouped, score_means, score_run, score_variants
from workflow_scripts.lib.scoring.scored_baselines import best_constant, order_baseline
from workflow_scripts.lib.scoring.tasks import TASKS
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the system")
    parser.add_argument("--run", required=True, type=Path, help="folder of the answers")
    parser.add_argument("--out", required=True, type=Path, help="metrics file to write; tables are written beside it")
    args = parser.parse_args()
    settings = json.loads(args.settings.read_text(encoding="utf-8"))
    summary = json.loads((args.run / "predict.json").read_text(encoding="utf-8"))
    config, name = settings["config"], args.run.name
    evaluation = config["evaluation"] | {"given": config["given"]}
    annotations = annotations_folder(args.settings, settings)
    tables = {task: read_answers(args.run, task, variant=None) for task in TASKS}
    scores = read_table(args.run / QUERY_SCORES)
    with refusing_readably(str(args.run)):
        split = AnnotatedSplit.read(annotations, name, config["queries"]["kinds"])
        results, left_out = score_run(split, tables, evaluation, evaluation["rules"], summary["tasks"])
        variants = {
            key: score_variants(split, tables, prefix, evaluation, results)
            for key, prefix in (("ablations", ZERO), ("variations", VARIATION), ("predictors", PREDICTOR))
        }
        floor = score_variants(split, tables, FLOOR, evaluation, results)
    write_tables(args.out.parent, results)
    scored, group_by = sections(results), evaluation["group_by"]
    groups = {result.rules: grouped(result, split, group_by) for result in results}
    for rules, of_rules in groups.items():
        scored["rule_sets"][rules] |= {"groups": of_rules} if of_rules else {}
    baselines = {"best_constant": best_constant(results, split, group_by), "floor": floor.get("")}
    if evaluation["order_baseline"]:
        train = AnnotatedSplit.read(annotations, config["splits"]["train"], config["queries"]["kinds"])
        baselines["order_only"] = order_baseline(results, train)
    write_json(
        args.out,
        {
            "dataset": settings["dataset"],
            "system": settings["name"],
            "split": name,
            "protocol": config["protocol"],
            "given": config["given"],
            "inputs": inputs_of(settings),
            **scored,
            "left_out": left_out,
            "groups": groups.get(scored["rules"], {}),
            **variants,
            "query_scores": score_means(split, scores, group_by),
            "baselines": baselines,
            "published": evaluation["published"].get(name) or None,
            "counts": counts(results, summary, split.empty_moments(tables["moments"]["query_id"].to_pylist())),
            "provenance": provenance(settings, summary),
        },
    )


if __name__ == "__main__":
    run_entry_point(main)
