"""Scores with groups and baseline, seeds joined, and the report."""

import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_scripts import collect_metrics
from workflow_scripts.collect_metrics import join_seeds
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.html import render_report, timelines
from workflow_scripts.lib.reporting.scores import constant_baseline, score_groups, skipped_counts
from workflow_scripts.lib.reporting.table import metrics_table

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
        "unreadable": 0,
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


def test_a_query_that_nobody_answered_is_a_miss_in_its_group_too():
    found = score_groups([row("a", 0.0, 10.0)], REFERENCES, THRESHOLDS, "kind")
    assert found.groups["picture"]["R1@0.7"] == 100
    assert found.groups["sound"] == {"R1@0.3": 0, "R1@0.5": 0, "R1@0.7": 0, "mIoU": 0}
    assert found.iou == {"a": 1.0, "b": 0.0}


def test_nothing_to_score_gives_no_metrics_and_no_baseline():
    nothing = [reference("c", None)]
    assert score_groups([row("c", 0.0, 1.0)], nothing, THRESHOLDS, "kind").as_dict() == {"metrics": {}, "groups": {}}
    assert constant_baseline(nothing, THRESHOLDS, "kind") is None


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 18), st.integers(1, 20)), min_size=1, max_size=6), st.data())
def test_the_baseline_is_the_best_point_of_its_grid(spans, data):
    references = [reference(f"q{i}", (float(a), float(min(a + n, 20)))) for i, (a, n) in enumerate(spans)]
    first = data.draw(st.integers(0, 39))
    last = data.draw(st.integers(first + 1, 40))
    rows = [row(r.query_id, first * 0.5, last * 0.5) for r in references]
    share_of_duration = score_groups(rows, references, THRESHOLDS, None).metrics["R1@0.5"]
    assert share_of_duration <= constant_baseline(references, THRESHOLDS, None)["metrics"]["R1@0.5"]


def test_ablations_and_groups_are_joined_over_seeds_and_one_seed_has_no_spread():
    first, second = metrics(), json.loads(json.dumps(metrics()))
    second["groups"]["sound"]["R1@0.5"] = 50.0
    second["ablations"]["audio"]["metrics"]["mIoU"] = first["ablations"]["audio"]["metrics"]["mIoU"] + 10
    joined = join_seeds({"seed0": first, "seed1": second})
    assert joined["groups"]["sound"]["R1@0.5"] == 25
    assert joined["ablations"]["audio"]["metrics"]["mIoU"] == pytest.approx(
        first["ablations"]["audio"]["metrics"]["mIoU"] + 5
    )
    alone = join_seeds({"seed7": first})
    assert (alone["seeds"], "spread" in alone) == (["seed7"], False)
    assert alone["metrics"] == first["metrics"]


def test_the_joined_file_holds_every_split_and_seed_and_the_table_is_printed(tmp_path, monkeypatch, capsys):
    paths = []
    for seed, split, score in ((0, "test", 40.0), (1, "test", 60.0), (0, "val", 10.0), (1, "val", 30.0)):
        path = tmp_path / f"seed{seed}" / split / "metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(metrics(split=split, metrics={"R1@0.5": score, "mIoU": 1.0})))
        paths.append(str(path))
    out = tmp_path / "metrics.json"
    monkeypatch.setattr(sys, "argv", ["collect_metrics", *paths, "--out", str(out)])
    collect_metrics.main()
    found = json.loads(out.read_text())
    assert (found["split"], found["metrics"]["R1@0.5"]) == ("test", 50)
    assert [(other["split"], other["metrics"]["R1@0.5"]) for other in found["other_splits"]] == [("val", 20)]
    assert list(found["seeds"]) == ["seed0", "seed1"]
    assert "img on demo (test, published protocol), percent" in capsys.readouterr().out


def test_the_table_says_how_many_queries_were_lost_and_why():
    last = metrics_table(metrics()).splitlines()[-1]
    assert last == "2 of 7 queries scored; 4 video missing, 1 no annotated moment"
    whole = metrics(counts=skipped_counts(2, 2, {}))
    assert metrics_table(whole).splitlines()[-1].endswith("none left out")
    garbled = metrics(counts=skipped_counts(2, 2, {}, 1))
    assert metrics_table(garbled).splitlines()[-1].endswith("none left out; 1 answers could not be read")


def test_a_table_without_any_score_is_still_a_table():
    nothing = metrics(metrics={}, groups={}, ablations={}, baselines={"best_constant": None})
    assert [line for line in metrics_table(nothing).splitlines() if line.strip() == "img"]


def test_everything_that_people_wrote_is_escaped_in_a_report():
    evil = "<script>alert(1)</script>"
    text = render_report(
        evil,
        metrics(system=evil, provenance={"weights": {evil: "random(0)"}, "note": evil}),
        [],
        [Reference("a", evil, evil, 20.0, (0.0, 10.0), {"kind": evil})],
        [row("a", 0.0, 10.0)],
    )
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_a_report_without_history_has_no_curve_and_the_same_numbers_give_the_same_report():
    rows = [row("a", 0.0, 10.0)]
    assert "<svg" not in render_report("title", metrics(), [], REFERENCES, rows)
    history = [{"epoch": 1, "total": 2.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    once, again = (render_report("title", metrics(), history, REFERENCES, rows) for _ in range(2))
    assert once == again


def test_bars_stay_inside_their_video():
    [video] = timelines([reference("a", (-3.0, 25.0))], [row("a", 19.99, 20.0)])
    [query] = video["queries"]
    assert (query["annotated"]["left"], query["annotated"]["width"]) == (0, 100)
    assert query["predicted"]["left"] + query["predicted"]["width"] <= 100
    assert query["predicted"]["start"] == 19.99
