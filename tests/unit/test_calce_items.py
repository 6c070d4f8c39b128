"""Noun phrases of queries: the extractor for queries without any, and joining published ones."""

import gzip
import json

import pyarrow.parquet as pq
import pytest

from models.systems.calce.items import EXTRACTORS, MAX_ITEMS, noun_items
from models.systems.calce.system import System
from tests.unit.made_benchmarks import run_entry_point
from tests.unit.made_calce import TOKENS, WIDTH, made_config, made_item
from tests.unit.made_settings import settings_options
from workflow_scripts import check_annotations, import_annotations
from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import AnnotationError, BadSourceFile, BadValue, UnknownQuery
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.planning.plan import Plan

SENTENCES = {"7": "A girl holds a red cup.", "8": "Two dogs run on the beach.", "9": "He opens the door."}
ITEMS = {"7": ["girl", "red cup"], "8": ["dogs", "beach"], "9": ["door"]}


@pytest.mark.parametrize(
    ("sentence", "items"),
    [
        ("A woman sitting in front of a desk wearing headphones", ["woman", "desk", "headphones"]),
        ("the person takes a bag from the bottom cabinet.", ["person", "bag", "bottom", "cabinet"]),
        ("Chef makes pizza and cuts it up.", ["chef", "pizza"]),
        ("A man’s dog barks at another dog", ["man", "dog"]),
        ("Go!", []),
        ("", []),
        ("?? 123", []),
    ],
)
def test_nouns_are_found(sentence, items):
    assert noun_items(sentence) == items


def test_a_long_query_gives_no_more_items_than_a_published_one():
    assert len(noun_items(" and ".join(f"cat{letter}" for letter in "abcdefghijklmnopqrst"))) == MAX_ITEMS


def test_no_items_can_be_asked_for():
    assert EXTRACTORS["none"]("A girl holds a cup.") == []


def annotations(sentences=SENTENCES) -> Annotations:
    found = Annotations("mine")
    found.add_video("v", "test", 30.0, "here")
    for number, sentence in sentences.items():
        found.add_query("v", "test", sentence, "here", source_id=number)
    return found


def rows(**columns) -> list[dict]:
    """Return the objects of an annotation file of CALCE."""
    return [
        {"qid": f"Charades_{number}", "video": "v.mp4", "query": SENTENCES[number], "items": items, **columns}
        for number, items in ITEMS.items()
    ]


def by_number(prefix: str = "QVHighlight", **columns) -> dict:
    return {f"{prefix}_{number}": {"items": items, **columns} for number, items in ITEMS.items()}


def joined(tmp_path, *values, sentences=SENTENCES) -> list[dict]:
    """Write item files, join them and return the queries."""
    paths = [tmp_path / f"{number}.json" for number in range(len(values))]
    for path, value in zip(paths, values, strict=True):
        path.write_text(json.dumps(value))
    found = annotations(sentences)
    join_items(found, paths)
    return found.queries


@pytest.mark.parametrize(
    "value",
    [rows(), by_number(), by_number("Charades"), {number: {"items": items} for number, items in ITEMS.items()}],
    ids=["annotations", "items", "prefix", "bare"],
)
def test_every_form_of_item_files_is_read(tmp_path, value):
    assert [row["items"] for row in joined(tmp_path, value)] == list(ITEMS.values())


def test_of_several_datasets_in_one_file_the_items_that_fit_are_taken(tmp_path):
    other = {f"Charades_{number}": {"items": ["submarine"]} for number in ITEMS}
    assert [row["items"] for row in joined(tmp_path, {"charades_train": other, "qvh_val": by_number()})] == [
        *ITEMS.values()
    ]


def test_first_stage_answers_are_kept_with_the_query(tmp_path):
    row = joined(tmp_path, by_number(stage1_result=[[1, 2]]))[0]
    assert json.loads(row["extra_json"]) == {"stage1_result": [[1, 2]]}


def test_queries_that_no_file_knows_keep_what_they_have(tmp_path):
    found = joined(tmp_path, rows()[:2])
    assert [row.get("items") for row in found] == [*list(ITEMS.values())[:2], None]


def test_sentences_tell_queries_that_are_numbered_otherwise(tmp_path):
    moved = {str(int(number) + 100): sentence for number, sentence in SENTENCES.items()}
    assert [row["items"] for row in joined(tmp_path, rows(), sentences=moved)] == list(ITEMS.values())


def test_items_of_other_queries_are_refused(tmp_path):
    moved = dict(zip(SENTENCES, [*list(SENTENCES.values())[1:], "x"], strict=True))
    with pytest.raises(BadValue, match="3 of 3 queries"):
        joined(tmp_path, by_number(), sentences=moved)
    with pytest.raises(UnknownQuery):
        joined(tmp_path, by_number(), sentences={"1": "A girl"})


@pytest.mark.parametrize(
    "value",
    [{"a": {"query": "x"}}, {"a": 3}, [1], 7, {"a": {"items": "door"}}, {"a": {"items": [1]}}, [{"items": ["a"]}]],
    ids=str,
)
def test_files_in_another_form_are_refused(tmp_path, value):
    with pytest.raises(AnnotationError, match=r"0\.json"):
        joined(tmp_path, value)


def test_a_missing_item_file_is_named(tmp_path):
    with pytest.raises(BadSourceFile, match=r"gone\.json"):
        join_items(annotations(), [tmp_path / "gone.json"])


def test_items_are_imported_with_the_annotations(tmp_path, monkeypatch):
    source, items = tmp_path / "test.json", tmp_path / "items.json"
    bare = [{**row, "duration": 30, "relevant_windows": [[1, 2]]} for row in rows()]
    source.write_text(json.dumps([{key: row[key] for key in row if key != "items"} for row in bare]))
    (tmp_path / "items.json.gz").write_bytes(gzip.compress(json.dumps(by_number("Charades")).encode()))
    settings = {"format": "calce", "files": [["test", str(source)]], "items": [str(items)]}
    given = (*settings_options(tmp_path / "settings.json", settings), "--dataset", "mine")
    run_entry_point(monkeypatch, check_annotations, *given, "--out", tmp_path / "checked.txt")
    run_entry_point(monkeypatch, import_annotations, *given, "--out", tmp_path / "tables")
    queries = pq.read_table(tmp_path / "tables" / "queries.parquet")
    assert queries["items"].to_pylist() == list(ITEMS.values())
    assert set(json.loads(queries.schema.metadata[b"source_sha256"])) == {"test", "items: items.json"}


def test_the_plan_hands_item_files_to_the_import(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "v.mp4").touch()
    (tmp_path / "a.jsonl").write_text('{"video": "v.mp4", "query": "x", "duration": 3}\n')
    (tmp_path / "datasets").mkdir()
    files = {"test": str(tmp_path / "a.jsonl")}
    (tmp_path / "datasets" / "mine.yaml").write_text(
        json.dumps(
            {
                "title": "Mine",
                "videos": str(tmp_path / "videos"),
                "annotations": {"format": "plain", "files": files, "items": ["one.json", "two files.json"]},
            }
        )
    )
    datasets = Plan({}, tmp_path).datasets
    assert datasets.item_files("mine") == ["one.json", "two files.json"]
    assert datasets.annotation_source("mine")["items"] == ["one.json", "two files.json"]


@pytest.mark.parametrize(("way", "found"), [("nouns", ["door"]), ("none", [])])
def test_a_query_without_items_gets_those_that_the_settings_say(way, found):
    config = made_config(data={"items": way})
    system = System(config, System.fit(config, []), {"visual": [TOKENS * WIDTH]})
    assert system.sample(made_item(2, noun_phrases=None), None)["items"] == found
    assert system.sample(made_item(2, noun_phrases=("published",)), None)["items"] == ["published"]
