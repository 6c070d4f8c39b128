"""Scores with groups and baseline, seeds joined, and the report."""

import hashlib
import json
import sys
from base64 import b64encode

import pyarrow as pa
import pytest

from tests.report_pages import data_of
from tests.unit.made_benchmarks import import_tables
from tests.unit.made_predictions import moments, spans
from workflow_scripts import collect_metrics
from workflow_scripts.collect_metrics import join_seeds
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.entries import SeedAnswers, caption_entries, query_entries, ranking_entries
from workflow_scripts.lib.reporting.html import Shown, chosen_epochs, render_report
from workflow_scripts.lib.reporting.shown_captions import caption_scores
from workflow_scripts.lib.reporting.shown_videos import unusable_videos
from workflow_scripts.lib.reporting.table import metrics_table, tables_of
from workflow_scripts.lib.reporting.training_curves import training_curves
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import Result, counts, group_means, sections
from workflow_scripts.lib.scoring.scored_baselines import best_constant
from workflow_scripts.lib.store.tables import write_table

GROUPS = {"q0": "picture", "q1": "sound"}
QUESTION = moments([[[0.0, 10.0]], [[5.0, 10.0]]], [20.0, 20.0])


def reference(name, span, kind="picture"):
    return Reference(name, "video", f"<b>{name}</b>", 20.0, span, {"kind": kind})


def row(name, start_s, end_s, rank=0):
    return {"query_id": name, "rank": rank, "start_s": start_s, "end_s": end_s}


REFERENCES = [reference("a", (0.0, 10.0)), reference("b", (5.0, 10.0), "sound"), reference("c", None)]


NOT_ANSWERED = {"moments": [], "highlights": [], "steps": [], "captions": [], "videos": []}


class Untabled:
    """Annotations without saliency and steps."""

    def table(self, name):
        return pa.table({})


def timelines(references, rows, split=None, **answers):
    """Return the entries of queries that one seed answered."""
    seed = SeedAnswers("seed0", NOT_ANSWERED | {"moments": rows} | answers)
    return query_entries(split or Untabled(), references, [seed])


def page(entries, found=None, title="title", **shown):
    """Return a report that shows entries of one seed."""
    return render_report(title, found or metrics(), Shown(entries, ["seed0"], **shown))


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
    text = page([], metrics(counts=found))
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
    text = page([], found)
    assert "<h3>steps</h3>" in text
    assert "recall@0.5" in text


def test_the_report_escapes_queries_and_says_that_weights_are_random():
    history = [{"epoch": 1, "total": 2.0, "R1@0.5": 10.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    text = page(timelines(REFERENCES, [row("a", 0.0, 10.0)]), histories={"seed0": history})
    assert [entry["text"] for entry in data_of(text)["entries"]] == ["<b>a</b>", "<b>b</b>", "<b>c</b>"]
    assert "<b>a</b>" not in text
    assert "clip_tiny random(0)" in text
    assert "of the system with published weights they say nothing" in text
    assert "<svg" in text


def test_a_report_without_annotated_moments_shows_the_predictions():
    text = page(timelines([reference("c", None)], [row("c", 1.0, 2.0)]), metrics(**NOTHING))
    assert "nothing to score" in text
    [entry] = data_of(text)["entries"]
    assert entry["predicted"] == [[[1.0, 2.0, None, None]]]
    assert entry["outcome"] == ["not judged"]


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
    seeds = [SeedAnswers("seed0", answers)]
    [cook] = query_entries(tasks, references, seeds)
    assert cook["steps"] == [[0.0, 10.0, "<i>step 0</i>"], [10.0, 20.0, "<i>step 1</i>"]]
    assert cook["predicted_steps"] == [[[1.0, 9.0, ""]]]
    assert cook["curves"] == [[0.0, 0.5, 1.0]]
    [caption] = caption_entries(tasks, seeds, None)
    assert caption["name"] == "own/val/cook#video000000#1"
    assert caption["heard"] == [("<script>own</script>", False)]
    assert caption["references"] == ["<i>step 1</i>"]
    assert (caption["quality"], caption["step"]) == ([None], [10.0, 20.0])
    [ranking] = ranking_entries(tasks, seeds)
    assert (ranking["text"], ranking["ranking"]) == ("cook", [[["video000000", "video000000.mp4", True]]])
    assert (ranking["first_right"], ranking["quality"]) == ([1], [1.0])
    text = page([cook, caption, ranking])
    assert [entry["task"] for entry in data_of(text)["entries"]] == ["moments", "captions", "videos"]
    assert data_of(text)["entries"][1]["text"] == "<script>own</script>"
    assert "<script>" not in text


def test_captions_come_with_their_scores_and_the_words_that_only_sound_brings_marked(tasks):
    video = {"query_id": "", "step_index": None, "rank": 0}
    texts = {"a": "a dog, Barks", "b": "a cat", "c": "a bell"}
    captions = [video | {"video_id": name, "text": text} for name, text in texts.items()]
    unheard = [video | {"video_id": "a", "text": "A dog runs"}]
    answers = NOT_ANSWERED | {"captions": captions}
    found = caption_entries(tasks, [SeedAnswers("seed0", answers, (), {"a": 30.0, "b": 2.0}, unheard)], None)
    assert [(row["name"], row["quality"]) for row in found] == [("a", [30.0]), ("b", [2.0]), ("c", [None])]
    assert found[0]["heard"] == [("a", False), ("dog,", False), ("Barks", True)]
    assert found[1]["heard"] == [("a", False), ("cat", False)]
    window = [video | {"video_id": "a", "step_index": 2, "text": "x"}]
    [found] = caption_entries(tasks, [SeedAnswers("seed0", answers | {"captions": window})], 10.0)
    assert (found["name"], found["window"]) == ("a, window 3", [20.0, 30.0])
    known = [row | {"video_id": "video000000"} for row in window]
    [found] = caption_entries(tasks, [SeedAnswers("seed0", answers | {"captions": known})], 15.0)
    assert found["window"] == [30.0, 40.0], "the last one ends with its video"


def test_scores_of_captions_are_those_of_the_rule_sets_about_captions():
    rows = [("captions", "CIDEr", "a", 0.5), ("captions", "ROUGE_L", "a", 0.1), ("span_index", "CIDEr", "q", 1.0)]
    columns = ("rules", "metric", "query_id", "value")
    table = pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows])
    assert caption_scores(table) == {"a": 50.0}


def test_a_report_says_what_it_leaves_out():
    assert "12 queries have no thumbnails." in page([], cut=["12 queries have no thumbnails."])


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
    assert "Left out of training: 34 (moment outside its video)." in page([], told)


def test_a_table_without_any_score_is_still_a_table():
    assert [line for line in metrics_table(metrics(**NOTHING)).splitlines() if line.strip() == "img"]


def test_everything_that_people_wrote_is_escaped_in_a_report():
    evil = "<script>alert(1)</script>"
    own = timelines([Reference("a", evil, evil, 20.0, (0.0, 10.0), {"kind": evil})], [row("a", 0.0, 10.0)])
    reads = {"stream": evil, "feature": evil, "counts": [(evil, 1)], "reasons": [evil]}
    text = page(
        [entry | {"why": evil} for entry in own],
        metrics(system=evil, provenance={"weights": {evil: "random(0)"}, "note": evil}),
        evil,
        videos={evil: {"src": "x.mp4", "speech": [[0.0, 1.0, "</script><!--"]]}},
        coverage=[reads],
        cut=[evil],
        speech=evil,
    )
    assert "<script>" not in text
    assert text.count("&lt;script&gt;") >= 5
    data = data_of(text)
    assert {data["entries"][0][name] for name in ("text", "video", "kind")} == {evil}
    assert data["videos"][evil]["speech"] == [[0.0, 1.0, "</script><!--"]]


def test_only_the_script_of_the_page_itself_may_run():
    text = page([])
    script = text.split('<script type="text/javascript">')[1].split("</script>")[0]
    digest = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in text
    assert "innerHTML" not in script
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")


def test_a_report_without_history_has_no_curve_and_the_same_numbers_give_the_same_report():
    shown = timelines(REFERENCES, [row("a", 0.0, 10.0)])
    assert "<svg" not in page(shown)
    history = [{"epoch": 1, "total": 2.0}, {"epoch": 2, "total": 1.0, "R1@0.5": 20.0}]
    once, again = (page(shown, histories={"seed0": history}) for _ in range(2))
    assert once == again


def test_every_term_of_the_loss_has_a_picture_of_its_own_and_the_chosen_epoch_is_marked():
    history = [{"epoch": n, "step": n, "lr": 0.1, "span": 1.0, "total": 2.0, "R1@0.5": 10.0} for n in (1, 2, 3)]
    curves = training_curves({"seed0": history, "seed1": history[:1]}, {"seed0": 2, "seed1": None})
    assert [name for name, _ in curves] == ["loss, total", "loss, span", "selection split, percent"]
    text = page([], metrics(provenance={"weights": {}, "checkpoint": {"epoch": 2}}), histories={"seed0": history})
    assert text.count("chosen, seed0: epoch 2") == 3
    assert "chosen, seed0" not in page([], histories={"seed0": history})
    assert chosen_epochs({"seeds": {"seed1": {"provenance": {"checkpoint": {"epoch": 7}}}}}) == {"seed1": 7}


def test_videos_that_cannot_be_used_are_named_up_to_a_number_that_is_said():
    text = page([], unusable=[f"<b>{n}: unreadable (why)" for n in range(21)])
    assert "the first 20 of 21" in text
    assert text.count("<li>&lt;b&gt;") == 20
    assert "cannot be used" not in page([])
    assert "the first" not in page([], unusable=["a: missing"])


def test_a_manifest_tells_which_videos_cannot_be_used_and_why(tmp_path):
    assert unusable_videos(tmp_path) == []
    rows = [("a", "ok", ""), ("b <", "unreadable", "no header"), ("c", "missing", "no file")]
    table = pa.Table.from_pylist([dict(zip(("video_id", "status", "reason"), row, strict=True)) for row in rows])
    write_table(tmp_path / "media" / "manifest.parquet", table)
    assert unusable_videos(tmp_path) == ["b <: unreadable (no header)", "c: missing (no file)"]
