"""Texts of clips, other wordings of queries: what files may look like, and what is wrong with them."""

import json

import numpy as np
import pytest
from pydantic import ValidationError

from workflow_scripts.lib.configuration.schema.features import ClipTexts, ImportedTranscripts, TextFeature
from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.clip_texts import ClipFields, parse_clip_texts
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.query_texts import encode_texts, texts_of

NUMBERED = ClipFields("caption", "clip", 1.5)
IMPORTED = {"description": "x", "kind": "speech", "source": "import", "path": "data"}


@pytest.mark.parametrize(
    ("layout", "fields", "content"),
    [
        ("jsonl", NUMBERED, '{"clip": 2, "caption": "b"}\n\n{"clip": 0, "caption": "a"}\n'),
        ("csv", NUMBERED, "clip,caption\n2,b\n0,a\n"),
        ("jsonl", ClipFields(), '{"start": 3, "end": 4.5, "text": "b"}\n{"start": 0, "end": 1.5, "text": "a"}'),
        ("csv", ClipFields(), '\ufefftext,end,start\nb,4.5,3\n"a",1.5,0\n'),
    ],
)
def test_both_layouts_are_read_by_number_or_seconds_and_put_in_time(layout, fields, content):
    found = parse_clip_texts(content, layout, fields, "a")
    assert [tuple(line) for line in found] == [(0.0, 1.5, "a"), (3.0, 4.5, "b")]


@pytest.mark.parametrize(
    ("layout", "content", "message"),
    [
        ("jsonl", "no JSON", "a:1: not JSON"),
        ("jsonl", "[1]", r"a:1: \[1\] is no object"),
        ("jsonl", '{"clip": 0, "text": "x"}', "a:1: no 'caption', only clip, text. Name the field"),
        ("jsonl", '{"clip": 0, "caption": 7}', "caption is 7, not a text"),
        ("jsonl", '{"clip": "x", "caption": "y"}', "clip is 'x', not a number"),
        ("jsonl", '{"clip": 1' + "0" * 400 + ', "caption": "y"}', "clip is 10{79}, not a number"),
        ("jsonl", '{"clip": Infinity, "caption": "y"}', "clip is inf, not a number"),
        ("jsonl", '{"clip": -1, "caption": "y"}', "a clip from -1.5 to 0 s"),
        ("csv", "clip,caption\n0,a\n0,b\n", "a:3: a second text for 0 to 1.5 s"),
        ("csv", "clip\n0\n", "a:2: no 'caption'"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(layout, content, message):
    with pytest.raises(UserError, match=message):
        parse_clip_texts(content, layout, NUMBERED, "a")


def test_a_span_without_length_is_refused():
    with pytest.raises(UserError, match="a clip from 2 to 2 s"):
        parse_clip_texts('{"start": 2, "end": 2, "text": "x"}', "jsonl", ClipFields(), "a")


def test_the_length_of_clips_goes_with_their_numbers_and_subtitles_have_no_fields():
    for wrong in ({"clip": "moment"}, {"clip_s": 2.0}):
        with pytest.raises(ValidationError, match="go together"):
            ClipTexts(**wrong)
    with pytest.raises(ValidationError, match="subtitles have no `fields`"):
        ImportedTranscripts(**IMPORTED, fields={"text": "caption"})


def test_what_nobody_asked_for_leaves_recipes_as_they_were():
    assert "fields" not in ImportedTranscripts(**IMPORTED).model_dump()
    text = {"description": "x", "kind": "text", "encoder": "minilm", "weights": "none"}
    assert "wordings" not in TextFeature(**text).model_dump()
    assert TextFeature(**text, wordings="rephrased_query").model_dump()["wordings"] == "rephrased_query"


def queries(**texts):
    rows = [
        {
            "query_id": name,
            "source_query_id": name[1:],
            "video_id": "v",
            "text": text,
            "items": None,
            "extra_json": None,
        }
        for name, text in texts.items()
    ]
    return Annotations("made", queries=rows)


def test_other_wordings_are_joined_by_number_and_sentence(tmp_path):
    annotations = queries(q1="a dog", q2="a cat", q3="rain")
    lines = [
        {"qid": 1, "query": "a dog", "rephrased_query": ["the dog"]},
        {"qid": 2, "rephrased_query": ["kitten", "cat"]},
    ]
    (tmp_path / "w.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert join_items(annotations, [tmp_path / "w.jsonl"]) == 2
    assert [texts_of(row, "rephrased_query") for row in annotations.queries] == [
        ["a dog", "the dog"],
        ["a cat", "kitten", "cat"],
        ["rain"],
    ]
    assert [texts_of(row, None) for row in annotations.queries] == [["a dog"], ["a cat"], ["rain"]]
    assert annotations.queries[0]["items"] is None


def test_wordings_of_other_queries_and_what_is_no_list_are_refused(tmp_path):
    path = tmp_path / "w.jsonl"
    path.write_text(json.dumps({"qid": 1, "query": "a bird", "rephrased_query": ["the bird"]}))
    with pytest.raises(UserError, match="1 of 1 queries"):
        join_items(queries(q1="a dog"), [path])
    path.write_text(json.dumps({"qid": 1, "rephrased_query": "the dog"}))
    with pytest.raises(UserError, match="rephrased_query"):
        join_items(queries(q1="a dog"), [path])
    with pytest.raises(UserError, match="query q: kind is 'sound', not a list of texts"):
        texts_of({"query_id": "q", "text": "x", "extra_json": '{"kind": "sound"}'}, "kind")


def test_every_text_of_a_query_has_its_row():
    def encode(texts):
        return [np.full((1, 2), len(text), np.float32) for text in texts]

    found = encode_texts(encode, [["a", "bb"], ["ccc"]])
    assert [rows[:, 0].tolist() for rows in found] == [[1, 2], [3]]
    with pytest.raises(UserError, match="one row per text"):
        encode_texts(lambda texts: [np.zeros((2, 3)) for _ in texts], [["a", "b"]])
    assert encode_texts(lambda texts: [np.zeros((2, 3)) for _ in texts], [["a"]])[0].shape == (2, 3)
