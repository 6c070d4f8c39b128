"""Every task through all rules: the baseline answers them all, from the demo's videos to metrics and report."""

import json

import pytest

from tests.workflow.test_demo import changed
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, read_answers

pytestmark = pytest.mark.workflow

TARGETS = ("demo/baseline/metrics.json", "demo/baseline/report.html")
RULES = {"span_index", "qvhighlights", "hirest_steps", "hirest_captions", "captions", "hirest_videos"}


def test_the_baseline_answers_all_five_tasks_without_features_or_gradients(demo, tmp_path):
    workflow = demo.copy(tmp_path)
    done = workflow.finish(*TARGETS)
    assert set(done.rules) == {
        "import_annotations",
        "train",
        "predict",
        "evaluate",
        "collect_metrics",
        "report",
    }
    metrics = json.loads((workflow.results / TARGETS[0]).read_text())
    assert metrics["rule_sets"].keys() == RULES
    assert not metrics["left_out"]
    counts = metrics["counts"]["tasks"]
    assert {task: set(own["skipped"]) for task, own in counts.items()} == {key: set() for key in SCHEMAS} | {
        "steps": {"no annotated step"},
        "captions": {"no given steps"},
    }
    assert all(own["evaluated"] + sum(own["skipped"].values()) == own["queries"] for own in counts.values())
    assert all(own["evaluated"] > 0 for own in counts.values())
    assert "HL-mAP" in metrics["rule_sets"]["qvhighlights"]["metrics"]
    run = workflow.results / "demo/baseline/seed0/test"
    assert all(read_answers(run, task).num_rows for task in SCHEMAS)
    report = (workflow.results / TARGETS[1]).read_text()
    assert all(f"Rule set {rules}" in report for rules in RULES)
    shown = json.loads(report.partition('id="data">')[2].partition("</script>")[0])["entries"]
    queries = [entry for entry in shown if entry["task"] == "moments"]
    assert all(any(entry.get(part) for entry in queries) for part in ("predicted", "curves", "predicted_steps"))
    captions = [entry["name"] for entry in shown if entry["task"] == "captions"]
    assert {"#" in name for name in captions} == {True, False}, "captions of steps and of videos"
    assert any(entry["ranking"] for entry in shown if entry["task"] == "videos")
    assert "steps (hirest_steps):" in done.output
    assert workflow.finish(*TARGETS).is_nothing_to_do


def test_steps_can_be_cut_from_predicted_moments(demo, tmp_path):
    given = {"given": {"moments": "predicted", "steps": "predicted"}, "seeds": [0]}
    workflow = demo.copy(tmp_path, changed(systems={"baseline": given}))
    workflow.finish(TARGETS[0])
    run = workflow.results / "demo/baseline/seed0/test"
    spans = {row["query_id"]: row for row in read_answers(run, "moments").to_pylist()}
    steps = read_answers(run, "steps").to_pylist()
    assert {row["query_id"] for row in steps} == set(spans)
    first = {row["query_id"]: row["start_s"] for row in steps if row["step_index"] == 0}
    assert first == {query: span["start_s"] for query, span in spans.items()}
    metrics = json.loads((workflow.results / TARGETS[0]).read_text())
    assert metrics["given"] == given["given"]
    assert "the steps are predicted" in metrics["left_out"]["hirest_captions"]
