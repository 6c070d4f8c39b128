"""Tables and files of predictions to metrics.json: the numbers are those of the evaluators, reached by another way."""

import json
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.made_benchmarks import (
    SENTENCE_SETS,
    external_settings,
    import_tables,
    qvh_files,
    run_entry_point,
    score_external,
    sentence_files,
    write_answer_tables,
    write_lines,
)
from tests.unit.made_predictions import moments as made_moments
from tests.unit.made_predictions import qvh_answers, qvh_question
from tests.unit.made_predictions import spans as made_spans
from tests.unit.plain_metrics import (
    plain_hirest_moments,
    plain_hirest_steps,
    plain_moments,
    plain_recalls,
    plain_saliency,
)
from workflow_scripts import evaluate
from workflow_scripts.lib.metrics import captions, ranked_spans
from workflow_scripts.lib.metrics.bootstrap import confidence_interval
from workflow_scripts.lib.metrics.errors import MissingPrediction
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.predictions.answer_tables import QUERY_SCORES_SCHEMA, read_answers
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.run import score_run
from workflow_scripts.lib.scoring.submissions import Leniency, read_submission
from workflow_scripts.lib.scoring.tasks import TASKS, ask, rule_sets_of
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import read_table, write_table

THRESHOLDS = [0.1, 0.3, 0.5, 0.7]
NMS = {"2d_tan_strict": 0.45, "mmn_float32": 0.4}


def evaluated(monkeypatch, annotations, windows, split, rules, **evaluation):
    """Run `evaluate` on fabricated predictions and return metrics.json and its folder."""
    results = annotations.parent
    run = results / "made" / "seed0" / split
    variants = ["", "zero:audio", "predictor:v", "floor"]
    write_answer_tables(run, annotations, windows, split, variants)
    scores = [{"query_id": query, "name": "audio_importance", "value": 0.25} for query in windows]
    write_table(run / "query_scores.parquet", pa.Table.from_pylist(scores, schema=QUERY_SCORES_SCHEMA))
    empty = ("recipes", "weights", "checkpoint", "seconds")
    tasks = {"moments": {"asked": len(windows), "skipped": {}}}
    summary = {key: {} for key in empty} | {"unreadable": 2, "device": "cpu", "tasks": tasks}
    write_json(run / "predict.json", summary)
    settled = {"rules": rules, "thresholds": THRESHOLDS, "nms_thresholds": NMS, "published": {}}
    settled |= {"group_by": None, "zero_streams": [], "variations": {}, "order_baseline": False, **evaluation}
    config = {"protocol": "published", "queries": {"kinds": None, "moments": "clip"}, "evaluation": settled}
    config["given"] = {"moments": "annotated", "steps": "annotated"}
    config |= {"transcript": None, "streams": {"visual": {"names": ["frames"]}}}
    write_json(
        results / "made" / "settings.json",
        {"dataset": results.name, "annotations": results.name, "name": "made", "config": config},
    )
    run_entry_point(
        monkeypatch,
        evaluate,
        "--settings",
        results / "made" / "settings.json",
        "--run",
        run,
        "--out",
        run / "metrics.json",
    )
    return json.loads((run / "metrics.json").read_text()), run


def assert_equal_numbers(found, wanted, tolerance=1e-9):
    assert {key: found[key] for key in wanted} == pytest.approx(wanted, abs=tolerance)


def qvh_numbers(predictions, annotations):
    """The headline numbers of QVHighlights, by plain loops."""
    moments, saliency = plain_moments(predictions, annotations), plain_saliency(predictions, annotations)
    full = moments["full"]
    numbers = {"R1@0.5": full["MR-R1"][0], "R1@0.7": full["MR-R1"][4]}
    numbers |= {"mAP@0.5": full["MR-mAP"][0], "mAP@0.75": full["MR-mAP"][5], "mAP": float(np.mean(full["MR-mAP"]))}
    lengths = {name: float(np.mean(entry["MR-mAP"])) for name, entry in moments.items() if name != "full"}
    return numbers, dict(zip(("HL-mAP", "HL-HIT@1"), saliency[4], strict=True)), lengths


@pytest.fixture
def qvh(tmp_path, monkeypatch):
    """Tables of a tiny QVHighlights, with predictions and annotations in its own form."""
    path, predictions, annotations = qvh_files(tmp_path)
    return import_tables(monkeypatch, tmp_path, "qvh", "qvhighlights", {"val": path}), predictions, annotations


def test_a_table_of_predictions_is_scored_as_qvhighlights_scores_it(qvh, monkeypatch):
    tables, predictions, annotations = qvh
    windows = {f"qvh/val/{row['qid']}": row["pred_relevant_windows"] for row in predictions}
    metrics, _ = evaluated(monkeypatch, tables, windows, "val", ["qvhighlights", "calce", "span_index"])
    numbers, _, lengths = qvh_numbers(predictions, annotations)
    assert metrics["rules"] == "qvhighlights"
    assert_equal_numbers(metrics["metrics"], numbers)
    found = metrics["rule_sets"]["qvhighlights"]["lengths"]
    assert {name: entry["mAP"] for name, entry in found.items()} == pytest.approx(lengths)
    question = made_moments([row["relevant_windows"] for row in annotations])
    answers = made_spans([[window[:2] for window in row["pred_relevant_windows"]] for row in predictions])
    wanted = apply_rules("calce", question, answers, Options())
    assert metrics["rule_sets"]["calce"]["official"] == wanted.official
    assert metrics["rule_sets"]["calce"]["metrics"]["mIoU"] == pytest.approx(100 * wanted.official["mIoU"])
    options = Options(thresholds=THRESHOLDS)
    wanted = apply_rules("span_index", question, answers, options)
    assert_equal_numbers(metrics["rule_sets"]["span_index"]["metrics"], wanted.metrics)


def test_a_submission_is_scored_as_qvhighlights_scores_it(qvh, tmp_path, monkeypatch):
    tables, predictions, annotations = qvh
    path = write_lines(tmp_path / "submission.jsonl.gz", predictions[::-1])
    settings = external_settings(path, "qvh", "val", ["qvhighlights"])
    metrics = score_external(monkeypatch, tables, settings, tmp_path / "out")
    numbers, saliency, _ = qvh_numbers(predictions, annotations)
    assert_equal_numbers(metrics["metrics"], numbers | saliency)
    section = metrics["rule_sets"]["qvhighlights"]
    question = qvh_question(annotations)
    wanted = apply_rules("qvhighlights", question, qvh_answers(predictions, question), Options())
    assert section["official"] == wanted.official
    assert section["options"] == {
        "clip": False,
        "moments": "raw",
        "empty_windows": "published",
        "match_number": True,
    }
    assert section["source"].startswith("jayleicn/moment_detr")
    assert metrics["counts"] == {"queries": 40, "evaluated": 40, "skipped": {}}


@pytest.mark.parametrize("dataset", SENTENCE_SETS)
def test_ranked_spans_are_scored_by_both_rules_from_a_table_and_from_a_file(dataset, tmp_path, monkeypatch):
    reader, split = SENTENCE_SETS[dataset]
    path, rows = sentence_files(tmp_path, dataset)
    tables = import_tables(monkeypatch, tmp_path, dataset, reader, {split: path})
    rules = {"2d_tan_strict": ranked_spans.TAN, "mmn_float32": ranked_spans.MMN}
    wanted = {name: plain_recalls(rows, rule, NMS[name], THRESHOLDS) for name, rule in rules.items()}
    assert wanted["2d_tan_strict"] != wanted["mmn_float32"]
    queries = read_table(tables / "queries.parquet").to_pylist()
    id_of = {(row["video_id"], row["ordinal"]): row["query_id"] for row in queries}
    video = {row["vid"]: row["vid"].removeprefix("v_").removesuffix(".avi") for row in rows}
    windows = {id_of[video[row["vid"]], row["sentence_index"]]: row["candidates"] for row in rows}
    from_table, _ = evaluated(monkeypatch, tables, windows, split, list(rules))
    lines = write_lines(tmp_path / "ranked.jsonl", rows)
    settings = external_settings(lines, dataset, split, list(rules), thresholds=THRESHOLDS, nms_thresholds=NMS)
    from_file = score_external(monkeypatch, tables, settings, tmp_path / "out")
    for metrics in (from_table, from_file):
        assert metrics["rules"] == "2d_tan_strict"
        for name, numbers in wanted.items():
            section = metrics["rule_sets"][name]
            assert_equal_numbers(section["metrics"], numbers)
            assert section["options"] == {
                "clip": False,
                "moments": "clip_drop" if name == "2d_tan_strict" else "clip",
                "thresholds": THRESHOLDS,
                "nms_threshold": NMS[name],
            }


def test_hirest_is_scored_in_its_own_files(tmp_path, monkeypatch):
    truth, moments, steps = {}, {}, {}
    rng = np.random.default_rng(0)
    for i in range(12):
        start = int(rng.integers(0, 20))
        edges = [start, start + 5, start + 11, start + 20]
        bounds = [[a, b] for a, b in pairwise(edges)]
        entry = {"relevant": True, "clip": i % 4 > 0, "v_duration": 60.0, "bounds": [start, start + 20]}
        entry["steps"] = [
            {"index": k, "heading": f"do thing {k}", "absolute_bounds": span} for k, span in enumerate(bounds)
        ]
        name = f"video{i:06d}.mp4"
        truth[f"prompt {i}"] = {name: entry if entry["clip"] else entry | {"bounds": [0, 0], "steps": []}}
        moments[f"prompt {i}"] = {name: {"bounds": [start + int(rng.integers(0, 9)), start + 20]}}
        if entry["clip"]:
            steps[name] = {"bounds": [[start + 1, start + 5], [start + 6, start + 12], [start + 13, start + 19]]}
    source = tmp_path / "all_data_val.json"
    source.write_text(json.dumps(truth))
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": source})
    own = {
        name: {"bounds": [s["absolute_bounds"] for s in e["steps"]]} for v in truth.values() for name, e in v.items()
    }
    files = {"moments": moments, "steps": steps}
    for task, predictions in files.items():
        (tmp_path / f"{task}.json").write_text(json.dumps(predictions))
    settings = external_settings(tmp_path / "moments.json", "hirest", "val", ["hirest_moments"])
    found = score_external(monkeypatch, tables, settings, tmp_path / "moments")
    assert found["counts"]["evaluated"] == 9
    assert_equal_numbers(found["metrics"], plain_hirest_moments(moments, truth))
    assert found["rule_sets"]["hirest_moments"]["options"] == {"moments": "raw", "clip": False, "reversed": "refuse"}
    assert 0 < found["metrics"]["R@0.7"] < 100
    settings = external_settings(tmp_path / "steps.json", "hirest", "val", ["hirest_steps_raw", "hirest_steps"])
    found = score_external(monkeypatch, tables, settings, tmp_path / "steps")
    bounds = {name: entry["bounds"] for name, entry in steps.items()}
    assert_equal_numbers(found["metrics"], plain_hirest_steps(bounds, {name: own[name]["bounds"] for name in steps}))
    assert found["rule_sets"]["hirest_steps"]["options"] == {"reversed": "refuse"}
    assert found["rule_sets"]["hirest_steps"]["metrics"] != found["metrics"]
    windows = {f"hirest/val/{p}#{n[:-4]}": [[*e["bounds"], None]] for p, v in moments.items() for n, e in v.items()}
    metrics, _ = evaluated(monkeypatch, tables, windows, "val", ["hirest_moments"])
    assert_equal_numbers(metrics["metrics"], plain_hirest_moments(moments, truth))
    assert metrics["counts"]["skipped"] == {"no annotated moment": 3}
    assert metrics["counts"]["unreadable"] == 2


def test_every_headline_number_has_its_interval_and_is_the_mean_of_its_rows(qvh, monkeypatch):
    tables, predictions, _ = qvh
    windows = {f"qvh/val/{row['qid']}": row["pred_relevant_windows"] for row in predictions}
    metrics, run = evaluated(monkeypatch, tables, windows, "val", ["qvhighlights"])
    rows = read_table(run / "per_query.parquet").to_pylist()
    assert set(metrics["confidence"]) == set(metrics["metrics"])
    for name, value in metrics["metrics"].items():
        values = np.array([row["value"] for row in rows if row["metric"] == name])
        assert 100 * values.mean() == pytest.approx(value)
        wanted = confidence_interval(100 * values)
        assert metrics["confidence"][name] == pytest.approx([wanted.low, wanted.high])
        assert wanted.low <= value <= wanted.high
    lengths = read_table(run / "per_length.parquet").to_pylist()
    assert {row["length"] for row in lengths} == {"short", "middle", "long"}
    assert all(row["low"] <= row["value"] <= row["high"] for row in lengths)


def test_the_same_run_gives_the_same_files(qvh, monkeypatch):
    tables, predictions, _ = qvh
    windows = {f"qvh/val/{row['qid']}": row["pred_relevant_windows"] for row in predictions}
    once, again = (
        {path.name: path.read_bytes() for path in sorted(run.iterdir()) if path.is_file()}
        for _, run in (evaluated(monkeypatch, tables, windows, "val", ["qvhighlights"]) for _ in range(2))
    )
    assert once == again


def test_a_query_with_an_explicit_miss_counts_as_missed(qvh, monkeypatch):
    tables, predictions, _ = qvh
    windows = {f"qvh/val/{row['qid']}": row["pred_relevant_windows"] for row in predictions}
    whole, _ = evaluated(monkeypatch, tables, windows, "val", ["span_index", "qvhighlights", "calce"])
    emptied = {query: [] for query in windows}
    nothing, _ = evaluated(monkeypatch, tables, emptied, "val", ["span_index", "calce"])
    assert set(nothing["metrics"].values()) == {0.0}
    assert nothing["rule_sets"]["calce"]["metrics"]["invalid"] == 100
    assert whole["rule_sets"]["calce"]["metrics"]["invalid"] == 0


def test_moments_outside_their_video_are_counted_and_end_no_evaluation(tmp_path, monkeypatch):
    spans = {"good": (1.0, 3.0), "late": (1001.0, 1003.0), "reversed": (3.0, 1.0), "none": (None, None)}
    lines = [
        {"video": f"{name}.mp4", "query": "what", "duration": 9.0, "start": start, "end": end}
        for name, (start, end) in spans.items()
    ]
    tables = import_tables(monkeypatch, tmp_path, "own", "plain", {"test": write_lines(tmp_path / "q.jsonl", lines)})
    windows = {f"own/test/{name}#0": [[1.0, 3.0, 0.5]] for name in spans}
    metrics, _ = evaluated(monkeypatch, tables, windows, "test", ["span_index", "qvhighlights"])
    assert metrics["metrics"]["R1@0.5"] == 100
    skipped = {"moment outside its video": 1, "moment ends before it starts": 1, "no annotated moment": 1}
    assert metrics["counts"]["skipped"] == skipped
    assert (metrics["counts"]["queries"], metrics["counts"]["evaluated"]) == (4, 1)
    predictions = [{"query_id": query, "pred_relevant_windows": spans} for query, spans in windows.items()]
    path = write_lines(tmp_path / "submission.jsonl", predictions)
    found = score_external(monkeypatch, tables, external_settings(path, "own", "test", ["span_index"]), tmp_path / "o")
    del skipped["no annotated moment"]
    assert found["counts"] == {"queries": 3, "evaluated": 1, "skipped": skipped}


def test_a_split_without_moments_has_predictions_and_no_numbers(tmp_path, monkeypatch):
    path = write_lines(tmp_path / "q.jsonl", [{"video": "a.mp4", "query": "what", "duration": 9.0}])
    tables = import_tables(monkeypatch, tmp_path, "own", "plain", {"test": path})
    metrics, run = evaluated(monkeypatch, tables, {"own/test/a#0": [[0.0, 1.0, 0.5]]}, "test", ["span_index"])
    assert metrics["metrics"] == metrics["rule_sets"] == {}
    assert metrics["counts"]["skipped"] == {"no annotated moment": 1}
    assert read_table(run / "per_query.parquet").num_rows == 0


def test_step_captions_are_scored_from_a_file_and_from_a_table(tmp_path, monkeypatch):
    headings = ["Cut the carrots", "Boil water ", "Serve it hot", "Mix the dough", "Bake the bread"]
    own = ["cut carrots", "Boil the water", "serve it", "mix dough by hand", "eat the bread"]
    truth, answers = {}, {}
    for i, n_steps in enumerate((2, 3)):
        first = 2 * i
        steps = [
            {"index": k, "heading": headings[first + k], "absolute_bounds": [10 * k, 10 * k + 10]}
            for k in range(n_steps)
        ]
        entry = {"relevant": True, "clip": True, "v_duration": 60.0, "bounds": [0, 10 * n_steps], "steps": steps}
        truth[f"prompt {i}"] = {f"video{i:06d}.mp4": entry}
        answers[f"video{i:06d}.mp4"] = {"captions": [{"sentence": text} for text in own[first : first + n_steps]]}
    (tmp_path / "val.json").write_text(json.dumps(truth))
    (tmp_path / "captions.json").write_text(json.dumps(answers))
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": tmp_path / "val.json"})
    settings = external_settings(tmp_path / "captions.json", "hirest", "val", ["hirest_captions"])
    found = score_external(monkeypatch, tables, settings, tmp_path / "out")
    texts = captions.tokenized(own, [[text] for text in headings])
    wanted, _ = captions.score_tokens(texts.own_tokens, texts.reference_tokens)
    assert_equal_numbers(found["metrics"], {name: 100 * value for name, value in wanted.items()}, 1e-6)
    assert found["rule_sets"]["hirest_captions"]["options"] == {"also": []}
    assert set(found["confidence"]) == {"ROUGE_L", "CIDEr"}
    assert found["counts"]["evaluated"] == 5
    run, numbered = tmp_path / "run", list(zip((0, 0, 1, 1, 1), (0, 1, 0, 1, 2), own, strict=True))
    asked = {"query_id": "hirest/val/prompt {0}#video00000{0}", "video_id": "video00000{0}"}
    named = [({key: text.format(i) for key, text in asked.items()}, k, text) for i, k, text in numbered]
    steps = [row | {"step_index": k, "start_s": 10.0 * k, "end_s": 10.0 * k + 10} for row, k, _ in named]
    described = [row | {"step_index": k, "rank": 0, "text": text, "score": None} for row, k, text in named]
    write_answer_tables(run, tables, {}, "val", steps=steps, captions=described)
    answers = {task: read_answers(run, task) for task in TASKS}
    split = AnnotatedSplit.read(tables, "val")
    question, found = ask(split, answers, RULE_SETS["hirest_captions"])
    assert question.texts == [[text] for text in headings]
    assert found.texts == [[text] for text in own]
    evaluation = {"thresholds": [0.5], "nms_thresholds": {}}
    [scored], left_out = score_run(
        split, answers, evaluation, ["hirest_steps_raw", "captions", "hirest_videos"], ["steps", "captions"]
    )
    assert set(scored.scored.metrics.values()) == {100.0}
    assert left_out["hirest_videos"] == "the system does not answer videos"
    assert "has no reference caption" in left_out["captions"]


def test_what_was_not_asked_is_not_missed_in_any_task(tmp_path, monkeypatch):
    """A lost video costs its own answers, and no evaluation."""
    content = {
        "videos": [
            {"video_id": name, "split": "test", "id": i, "category": 1, "url": "u", "start time": 0.0, "end time": 9.0}
            for i, name in enumerate(("video1", "video2"))
        ],
        "sentences": [
            {"video_id": name, "caption": f"a {name}", "sen_id": i} for i, name in enumerate(("video1", "video2"))
        ],
    }
    (tmp_path / "msrvtt.json").write_text(json.dumps(content))
    tables = import_tables(monkeypatch, tmp_path, "msrvtt", "msrvtt", {"test": tmp_path / "msrvtt.json"})
    row = {"query_id": "", "video_id": "video2", "step_index": None, "rank": 0, "text": "a video2", "score": None}
    write_answer_tables(tmp_path / "run", tables, {}, "test", captions=[row])
    answers = {task: read_answers(tmp_path / "run", task) for task in TASKS}
    question, _ = ask(AnnotatedSplit.read(tables, "test"), answers, RULE_SETS["captions"])
    assert question.ids == ["video2"]


def test_a_prompt_of_several_videos_is_asked_once_and_scored_against_all_of_them(tmp_path, monkeypatch):
    entry = {"relevant": True, "clip": True, "v_duration": 60.0, "bounds": [5, 10], "steps": []}
    truth = {"cook": {f"video{i:06d}.mp4": entry for i in (0, 1)}, "sew": {"video000002.mp4": entry}}
    (tmp_path / "val.json").write_text(json.dumps(truth))
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": tmp_path / "val.json"})
    ranking = {"cook": "102", "sew": "012"}
    first = {"cook": "hirest/val/cook#video000000", "sew": "hirest/val/sew#video000002"}
    rows = [
        {"query_id": first[prompt], "video_id": f"video00000{number}", "rank": rank, "score": -float(rank)}
        for prompt, order in ranking.items()
        for rank, number in enumerate(order)
    ]
    write_answer_tables(tmp_path / "run", tables, {}, "val", videos=rows)
    answers = {task: read_answers(tmp_path / "run", task) for task in TASKS}
    [scored], _ = score_run(
        AnnotatedSplit.read(tables, "val"),
        answers,
        {"thresholds": [0.5], "nms_thresholds": {}},
        ["hirest_videos"],
        ["videos"],
    )
    assert scored.question.videos == [["video000000.mp4", "video000001.mp4"], ["video000002.mp4"]]
    assert scored.scored.metrics["R@1"] == 50.0


def test_every_rule_set_belongs_to_a_task_and_every_task_has_one():
    assert set().union(*(rule_sets_of(task) for task in TASKS)) == set(RULE_SETS)
    assert all(rule_sets_of(task) for task in TASKS)


def test_captions_of_videos_are_paired_with_all_their_references(tmp_path, monkeypatch):
    references = {"video1": ["a man sings", "someone is singing"], "video2": ["a dog runs", "the dog is running"]}
    content = {
        "videos": [
            {"video_id": name, "split": "test", "id": i, "category": 1, "url": "u", "start time": 0.0, "end time": 9.0}
            for i, name in enumerate(references)
        ],
        "sentences": [
            {"video_id": name, "caption": text, "sen_id": 2 * i + k}
            for i, (name, texts) in enumerate(references.items())
            for k, text in enumerate(texts)
        ],
    }
    (tmp_path / "msrvtt.json").write_text(json.dumps(content))
    tables = import_tables(monkeypatch, tmp_path, "msrvtt", "msrvtt", {"test": tmp_path / "msrvtt.json"})
    own = [{"image_id": "video2", "caption": "A dog is running."}, {"image_id": "video1", "caption": "a man sings"}]
    (tmp_path / "captions.json").write_text(json.dumps(own))
    split = AnnotatedSplit.read(tables, "test")
    asked = split.captions()

    def read():
        path = tmp_path / "captions.json"
        return read_submission(path, split, "captions", asked, Leniency())

    question, answers = read()
    assert dict(zip(question.ids, question.texts, strict=True)) == references
    assert dict(zip(question.ids, answers.texts, strict=True)) == {
        "video1": ["a man sings"],
        "video2": ["A dog is running."],
    }
    (tmp_path / "captions.json").write_text(json.dumps(own[:1]))
    with pytest.raises(MissingPrediction, match="query video1"):
        read()
