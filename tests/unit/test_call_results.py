"""What a call prints at its end."""

import json

import pytest

from models.systems.interface import Span
from tests.markdown_pages import ROOT
from tests.unit.made_results import make_results
from workflow_scripts.lib.predictions.answer_tables import answers_path, answers_table
from workflow_scripts.lib.reporting.call_results import SHOWN, results_text
from workflow_scripts.lib.reporting.table import metrics_table
from workflow_scripts.lib.store.tables import read_table, write_table

SCORES = json.loads((ROOT / "tests/data/demo_scores/img/metrics.json").read_text())
METRICS = {**SCORES, "system": "img", "dataset": "mine", "protocol": "published", "seeds": ["seed0"], "split": "test"}


@pytest.fixture
def run(tmp_path):
    """A run of which nobody annotated the moments, one query of it unanswered."""
    folder = make_results(tmp_path / "results/mine").parent
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    moments = tmp_path / "results/mine/annotations/moments.parquet"
    write_table(moments, read_table(moments).slice(0, 0))
    queries = read_table(tmp_path / "results/mine/annotations/queries.parquet").to_pylist()
    asked = [row for row in queries if row["split"] == "test"]
    first = asked[0]
    answers = [Span(first["query_id"], first["video_id"], 1, 0.0, 1.0, 0.1)]
    answers += [Span(row["query_id"], row["video_id"], 0, 12.0, 15.5, 0.81) for row in asked[:-1]]
    names = {"run_id": "r", "system": "img", "dataset": "mine", "split": "test"}
    path = answers_path(folder / "seed0/test", "moments")
    path.parent.mkdir(parents=True)
    write_table(path, answers_table("moments", answers, names))
    return folder, asked


def test_a_call_for_numbers_prints_their_table_once_and_where_the_report_is(tmp_path):
    folder = tmp_path / "results/demo/external/mine"
    folder.mkdir(parents=True)
    brought = METRICS | {"protocol": "external"}
    (folder / "metrics.json").write_text(json.dumps(brought))
    (folder / "report.html").touch()
    text = results_text(
        {str(folder / "report.html"), str(folder / "metrics.json"), "results/demo/media/manifest.parquet"}
    )
    assert text == f"{metrics_table(brought)}\nReport to open: {folder / 'report.html'}"


def test_a_call_for_something_else_prints_nothing(tmp_path):
    assert results_text({"results/demo/media/manifest.parquet", "results/none/img/metrics.json"}) == ""


def test_answers_to_queries_without_annotated_moment_follow_the_table(run):
    folder, asked = run
    text = results_text([str(folder / "metrics.json")])
    table, _, answers = text.partition("\n\nAnswers:\n")
    assert table == metrics_table(METRICS)
    lines = [f"  {row['video_id']} 12.0–15.5 s 0.81 {row['text']}" for row in asked[:-1]]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    assert answers.splitlines() == [*lines[:SHOWN], *more]


def test_annotated_queries_have_their_scores_and_need_no_line(tmp_path):
    folder = make_results(tmp_path / "results/mine").parent
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    path = answers_path(folder / "seed0/test", "moments")
    path.parent.mkdir(parents=True)
    write_table(path, answers_table("moments", [], {}))
    assert results_text([str(folder / "metrics.json")]) == metrics_table(METRICS)


def test_answers_of_an_older_form_are_named_after_the_table(run):
    folder, _ = run
    path = answers_path(folder / "seed0/test", "moments")
    write_table(path, read_table(path).drop_columns(["score"]))
    text = results_text([str(folder / "metrics.json")])
    assert text.startswith(f"{metrics_table(METRICS)}\nThe answers cannot be shown: ")
    assert "a table of an older form" in text
