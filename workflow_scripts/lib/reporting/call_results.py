"""What a call prints at its end: the tables, answers and reports that it was asked for."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.predictions.answer_tables import read_answers
from workflow_scripts.lib.predictions.references import annotations_folder, read_references
from workflow_scripts.lib.reporting.table import metrics_table

METRICS, REPORT, SETTINGS = "metrics.json", "report.html", "settings.json"
SHOWN = 20
"""So many answers of a run are printed."""


def results_text(asked: Iterable[str]) -> str:
    """Return what there is to read of the files that a call was asked for; nothing of other files.

    Parameters
    ----------
    asked : paths of files
    """
    paths = sorted(map(Path, asked))
    runs = dict.fromkeys(path.parent for path in paths if path.name in (METRICS, REPORT))
    parts = [_run_text(run) for run in runs if (run / METRICS).is_file()]
    reports = [f"Report to open: {path.resolve()}" for path in paths if path.name == REPORT and path.is_file()]
    return "\n".join([*parts, *reports])


def _run_text(run: Path) -> str:
    metrics = json.loads((run / METRICS).read_text(encoding="utf-8"))
    try:
        # Who brings a prediction file has the answers.
        answers = answer_lines(run, metrics) if metrics["protocol"] != "external" else []
    except UserError as error:
        answers = [f"The answers cannot be shown: {error}"]
    return "\n".join([metrics_table(metrics), *answers])


def answer_lines(run: Path, metrics: Mapping[str, Any]) -> list[str]:
    """Return the first answers to queries of which nobody annotated the moment.

    Parameters
    ----------
    run : results folder of a system
    metrics : content of its metrics file
    """
    settings = json.loads((run / SETTINGS).read_text(encoding="utf-8"))
    annotations = annotations_folder(run / SETTINGS, settings)
    references = read_references(annotations, metrics["split"], settings["config"]["queries"])
    answers = read_answers(run / sorted(metrics["seeds"])[0] / metrics["split"], "moments").to_pylist()
    first = {row["query_id"]: row for row in answers if row["rank"] == 0}
    open_queries = [reference for reference in references if reference.span is None and reference.query_id in first]
    if not open_queries:
        return []
    lines = [_answer_line(reference.video_id, first[reference.query_id], reference.text) for reference in open_queries]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return ["", "Answers:", *lines[:SHOWN], *more]


def _answer_line(video: str, answer: Mapping[str, Any], text: str) -> str:
    span = "no answer" if answer["start_s"] is None else f"{answer['start_s']:.1f}–{answer['end_s']:.1f} s"
    score = "" if answer["score"] is None else f" {answer['score']:.2f}"
    return f"  {video} {span}{score} {text}"
