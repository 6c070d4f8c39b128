"""Scores with groups and baseline, seeds joined, and the report."""

import json

import pytest

from workflow_scripts.collect_metrics import join_seeds
from workflow_scripts.datasets.references import Reference
from workflow_scripts.reporting.html import render_report
from workflow_scripts.reporting.scores import constant_baseline, score_groups, skipped_counts
from workflow_scripts.reporting.table import metrics_table

THRESHOLDS = (0.3, 0.5, 0.7)


def reference(name, span, kind="picture"):
    return Reference(name, "video", f"<b>{name}</b>", 20.0, span, {"kind": kind})


def row(name, start_s, end_s, rank=0):
    return {"query_id": name, "rank": rank, "start_s": start_s, "end_s": end_s}


REFERENCES = [reference("a", (0.0, 10.0)), reference("b", (5.0, 10.0), "sound"), reference("c", None)]


def metrics(**changes):
    scores = score_groups([row("a", 0.0, 10.0), row("b", 0.0, 1.0)], REFERENCES, THRESHOLDS, "kind")
    content = {
        "dataset": "demo",
        "system": "img",
        "split": "test",
        "protocol": "published",
        "metrics": scores.metrics,
        "groups": scores.groups,
        "ablations": {"audio": scores.as_dict()},
        "baselines": {"best_constant": constant_baseline(REFERENCES, THRESHOLDS, "kind")},
        "counts": skipped_counts(3, 2, {"video missing": 4}),
        "provenance": {"weights": {"clip_tiny": "random(0)"}},
        "seeds": ["seed0"],
    }
    return content | changes


def test_groups_are_scored_apart_and_queries_without_a_moment_not_at_all():
    found = metrics()
    assert found["metrics"]["R1@0.5"] == 50
    assert found["groups"]["picture"]["mIoU"] == 100
    assert found["groups"]["sound"]["mIoU"] == 0
    assert found["counts"] == {
        "queries": 7,
        "evaluated": 2,
        "skipped": {"video missing": 4, "no annotated moment": 1},
    }


def test_a_query_without_an_answer_is_a_miss():
    found = score_groups([row("a", 0.0, 10.0), row("b", None, None)], REFERENCES, THRESHOLDS, None)
    assert found.metrics["R1@0.3"] == 50
    assert score_groups([row("a", 0.0, 10.0)], REFERENCES, THRESHOLDS, None).metrics["R1@0.3"] == 50


def test_only_the_first_ranked_span_counts():
    found = score_groups([row("a", 0.0, 1.0), row("a", 0.0, 10.0, rank=1)], REFERENCES[:1], THRESHOLDS, None)
    assert found.metrics["R1@0.5"] == 0


def test_no_constant_answer_beats_the_baseline():
    baseline = constant_baseline(REFERENCES, THRESHOLDS, None)["metrics"]["R1@0.5"]
    for start in range(0, 20, 2):
        for end in range(start + 2, 21, 2):
            rows = [row(r.query_id, float(start), float(end)) for r in REFERENCES]
            assert score_groups(rows, REFERENCES, THRESHOLDS, None).metrics["R1@0.5"] <= baseline


def test_seeds_are_joined_to_mean_and_spread_with_every_value_kept():
    first, second = metrics(), json.loads(json.dumps(metrics()))
    second["metrics"]["R1@0.5"] = 70.0
    joined = join_seeds({"seed0": first, "seed1": second})
    assert joined["metrics"]["R1@0.5"] == 60
    assert joined["spread"]["R1@0.5"] == pytest.approx(14.142, abs=1e-3)
    assert joined["seeds"]["seed1"]["metrics"]["R1@0.5"] == 70


def test_the_table_has_a_row_for_baseline_system_and_ablation():
    lines = metrics_table(metrics()).splitlines()
    assert [line.split("  ")[0] for line in lines[3:6]] == ["best constant span", "img", "img, audio set to zero"]


def test_the_report_escapes_queries_and_says_that_weights_are_random():
    history = [{"epoch": 1, "total": 2.0, "R1@0.5": 10.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    text = render_report("title", metrics(), history, REFERENCES, [row("a", 0.0, 10.0)])
    assert "&lt;b&gt;a&lt;/b&gt;" in text
    assert "<b>a</b>" not in text
    assert "clip_tiny random(0)" in text
    assert "<svg" in text


def test_a_report_without_annotated_moments_shows_the_predictions():
    nothing = metrics(metrics={}, groups={}, ablations={}, baselines={"best_constant": None})
    text = render_report("title", nothing, [], [reference("c", None)], [row("c", 1.0, 2.0)])
    assert "nothing to score" in text
    assert 'class="predicted"' in text
