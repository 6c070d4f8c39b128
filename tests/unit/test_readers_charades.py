"""Charades-STA as text, its durations, and the table that joins its two numberings."""

import json
import subprocess
import sys

import pyarrow as pa
import pytest

from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.annotation_tables import Annotations, add_flags, write_annotations
from workflow_scripts.lib.datasets.charades_ids import CHARADES_QID_MAP, charades_qid_map
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.schema import QUERIES
from workflow_scripts.lib.datasets.validation import count_flags, validate_annotations
from workflow_scripts.lib.store.tables import read_table

# Made up, in the published form.
PLAIN = "ABCDE 0.0 6.9##a person waves.\nFGHIJ 20.8 30.0##person sits.\nABCDE 8.0 7.0##person leaves.\n"
NUMBERED = "ABCDE 0.0 6.9##qid_0##a person waves.\nFGHIJ 20.8 30.0##qid_1##person sits.\n"
DURATIONS = {
    "ABCDE": {"subset": "training", "duration": 33.67, "actions": [[9, 0.0, 5.0]]},
    "FGHIJ": {"subset": "training", "duration": 29.42, "actions": []},
    "UNUSD": {"subset": "testing", "duration": 3.0, "actions": []},
}
TABLE = 'id,script,actions,length\nABCDE,"a, b",c092 11.90 21.20;c147 0.00 12.60,33.67\nFGHIJ,x,,29.42\n'


def read(tmp_path, text, split="train", **durations):
    files = {split: tmp_path / "sta.txt"}
    files[split].write_text(text, encoding="utf-8", newline="")
    for name, content in durations.items():
        suffix = "csv" if isinstance(content, str) else "json"
        files[name] = tmp_path / f"{name}.{suffix}"
        files[name].write_text(content if isinstance(content, str) else json.dumps(content))
    found = read_annotations("charades_txt", files, "charades")
    if durations:
        add_flags(found)
        validate_annotations(found)
    return found


def test_plain_lines_are_known_by_their_place_and_kept_as_they_are(tmp_path):
    found = read(tmp_path, PLAIN, durations=DURATIONS)
    assert [row["query_id"] for row in found.queries] == [
        "charades/train/ABCDE#0",
        "charades/train/FGHIJ#0",
        "charades/train/ABCDE#1",
    ]
    assert [row["text"] for row in found.queries] == ["a person waves.", "person sits.", "person leaves."]
    assert [(row["start_s"], row["end_s"]) for row in found.moments] == [(0.0, 6.9), (20.8, 30.0), (8.0, 7.0)]
    assert count_flags(found) == {"moments end_past_duration": 1, "moments reversed": 1}


def test_numbered_lines_keep_their_ids_and_the_videos_what_else_is_known(tmp_path):
    found = read(tmp_path, NUMBERED.replace("\n", "\r\n"), durations=DURATIONS)
    assert [row["query_id"] for row in found.queries] == ["charades/train/qid_0", "charades/train/qid_1"]
    assert found.queries[0]["text"] == "a person waves."
    assert [(row["video_id"], row["duration_s"]) for row in found.videos] == [("ABCDE", 33.67), ("FGHIJ", 29.42)]
    assert json.loads(found.videos[0]["extra_json"]) == {"subset": "training", "actions": [[9, 0.0, 5.0]]}


def test_official_tables_tell_the_durations_too(tmp_path):
    one, other = TABLE.splitlines()[:2], [TABLE.splitlines()[0], TABLE.splitlines()[2]]
    found = read(tmp_path, NUMBERED, durations_train="\n".join(one), durations_test="\n".join(other))
    assert [row["duration_s"] for row in found.videos] == [33.67, 29.42]
    assert json.loads(found.videos[0]["extra_json"])["script"] == "a, b"


def test_without_durations_the_videos_are_to_be_asked(tmp_path):
    assert [row["duration_s"] for row in read(tmp_path, PLAIN).videos] == [None, None]


@pytest.mark.parametrize(
    ("text", "durations", "error", "message"),
    [
        (PLAIN + "ABCDE 0.0##x\n", DURATIONS, errors.BadSourceFile, r"sta\.txt:4: .*VIDEO START END##sentence"),
        ("ABCDE 0.0 1.0 x\n", DURATIONS, errors.BadSourceFile, r"sta\.txt:1"),
        ("ABCDE 0:00 1.0##x\n", DURATIONS, errors.BadValue, r"sta\.txt:1:start: .*'0:00'; expected a number"),
        ("ABCDE 0.0 inf##x\n", DURATIONS, errors.NonFiniteSpan, r"sta\.txt:1"),
        ("ABCDE 0.0 1.0##\n", DURATIONS, errors.EmptyQuery, r"sta\.txt:1"),
        ("ZZZZZ 0.0 1.0##x\n", DURATIONS, errors.MissingDuration, r"sta\.txt:1: .*no duration of ZZZZZ"),
        (NUMBERED + NUMBERED, DURATIONS, errors.DuplicateQuery, r"sta\.txt:3: .*sta\.txt:1"),
        (PLAIN, {"ABCDE": {"subset": "x"}}, errors.MissingKey, r"durations\.json:ABCDE:duration"),
        (PLAIN, "id,script\nABCDE,x\n", errors.MissingKey, r"durations\.csv:1:length"),
        (PLAIN, "id,length\nABCDE,long\n", errors.BadValue, r"durations\.csv:2:length"),
        (PLAIN, 'id,length\nABCDE,"3\n', errors.BadSourceFile, r"durations\.csv:"),
    ],
)
def test_broken_files_are_named_with_the_place(tmp_path, text, durations, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, text, durations=durations)


# The two numberings


def queries(dataset, *rows):
    """Annotations with the queries (number, video, sentence)."""
    made = Annotations(dataset)
    for number, video, sentence in rows:
        made.add_video(video, "train", 9.0, "x")
        made.add_query(video, "train", sentence, "x", source_id=number)
    return made


TEXT_ROWS = [("qid_0", "A", "sits."), ("qid_1", "A", "late."), ("qid_2", "A", "sits."), ("qid_3", "B", "sits.")]
TVR_ROWS = [("0", "A", "sits."), ("1", "A", "sits."), ("2", "B", "sits.")]


def test_queries_meet_on_video_sentence_and_occurrence():
    families = (queries("charades", *TEXT_ROWS), queries("charades_tvr", *TVR_ROWS))
    text, tvr = (pa.Table.from_pylist(made.queries, QUERIES) for made in families)
    found = charades_qid_map(text, tvr)
    assert found.schema == CHARADES_QID_MAP
    pairs = [(row["text_source_id"], row["tvr_source_id"], row["occurrence"]) for row in found.to_pylist()]
    assert pairs == [("qid_0", "0", 0), ("qid_1", None, 0), ("qid_2", "1", 1), ("qid_3", "2", 0)]
    assert found["tvr_query_id"].to_pylist()[-1] == "charades_tvr/train/2"
    with pytest.raises(errors.UnknownQuery, match=r"1 queries without counterpart, first 'late\.' of A"):
        charades_qid_map(tvr, text)


def test_the_command_writes_the_map(tmp_path):
    for dataset, rows in (("charades", TEXT_ROWS), ("charades_tvr", TVR_ROWS)):
        write_annotations(tmp_path / dataset, queries(dataset, *rows), {})
    out = tmp_path / "charades_qid_map.parquet"
    command = [sys.executable, "-m", "workflow_scripts.map_charades_ids", "--out", str(out)]
    for option, dataset in (("--text", "charades"), ("--tvr", "charades_tvr")):
        command += [option, str(tmp_path / dataset / "queries.parquet")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "4 queries, 1 of them only in the text files" in result.stderr
    table = read_table(out)
    assert table.num_rows == 4
    assert table.schema.metadata[b"schema_version"] == b"1"
