"""Scores with groups and baseline, seeds joined, and the report."""

import json
import sys

import pyarrow as pa
import pytest

from tests.unit.made_benchmarks import import_tables
from tests.unit.made_predictions import moments, spans
from workflow_scripts import collect_metrics
from workflow_scripts.collect_metrics import join_seeds
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.html import render_report
from workflow_scripts.lib.reporting.shown_answers import AnsweredTask, sections_of, timelines
from workflow_scripts.lib.reporting.shown_captions import caption_scores
from workflow_scripts.lib.reporting.table import metrics_table, tables_of
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import Result, counts, group_means, sections
from workflow_scripts.lib.scoring.scored_baselines import best_constant

GROUPS = {"q0": "picture", "q1": "sound"}
QUESTION = moments([[[0.0, 10.0]], [[5.0, 10.0]]], [20.0, 20.0])


def reference(name, span, kind="picture"):
    return Reference(name, "video", f"<b>{name}</b>", 20.0, span, {"kind": kind})


def row(name, start_s, end_s, rank=0):
    return {"query_id": name, "rank": rank, "start_s": start_s, "end_s": end_s}


REFERENCES = [reference("a", (0.0, 10.0)), reference("b", (5.0, 10.0), "sound"), reference("c", None)]


def result(answers, rules="span_index", question=QUESTION):
    return Result(rules, question, Options(), apply_rules(rules, question, spans(answers), Options()))


def summary(n_asked=3, unreadable=0, **skipped):
    return {"tasks": {"moments": {"asked": n_asked, "skipped": skipped}}, "unreadable": unreadable}


class Ungrouped:
    """Annotations of which only the groups are asked."""

    def extra(self):
        return {query: {"kind": group} for query, group in GROUPS.items()}


def metrics(**changes):
    found = result([[[0.0, 10.0]], [[0.0, 1.0]]])
    groups = group_means(found, GROUPS)
    own = found.scored.metrics
    content = {
        "dataset": "demo",
        "system": "img",
        "split": "test",
        "protocol": "published",
        **sections([found]),
        "groups": groups,
        "ablations": {"audio": {"metrics": own, "groups": groups, "rule_sets": {"span_index": own}}},
        "baselines": {"best_constant": best_constant([found], Ungrouped(), "kind"), "floor": None},
        "counts": counts([found], summary(**{"video missing": 4})),
        "provenance": {"weights": {"clip_tiny": "random(0)"}},
        "seeds": ["seed0"],
    }
    return content | changes


NOTHING = {"metrics": {}, "groups": {}, "ablations": {}, "rule_sets": {}, "rules": None, "baselines": {"floor": None}}


def test_groups_are_scored_apart_and_queries_without_a_moment_not_at_all():
    found = metrics()
    assert found["metrics"]["R1@0.5"] == 50
    assert found["groups"]["picture"]["mIoU"] == 100
    assert found["groups"]["sound"]["mIoU"] == 0
    own = {"queries": 7, "evaluated": 2, "skipped": {"video missing": 4, "no annotated moment": 1}}
    assert found["counts"] == own | {"unreadable": 0, "tasks": {"moments": own}}


def test_a_query_without_an_answer_is_a_miss():
    assert result([[[0.0, 10.0]], []]).scored.metrics["R1@0.3"] == 50


def test_what_was_asked_without_rows_of_a_stream_is_counted_and_told():
    found = counts([], {**summary(2), "without": {"audio: no_audio": 3}})
    assert found["without"] == {"audio: no_audio": 3}
    assert "without" not in counts([], summary(2))
    text = render_report("title", metrics(counts=found), [], [])
    assert "Asked without it: 3 (audio: no_audio)." in text


def test_only_the_first_ranked_span_counts():
    first = moments([[[0.0, 10.0]]], [20.0])
    assert result([[[0.0, 1.0], [0.0, 10.0]]], question=first).scored.metrics["R1@0.5"] == 0


def test_no_constant_answer_beats_the_baseline():
    for rules in ("span_index", "hirest_moments"):
        found = result([[[0.0, 1.0]], [[0.0, 1.0]]], rules)
        name = "R1@0.5" if rules == "span_index" else "R@0.5"
        baseline = best_constant([found], Ungrouped(), "kind")
        assert baseline["groups"].keys() == {"picture", "sound"}
        for start in range(0, 20, 2):
            for end in range(start + 2, 21, 2):
                answer = [[float(start), float(end)]]
                assert result([answer, answer], rules).scored.metrics[name] <= baseline["metrics"][name]
    assert best_constant([], Ungrouped(), None) is None


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


def test_what_knows_only_the_order_and_other_settings_have_rows_of_their_own():
    varied = {"queries_alone": {"metrics": {"R1@0.5": 30.0}, "groups": {}}}
    order = {"metrics": {"R1@0.5": 90.0}, "groups": {}, "rule_sets": {}}
    [table] = tables_of(metrics(baselines={"order_only": order}, variations=varied))
    at = table.names.index("R1@0.5")
    assert [(label, values[at]) for label, values in table.rows][:3] == [
        ("order of the moments alone", 90.0),
        ("img", 50.0),
        ("img, queries alone", 30.0),
    ]


def test_every_task_has_its_table_and_each_draws_what_its_rule_set_names():
    steps = {"precision@0.5": 10.0, "precision@0.7": 20.0, "recall@0.5": 30.0, "recall@0.7": 40.0}
    section = metrics()["rule_sets"]["span_index"] | {"metrics": steps, "confidence": {}}
    floor = {"metrics": {"R1@0.5": 1.0}, "groups": {}, "rule_sets": {"hirest_steps": steps | {"recall@0.5": 3.0}}}
    found = metrics(baselines={"floor": floor})
    found["rule_sets"]["hirest_steps"] = section
    first, second = tables_of(found)
    assert (first.rules, second.rules) == ("span_index", "hirest_steps")
    assert first.header == ["R1@0.3", "R1@0.5", "R1@0.7", "mIoU", "picture R1@0.5", "sound R1@0.5"]
    assert set(second.names) == set(steps)
    assert not second.groups
    at = second.names.index("recall@0.5")
    assert {label: values[at] for label, values in second.rows} == {"baseline, learnt": 3.0, "img": 30.0}
    assert "steps (hirest_steps):" in metrics_table(found)
    text = render_report("title", found, [], [])
    assert "<h3>steps</h3>" in text
    assert "recall@0.5" in text


def test_the_report_escapes_queries_and_says_that_weights_are_random():
    history = [{"epoch": 1, "total": 2.0, "R1@0.5": 10.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    text = render_report("title", metrics(), history, [timelines(REFERENCES, [row("a", 0.0, 10.0)])])
    assert "&lt;b&gt;a&lt;/b&gt;" in text
    assert "<b>a</b>" not in text
    assert "clip_tiny random(0)" in text
    assert "<svg" in text


def test_a_report_without_annotated_moments_shows_the_predictions():
    shown = timelines([reference("c", None)], [row("c", 1.0, 2.0)])
    text = render_report("title", metrics(**NOTHING), [], [shown])
    assert "nothing to score" in text
    assert 'class="predicted"' in text


@pytest.fixture
def tasks(tmp_path, monkeypatch) -> AnnotatedSplit:
    """Annotations with moments, steps and captions of steps."""
    steps = [{"index": i, "heading": f"<i>step {i}</i>", "absolute_bounds": [10 * i, 10 * i + 10]} for i in range(2)]
    entry = {"relevant": True, "clip": True, "v_duration": 40.0, "bounds": [0, 20], "steps": steps}
    (tmp_path / "val.json").write_text(json.dumps({"cook": {"video000000.mp4": entry}}))
    return AnnotatedSplit.read(
        import_tables(monkeypatch, tmp_path, "own", "hirest", {"val": tmp_path / "val.json"}), "val"
    )


def test_the_report_has_a_section_for_every_task_that_was_answered(tasks):
    query = {"query_id": "own/val/cook#video000000", "video_id": "video000000"}
    step = {"step_index": 0, "start_s": 1.0, "end_s": 9.0}
    answers = {
        "moments": [query | {"rank": 0, "start_s": 0.0, "end_s": 20.0}],
        "highlights": [query | {"scores": [0.0, 0.5, 1.0]}],
        "steps": [query | step],
        "captions": [query | {"step_index": 1, "rank": 0, "text": "<script>own</script>"}],
        "videos": [{"query_id": query["query_id"], "rank": 0, "video_id": "video000000", "score": 1.0}],
    }
    references = [Reference(query["query_id"], "video000000", "cook", 40.0, (0.0, 20.0), {})]
    found = sections_of(tasks, references, answers)
    assert [section.task for section in found] == ["moments", "highlights", "captions", "videos"]
    [video] = found[0].rows
    assert [len(video["queries"][0][name]) for name in ("annotated_steps", "predicted_steps")] == [2, 1]
    assert found[1].rows[0]["predicted"] == [0.0, 0.5, 1.0]
    assert found[2].rows == [
        {
            "name": "own/val/cook#video000000#1",
            "words": [("<script>own</script>", False)],
            "score": None,
            "references": ["<i>step 1</i>"],
        }
    ]
    assert found[3].rows == [{"text": "cook", "videos": [("video000000.mp4", True)]}]
    text = render_report("title", metrics(), [], found)
    assert "predicted step 1.00 to 9.00 s" in text
    assert "&lt;script&gt;own" in text
    assert "video000000.mp4 ✓" in text
    assert "<script>" not in text


def test_captions_come_worst_first_with_the_words_that_only_sound_brings_marked(tasks):
    video = {"query_id": "", "step_index": None, "rank": 0}
    texts = {"a": "a dog, Barks", "b": "a cat", "c": "a bell"}
    captions = [video | {"video_id": name, "text": text} for name, text in texts.items()]
    unheard = [video | {"video_id": "a", "text": "A dog runs"}]
    answers = {"moments": [], "steps": [], "highlights": [], "videos": [], "captions": captions}
    [found] = sections_of(tasks, [], answers, caption_scores={"a": 30.0, "b": 2.0}, unheard=unheard)
    assert [(row["name"], row["score"]) for row in found.rows] == [("b", 2.0), ("a", 30.0), ("c", None)]
    assert found.rows[1]["words"] == [("a", False), ("dog,", False), ("Barks", True)]
    assert found.rows[0]["words"] == [("a", False), ("cat", False)]
    text = render_report("title", metrics(), [], [found])
    assert "a dog, <u>Barks</u>" in text
    window = [video | {"video_id": "a", "step_index": 2, "text": "x"}]
    [found] = sections_of(tasks, [], answers | {"captions": window})
    assert found.rows[0]["name"] == "a, window 3"


def test_scores_of_captions_are_those_of_the_rule_sets_about_captions():
    rows = [("captions", "CIDEr", "a", 0.5), ("captions", "ROUGE_L", "a", 0.1), ("span_index", "CIDEr", "q", 1.0)]
    columns = ("rules", "metric", "query_id", "value")
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    assert caption_scores(table) == {"a": 50.0}


def test_a_report_says_what_it_leaves_out():
    text = render_report("title", metrics(), [], [AnsweredTask("captions", [], 40)])
    assert "0 of 40 shown." in text


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
    def line(**changes):
        return next(line for line in metrics_table(metrics(**changes)).splitlines() if "queries scored" in line)

    assert line() == "2 of 7 queries scored; 4 video missing, 1 no annotated moment"
    whole = [result([[[0.0, 10.0]], [[0.0, 1.0]]])]
    assert line(counts=counts(whole, summary(2))).endswith("none left out")
    garbled = line(counts=counts(whole, summary(2, unreadable=1)))
    assert garbled.endswith("none left out; 1 answers could not be read")


def test_empty_moments_are_told_apart_from_absent_ones_and_those_of_training_have_a_line():
    found = counts([result([[[0.0, 10.0]], [[0.0, 1.0]]])], summary(4), {"moment outside its video": 1})
    assert found["skipped"] == {"moment outside its video": 1, "no annotated moment": 1}
    assert (found["queries"], found["evaluated"]) == (4, 2)
    left_out = {"training": {"moment outside its video": 34}, "selection": {}}
    told = metrics(provenance={"weights": {}, "checkpoint": {"left_out": left_out}})
    assert "left out of training: 34 (moment outside its video)" in metrics_table(told)
    assert "left out of selection" not in metrics_table(told)
    assert "Left out of training: 34 (moment outside its video)." in render_report("t", told, [], [])


def test_a_table_without_any_score_is_still_a_table():
    assert [line for line in metrics_table(metrics(**NOTHING)).splitlines() if line.strip() == "img"]


def test_everything_that_people_wrote_is_escaped_in_a_report():
    evil = "<script>alert(1)</script>"
    text = render_report(
        evil,
        metrics(system=evil, provenance={"weights": {evil: "random(0)"}, "note": evil}),
        [],
        [timelines([Reference("a", evil, evil, 20.0, (0.0, 10.0), {"kind": evil})], [row("a", 0.0, 10.0)])],
    )
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") >= 5


def test_a_report_without_history_has_no_curve_and_the_same_numbers_give_the_same_report():
    shown = [timelines(REFERENCES, [row("a", 0.0, 10.0)])]
    assert "<svg" not in render_report("title", metrics(), [], shown)
    history = [{"epoch": 1, "total": 2.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    once, again = (render_report("title", metrics(), history, shown) for _ in range(2))
    assert once == again


def test_bars_stay_inside_their_video():
    [video] = timelines([reference("a", (-3.0, 25.0))], [row("a", 19.99, 20.0)]).rows
    [query] = video["queries"]
    [annotated], [predicted] = query["annotated"], query["predicted"]
    assert (annotated["left"], annotated["width"]) == (0, 100)
    assert predicted["left"] + predicted["width"] <= 100
    assert predicted["start"] == 19.99
