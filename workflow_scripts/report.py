"""Write the report of one system on one dataset: table, training curve, predictions on timelines, provenance."""

import argparse
import json
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.predictions.answer_tables import QUERY_SCORES, ZERO, read_answers
from workflow_scripts.lib.predictions.references import annotations_folder, read_references
from workflow_scripts.lib.reporting.html import render_report
from workflow_scripts.lib.reporting.shown_answers import sections_of
from workflow_scripts.lib.reporting.shown_captions import caption_scores
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import PER_QUERY
from workflow_scripts.lib.scoring.tasks import TASKS
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.tables import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metrics", required=True, type=Path, help="joined metrics file of the system")
    parser.add_argument("--run", required=True, type=Path, help="results folder of the system")
    parser.add_argument("--out", required=True, type=Path, help="HTML file to write")
    args = parser.parse_args()
    metrics = json.loads(args.metrics.read_text(encoding="utf-8"))
    settings_path = args.run / "settings.json"
    settings = json.loads(settings_path.read_text(encoding="utf-8"))
    seed = sorted(metrics["seeds"])[0]
    annotations = annotations_folder(settings_path, settings)
    queries, run = settings["config"]["queries"], args.run / seed / metrics["split"]
    split = AnnotatedSplit.read(annotations, metrics["split"], queries["kinds"])
    references = read_references(annotations, metrics["split"], queries)
    answers = {task: read_answers(run, task).to_pylist() for task in TASKS}
    scores, of_captions = read_table(run / QUERY_SCORES).to_pylist(), caption_scores(read_table(run / PER_QUERY))
    unheard = read_answers(run, "captions", f"{ZERO}audio").to_pylist()
    sections = sections_of(split, references, answers, scores, of_captions, unheard)
    history_path = args.run / seed / "history.jsonl"
    lines = history_path.read_text(encoding="utf-8").splitlines() if history_path.is_file() else []
    history = [json.loads(line) for line in lines]
    title = settings["config"]["title"]
    write_text(args.out, render_report(title, metrics, history, sections))


if __name__ == "__main__":
    run_entry_point(main)
