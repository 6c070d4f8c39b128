"""Prediction files that somebody brings: forms, and faults that end with a named error, the file and the line."""

import gzip
import json

import pytest

from tests.unit.made_benchmarks import (
    external_settings,
    import_tables,
    qvh_files,
    score_external,
    sentence_files,
    write_lines,
)
from tests.unit.made_predictions import qvh_answers, qvh_question
from workflow_scripts.lib.datasets.item_files import calce_number
from workflow_scripts.lib.datasets.source_files import read_json
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.errors import MalformedRow
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.scoring.json_values import read_values

NAN = float("nan")


def official(predictions, annotations, **options):
    """The numbers of the published form of rows that have answers."""
    question = qvh_question(annotations)
    return apply_rules("qvhighlights", question, qvh_answers(predictions, question), Options(**options)).official


@pytest.fixture
def score(tmp_path, monkeypatch):
    """Return a function that scores changed predictions of a tiny QVHighlights."""
    source, predictions, annotations = qvh_files(tmp_path, 6)
    tables = import_tables(monkeypatch, tmp_path, "qvh", "qvhighlights", {"val": source})

    def run(change=lambda rows: rows, rules=("qvhighlights",), **settings):
        rows = change(json.loads(json.dumps(predictions)))
        path = write_lines(tmp_path / "preds.jsonl", rows)
        settings = external_settings(path, "qvh", "val", list(rules), **settings)
        return score_external(monkeypatch, tables, settings, tmp_path / "out")

    run.predictions, run.annotations, run.tables, run.folder = predictions, annotations, tables, tmp_path
    return run


def changed(line, **fields):
    """Return a change of one line (counted from 1); a field None is taken away."""

    def change(rows):
        rows[line - 1] = {key: value for key, value in (rows[line - 1] | fields).items() if value is not None}
        return rows

    return change


def with_window(line, window):
    def change(rows):
        rows[line - 1]["pred_relevant_windows"][2] = window
        return rows

    return change


FAULTS = {
    "an unknown query": (changed(2, qid=99), "UnknownQuery", "preds.jsonl:2"),
    "a missing query": (lambda rows: rows[:-1], "MissingPrediction", "qvh/val/5"),
    "a query twice": (lambda rows: [*rows, rows[2]], "DuplicateQuery", "preds.jsonl:7: query qvh/val/2 again"),
    "no window": (changed(3, pred_relevant_windows=[]), "EmptyPrediction", "preds.jsonl:3"),
    "windows in some rows only": (changed(3, pred_relevant_windows=None), "MissingField", "preds.jsonl:3"),
    "saliency in some rows only": (changed(4, pred_saliency_scores=None), "MissingField", "preds.jsonl:4"),
    "NaN": (with_window(5, [NAN, 3.0, 0.5]), "NonFiniteSpan", "preds.jsonl:5 (rank 2)"),
    "infinity": (with_window(5, [0.0, float("inf"), 0.5]), "NonFiniteSpan", "preds.jsonl:5 (rank 2)"),
    "a text as a time": (with_window(5, ["x", 3.0, 0.5]), "NonFiniteSpan", "preds.jsonl:5 (rank 2)"),
    "a NaN score": (with_window(5, [1.0, 3.0, NAN]), "NonFiniteScore", "preds.jsonl:5 (rank 2)"),
    "a reversed span": (with_window(1, [9.0, 3.0, 0.5]), "ReversedSpan", "preds.jsonl:1 (rank 2)"),
    "no score": (with_window(6, [1.0, 3.0]), "MissingScore", "preds.jsonl:6:pred_relevant_windows[2]"),
    "a number as a window": (with_window(6, 7), "MalformedRow", "preds.jsonl:6:pred_relevant_windows[2]"),
    "no list of windows": (changed(6, pred_relevant_windows=7), "MalformedRow", "preds.jsonl:6"),
    "NaN saliency": (changed(6, pred_saliency_scores=[NAN] * 75), "NonFiniteScore", "preds.jsonl:6"),
    "empty saliency": (changed(6, pred_saliency_scores=[]), "EmptyPrediction", "preds.jsonl:6"),
    "nothing that names a query": (changed(2, qid=None, vid="x"), "MalformedRow", "preds.jsonl:2"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_with_its_file_and_line(score, fault):
    change, name, place = FAULTS[fault]
    with pytest.raises(UserError) as caught:
        score(change)
    assert f": {name}: " in str(caught.value)
    assert place in str(caught.value)
    assert "preds.jsonl" in str(caught.value)
    assert not (score.folder / "out" / "metrics.json").exists()


def test_what_both_sides_have_is_scored_if_that_is_asked_for(score):
    found = score(lambda rows: [*rows[1:], rows[0] | {"qid": 99}], allow_missing=True)
    wanted = official(score.predictions[1:], score.annotations[1:])
    assert found["rule_sets"]["qvhighlights"]["official"] == wanted
    assert found["counts"] == {"queries": 6, "evaluated": 5, "skipped": {"no prediction": 1}}
    assert found["provenance"]["accepted"]["allow_missing"] is True


def test_not_matching_the_number_of_queries_is_an_option_that_the_metrics_name(score):
    found = score(lambda rows: rows[1:], match_number=False)["rule_sets"]["qvhighlights"]
    assert found["queries"] == 5
    assert found["official"] == official(score.predictions[1:], score.annotations[1:])
    assert found["options"]["match_number"] is False


def test_calces_own_names_of_queries_are_understood(score):
    whole = score()["rule_sets"]["qvhighlights"]["official"]

    def named(rows):
        return [row | {"qid": f"QVHighlight_{row['qid']}"} for row in rows]

    assert score(named)["rule_sets"]["qvhighlights"]["official"] == whole
    with pytest.raises(UserError, match=r"query QVHighlight_99 \(.*preds\.jsonl:1\)"):
        score(changed(1, qid="QVHighlight_99"))


@pytest.mark.parametrize(
    "qid", ["Charades_0", "charades_0", "val_0", "_0", "QVHighlight_", "qvh/val/0", "x_QVHighlight_0"]
)
def test_a_query_of_another_dataset_is_not_taken_for_that_of_the_same_number(score, qid):
    with pytest.raises(UserError, match=rf"1 predictions are about nothing .* query {qid} \(.*preds\.jsonl:1\)"):
        score(changed(1, qid=qid))


@pytest.mark.parametrize(
    ("dataset", "own"), [("qvh", "QVHighlight"), ("qvh_mine", "QVHighlight"), ("charades_tvr", "Charades")]
)
def test_a_key_tells_which_names_of_calce_are_its_own_and_any_other_key_takes_both(dataset, own):
    [other] = {"QVHighlight", "Charades"} - {own}
    assert calce_number(f"{own}_7", dataset) == calce_number(f"{own}_7", "mine") == "7"
    assert calce_number(f"{other}_7", dataset) is None
    assert calce_number("7", dataset) is calce_number("val_7", "mine") is None


def test_an_empty_answer_is_a_miss_if_that_is_asked_for(score):
    rows = json.loads(json.dumps(score.predictions))
    rows[2]["pred_relevant_windows"] = []
    found = score(changed(3, pred_relevant_windows=[]), empty_as_miss=True)
    assert found["rule_sets"]["qvhighlights"]["official"] == official(rows, score.annotations)


def test_windows_may_be_cut_to_the_video(score):
    def late(rows):
        rows[0]["pred_relevant_windows"][0] = [0.0, 400.0, 1.0]
        return rows

    rows = late(json.loads(json.dumps(score.predictions)))
    plain, cut = (score(late, clip=clip)["rule_sets"]["qvhighlights"] for clip in (False, True))
    assert plain["official"] == official(rows, score.annotations)
    assert cut["official"] == official(rows, score.annotations, clip=True)
    assert (plain["options"]["clip"], cut["options"]["clip"]) == (False, True)
    assert any(caution.startswith("SpanOutsideVideo: ") for caution in plain["cautions"])


def test_windows_without_scores_are_enough_for_a_rule_set_that_ranks_by_the_list(score):
    def without_scores(rows):
        return [{"qid": r["qid"], "pred_relevant_windows": [w[:2] for w in r["pred_relevant_windows"]]} for r in rows]

    def as_text(rows):
        return [row | {"pred_relevant_windows": str(row["pred_relevant_windows"])} for row in without_scores(rows)]

    scored = score(without_scores, ["calce"])
    assert scored["metrics"] == score(as_text, ["calce"])["metrics"]
    assert score(changed(1, pred_relevant_windows="I do not know"), ["calce"])["metrics"]["invalid"] > 0


def test_answers_that_stand_in_annotation_files_of_calce_are_those_of_their_sentences(score):
    def as_published(rows):
        return [
            {
                "qid": f"QVHighlight_{row['qid']}",
                "query": f"query {row['qid']}",
                "stage1_result": [window[:2] for window in row["pred_relevant_windows"]],
            }
            for row in rows
        ]

    plain = score(lambda rows: [{k: v for k, v in row.items() if "saliency" not in k} for row in rows], ["calce"])
    assert score(as_published, ["calce"])["metrics"] == plain["metrics"]
    with pytest.raises(UserError, match=r"1 predictions are about nothing that is annotated.*QVHighlight_2"):
        score(lambda rows: changed(3, query="of another numbering")(as_published(rows)), ["calce"])


def test_result_files_of_calce_are_scored(score):
    def as_published(rows):
        return [
            {
                "qid": f"QVHighlight_{row['qid']}",
                "query": f"Query: query {row['qid']}\n",
                "raw_pred_windows": "[[1, 2]]",
                "gt_windows": "[[1, 2]]",
                "pred_windows": [window[:2] for window in row["pred_relevant_windows"]],
            }
            for row in rows
        ]

    plain = score(lambda rows: [{k: v for k, v in row.items() if "saliency" not in k} for row in rows], ["calce"])
    assert score(as_published, ["calce"])["metrics"] == plain["metrics"]
    with pytest.raises(UserError, match=r"preds\.jsonl:1:pred_windows\[0\]: no score.*`rules: \[calce\]`"):
        score(as_published)
    with pytest.raises(UserError, match=r"preds\.jsonl:3:pred_relevant_windows: expected a list .*, found \"I do not"):
        score(changed(3, pred_relevant_windows="I do not know"))


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "x"},
        {"prompt": "x", "file": "a.mp4", "pred_relevant_windows": [[0, 1, 0.5]]},
        {"prompt": [1]},
        {"0": {"qid": 0, "pred_relevant_windows": [[0, 1, 0.5]]}},
        {"predictions": [{"qid": 0}]},
    ],
)
def test_an_object_that_names_no_query_is_told_what_names_one(score, row):
    with pytest.raises(UserError, match=r"preds\.jsonl:2: names no query: expected objects with 'qid'"):
        score(lambda rows: [rows[0], row, *rows[1:]])


def test_what_lies_in_the_place_of_predictions_is_told(score):
    path, pointer = score.folder / "other.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:a\n"
    for content, found in ((pointer, "a pointer of Git LFS"), ("<!DOCTYPE html>\n", "a web page instead of the file")):
        path.write_text(content)
        with pytest.raises(UserError, match=rf"other\.jsonl: .*{found}"):
            list(read_values(path))
    path.write_bytes(gzip.compress(b'{"qid": 1}\n'))
    assert list(read_values(path)) == [(f"{path}:1", {"qid": 1})]


def test_result_files_of_mrnet_are_scored(tmp_path, monkeypatch):
    source, rows = sentence_files(tmp_path, "activitynet")
    tables = import_tables(monkeypatch, tmp_path, "activitynet", "activitynet_captions", {"val_2": source})
    best = [row | {"candidates": [[*row["candidates"][0][:2], 1.0]]} for row in rows]
    texts, by_video = json.loads(source.read_text()), {}
    for row in best[::-1]:
        entry = by_video.setdefault(row["vid"], {"sentences": [], "pred_moments": [], "pred_scores": 0.5})
        entry["sentences"].append(texts[row["vid"]]["sentences"][row["sentence_index"]])
        entry["pred_moments"].append(row["candidates"][0][:2])

    def score_file(name, content):
        (tmp_path / name).write_text(content)
        settings = external_settings(tmp_path / name, "activitynet", "val_2", ["mmn_float32"])
        return score_external(monkeypatch, tables, settings, tmp_path / "out")["metrics"]

    by_place = score_file("place.jsonl", "".join(json.dumps(row) + "\n" for row in best))
    assert score_file("results888.json", json.dumps(by_video)) == by_place
    video = next(iter(by_video))
    for change, found in (
        ({"sentences": ["nobody says this", "another 19"]}, "predictions are about nothing that is annotated"),
        ({"pred_moments": [[1, 2]]}, "2 sentences and 1 pred_moments"),
        ({"pred_moments": 7}, "pred_moments: expected a list"),
    ):
        with pytest.raises(UserError, match=found):
            score_file("bad.json", json.dumps(by_video | {video: by_video[video] | change}))


def test_only_moments_or_only_saliency_may_be_predicted(score):
    moments = score(lambda rows: [{k: v for k, v in row.items() if "saliency" not in k} for row in rows])
    saliency = score(lambda rows: [{k: v for k, v in row.items() if "windows" not in k} for row in rows])
    both = score()["metrics"]
    assert both == moments["metrics"] | saliency["metrics"]
    assert set(saliency["metrics"]) == {"HL-mAP", "HL-HIT@1"}


def test_saliency_of_another_length_than_the_video_is_flagged(score):
    scores = score.predictions[2]["pred_saliency_scores"]
    flags = {
        change: [text for text in found["rule_sets"]["qvhighlights"]["cautions"] if "SaliencyLength" in text]
        for change, found in (("none", score()), ("short", score(changed(3, pred_saliency_scores=scores[:-5]))))
    }
    assert flags["none"] == []
    (flag,) = flags["short"]
    assert flag == "SaliencyLength: 1, in qvh/val/2"


def test_queries_may_be_named_by_id_number_or_place(tmp_path, monkeypatch):
    source, rows = sentence_files(tmp_path, "activitynet")
    tables = import_tables(monkeypatch, tmp_path, "activitynet", "activitynet_captions", {"val_2": source})
    by_id = [
        {"query_id": f"activitynet/val_2/{row['vid'][2:]}#{row['sentence_index']}", "candidates": row["candidates"]}
        for row in rows
    ]
    numbers = []
    for name, content in (("place.jsonl", rows), ("id.jsonl", by_id)):
        settings = external_settings(write_lines(tmp_path / name, content), "activitynet", "val_2", ["mmn_float32"])
        numbers.append(score_external(monkeypatch, tables, settings, tmp_path / name.split(".")[0])["metrics"])
    (tmp_path / "list.json").write_text(json.dumps(by_id, indent=1))
    settings = external_settings(tmp_path / "list.json", "activitynet", "val_2", ["mmn_float32"])
    numbers.append(score_external(monkeypatch, tables, settings, tmp_path / "list")["metrics"])
    assert numbers[0] == numbers[1] == numbers[2]


def test_another_split_is_said_to_be_unknown_and_which_there_are(score):
    with pytest.raises(UserError, match=r"BadReference: .*no split 'test'; there are: val"):
        score_external(
            pytest.MonkeyPatch(),
            score.tables,
            external_settings(score.folder / "preds.jsonl", "qvh", "test", ["qvhighlights"]),
            score.folder / "out",
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"qid": 1}\n{"qid": }\n', ":2: no JSON"),
        ('[{"qid": 1},\n\n {"qid" 2}]', ":3: no JSON"),
        ('[{"qid": 1},\n', ":2: the list does not end; is the file complete"),
        ('{"qid": 1}\n{"qid": ', ":2: no JSON"),
    ],
)
def test_what_is_no_json_or_is_cut_off_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "preds.json"
    path.write_text(text)
    with pytest.raises(MalformedRow, match=f"preds.json{message}"):
        list(read_values(path))


def test_entries_have_the_lines_on_which_they_begin(tmp_path):
    path = tmp_path / "preds.json"
    path.write_text('\n[\n{"a": [1,\n2]},\n\n{"b": {}}\n]\n')
    assert list(read_values(path)) == [(f"{path}:3", {"a": [1, 2]}), (f"{path}:6", {"b": {}})]
    assert [value for _, value in read_values(path)] == read_json(path)
