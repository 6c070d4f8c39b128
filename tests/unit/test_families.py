"""Two numberings of one dataset: a system says which it uses, and ids of one are never taken for ids of the other."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from models.systems.interface import Span
from tests.unit.made_results import make_results
from workflow_scripts.lib.datasets.durations import duration_differences
from workflow_scripts.lib.datasets.errors import UnknownQuery
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.schema import TABLES
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.predictions.answer_checks import check_answers
from workflow_scripts.lib.predictions.answer_tables import answers_table
from workflow_scripts.lib.predictions.references import annotations_folder
from workflow_scripts.lib.training.reader import Reader

ROOT = Path(__file__).resolve().parents[2]
TVR = {"systems": {"img": {"datasets": {"charades": {"annotations": "charades_tvr"}}}}}


def plan(config=TVR) -> Plan:
    return Plan(config, ROOT / "config")


def test_a_system_reads_the_queries_of_the_family_it_names_and_the_videos_of_the_dataset():
    tables = [f"results/charades_tvr/annotations/{table}.parquet" for table in TABLES]
    assert plan().systems.tables("charades", "img_clip_slowfast") == tables
    text = set(plan().configuration.system("charades", "img_clip_slowfast").streams["text"].names)
    for path in plan().systems.feature_indices("charades", "img_clip_slowfast"):
        feature = Path(path).parent.name
        assert path.split("/")[1] == ("charades_tvr" if feature in text else "charades")


def test_without_a_word_the_dataset_has_its_own_annotations():
    assert plan({}).systems.tables("charades", "img")[0] == "results/charades/annotations/videos.parquet"
    assert all("/charades/" in path for path in plan({}).systems.feature_indices("charades", "img"))
    assert plan({}).systems.train_key("charades", "img") != plan().systems.train_key("charades", "img")
    assert plan({}).systems.prediction_key("charades", "img") != plan().systems.prediction_key("charades", "img")


def test_only_the_named_dataset_changes():
    assert plan().systems.tables("tacos", "img") == plan({}).systems.tables("tacos", "img")


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"charadse": {}}, r'datasets\.charadse: unknown dataset; did you mean "charades"'),
        ({"charades": {"annotations": "charades_tvrr"}}, r"annotations: unknown dataset 'charades_tvrr'; did you mean"),
        ({"charades": {"annotations": "tacos"}}, "tacos has its videos in .*name a dataset that annotates the same"),
        ({"charades": {"annotation": "charades_tvr"}}, 'unknown key; did you mean "annotations"'),
    ],
)
def test_a_mistake_in_the_family_is_named(datasets, message):
    with pytest.raises(UserError, match=message):
        plan({"systems": {"img": {"datasets": datasets}}}).configuration.system("charades", "img")


def named(dataset):
    """A change of the rows of `made_results` that puts the dataset before every query id."""

    def change(table, row):
        if "query_id" in row:
            return row | {"dataset": dataset, "query_id": f"{dataset}/{row['split']}/{row['query_id']}"}
        return row

    return change


@pytest.fixture
def two_families(tmp_path):
    """Results of both families; `results/charades` is where the system is run."""
    return {name: make_results(tmp_path / name, named(name)) for name in ("charades", "charades_tvr")}


def test_items_come_from_the_tables_and_words_of_the_family(two_families, tmp_path):
    settings = json.loads(two_families["charades"].read_text()) | {"annotations": "charades_tvr"}
    arguments = (tmp_path / "charades", settings["config"], settings["recipes"])
    own, other = Reader(*arguments).read("test"), Reader(*arguments, tmp_path / "charades_tvr").read("test")
    assert {item.id.split("/")[0] for item in own.items} == {"charades"}
    assert {item.id.split("/")[0] for item in other.items} == {"charades_tvr"}
    for one, two in zip(own.items, other.items, strict=True):
        assert np.array_equal(one.streams["visual"][0].values, two.streams["visual"][0].values)
    assert own.digest != other.digest
    assert annotations_folder(two_families["charades"], settings) == tmp_path / "charades_tvr" / "annotations"


def test_predictions_of_one_numbering_are_refused_by_the_other(tmp_path):
    line = {"qid": 12404, "query": "person sits.", "duration": 9.0, "vid": "ABCDE", "relevant_windows": [[1, 2]]}
    (tmp_path / "tvr.jsonl").write_text(json.dumps(line))
    (tmp_path / "text.txt").write_text("ABCDE 1.0 2.0##qid_12408##person sits.\n")
    text = read_annotations("charades_txt", {"test": tmp_path / "text.txt"}, "charades").queries
    tvr = read_annotations("charades_tvr", {"test": tmp_path / "tvr.jsonl"}, "charades_tvr").queries
    assert [(row["query_id"]) for row in text + tvr] == ["charades/test/qid_12408", "charades_tvr/test/12404"]
    answers = answers_table("moments", [Span(row["query_id"], "v", 0, 1.0, 2.0) for row in tvr], {})
    with pytest.raises(UnknownQuery, match="charades_tvr/test/12404"):
        check_answers("moments", answers, {row["query_id"] for row in text}, "run")


def test_the_numbers_of_both_families_never_make_one_id(tmp_path):
    """Ids `N` and `qid_N` differ even under one name of a dataset, so no file can be read as the other family."""
    (tmp_path / "tvr.jsonl").write_text(
        json.dumps({"qid": 7, "query": "x", "duration": 9.0, "vid": "ABCDE", "relevant_windows": [[1, 2]]})
    )
    (tmp_path / "text.txt").write_text("ABCDE 1.0 2.0##qid_7##x\n")
    found = [
        read_annotations(source_format, {"test": tmp_path / name}, "charades").queries[0]["query_id"]
        for source_format, name in (("charades_txt", "text.txt"), ("charades_tvr", "tvr.jsonl"))
    ]
    assert len(set(found)) == 2


def test_a_file_of_one_family_is_refused_by_the_reader_of_the_other(tmp_path):
    (tmp_path / "text.txt").write_text("ABCDE 1.0 2.0##qid_7##x\n")
    (tmp_path / "tvr.jsonl").write_text(
        json.dumps({"qid": 7, "query": "x", "duration": 9.0, "vid": "ABCDE", "relevant_windows": [[1, 2]]})
    )
    for source_format, name in (("charades_tvr", "text.txt"), ("charades_txt", "tvr.jsonl")):
        with pytest.raises(UserError, match=f"{name}:1: BadSourceFile"):
            read_annotations(source_format, {"test": tmp_path / name}, "charades")


def test_files_of_another_length_than_annotated_are_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        found = duration_differences({"a": 10.0, "b": 10.0, "c": 10.0, "d": 10.0}, {"a": 11.0, "b": 8.9, "c": None})
    assert [(d.video_id, d.annotated_s, d.probed_s) for d in found] == [("b", 10.0, 8.9)]
    assert "MediaDurationDiffers: 1 of 4 videos, e.g. b: annotated 10.00 s, file 8.90 s" in caplog.text


def test_the_reader_of_items_warns_of_files_of_another_length(tmp_path, caplog):
    def longer(table, row):
        is_first = row["video_id"] == "v0"
        return row | {"duration_s": row["duration_s"] + 2} if table == "manifest" and is_first else row

    path = make_results(tmp_path / "made", longer)
    settings = json.loads(path.read_text())
    Reader(tmp_path / "made", settings["config"], settings["recipes"])
    assert "MediaDurationDiffers: 1 of" in caplog.text


def test_words_of_the_other_family_are_an_error_and_not_the_wrong_words(two_families, tmp_path):
    settings = json.loads(two_families["charades"].read_text())
    words = tmp_path / "charades" / "features" / "words"
    words.rename(tmp_path / "own_words")
    (tmp_path / "charades_tvr" / "features" / "words").rename(words)
    with pytest.raises(UserError, match="has nothing for 'charades/test/"):
        Reader(tmp_path / "charades", settings["config"], settings["recipes"]).read("test")
