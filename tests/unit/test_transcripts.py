"""Transcripts on disk: .srt files, tables with the state of every video, records that are kept and reused."""

import json
import logging

import pytest

from workflow_scripts.lib.datasets.srt import parse_srt, srt_text
from workflow_scripts.lib.datasets.transcript_files import (
    video_states,
    write_shard,
    write_srt_files,
    write_transcript_index,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.record_files import update_records
from workflow_scripts.lib.store.shard_job import Wanted
from workflow_scripts.lib.store.tables import read_table, write_table

SEGMENTS = [
    {"start_s": 0.0, "end_s": 1.5, "text": "hello", "words": None},
    {
        "start_s": 3600.25,
        "end_s": 3661.0005,
        "text": "a --> b",
        "words": [{"start_s": 3600.25, "end_s": 3661.0, "text": "a", "probability": 0.5}],
    },
]


def record(status="ok", segments=(), reason=""):
    language = "en" if segments else None
    return {
        "key": "k",
        "status": status,
        "reason": reason,
        "language": language,
        "language_probability": None,
        "segments": list(segments),
    }


def test_a_file_is_written_as_whisper_writes_it():
    text = srt_text([(0.0, 1.5, " hello "), (3600.25, 3661.0005, "a --> b")])
    # 3661000.5 ms: half to even.
    assert text == ("1\n00:00:00,000 --> 00:00:01,500\nhello\n\n2\n01:00:00,250 --> 01:01:01,000\na -> b\n\n")
    assert srt_text([]) == ""


def test_what_was_written_is_read_again():
    lines = [(0.0, 1.5, "hello"), (1.999, 3.001, "two words"), (59.9996, 60.0, "7")]
    read = parse_srt(srt_text(lines), "x.srt")
    assert [entry.text for entry in read] == ["hello", "two words", "7"]
    assert [(entry.start_s, entry.end_s) for entry in read] == [(0.0, 1.5), (1.999, 3.001), (60.0, 60.0)]


def test_published_files_are_read_with_several_lines_and_no_text():
    text = (
        "\ufeff1\r\n00:00:01.000 --> 00:00:02,000\r\nfirst\r\nsecond\r\n\r\n2\r\n00:00:03,000 --> 00:00:04,000\r\n\r\n"
    )
    assert parse_srt(text, "x.srt") == [(1.0, 2.0, "first second"), (3.0, 4.0, "")]
    assert parse_srt("", "x.srt") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("once upon a time", r"x.srt:1: text before the first times"),
        ("1\n0:00 --> soon\nwords", r"x.srt:2: expected `HH:MM:SS,mmm --> HH:MM:SS,mmm`, found '0:00 --> soon'"),
    ],
)
def test_what_is_no_subtitle_file_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parse_srt(text, "x.srt")


@pytest.fixture
def shards(tmp_path):
    paths = [tmp_path / "0000.parquet", tmp_path / "0001.parquet"]
    first = {"b": record(segments=SEGMENTS), "a": record("no_speech"), "d": record("failed", reason="d.mp4: broken")}
    write_shard(paths[0], "demo", "whisper_tiny", first, {"encoder": "whisper"})
    write_shard(paths[1], "demo", "whisper_tiny", {"c": record("no_audio")}, {"encoder": "whisper"})
    return paths


def test_a_shard_has_the_columns_of_the_canon_and_the_state_of_every_video(shards):
    rows = read_table(shards[0]).to_pylist()
    assert [(row["video_id"], row["segment_index"], row["text"]) for row in rows] == [
        ("b", 0, "hello"),
        ("b", 1, "a --> b"),
    ]
    assert {(row["dataset"], row["source"], row["model"], row["language"]) for row in rows} == {
        ("demo", "whisper", "whisper_tiny", "en")
    }
    assert rows[0]["words"] is None
    assert rows[1]["words"] == SEGMENTS[1]["words"]
    states = {state["video_id"]: (state["status"], state["segments"]) for state in video_states(shards[0])}
    assert states == {"a": ("no_speech", 0), "b": ("ok", 2), "d": ("failed", 0)}
    assert read_table(shards[1]).num_rows == 0


def test_the_index_tells_no_speech_no_sound_and_failure_apart(shards, tmp_path):
    write_transcript_index(shards, tmp_path / "index.parquet")
    rows = read_table(tmp_path / "index.parquet").to_pylist()
    assert [(row["video_id"], row["shard"], row["status"], row["speech_s"]) for row in rows] == [
        ("a", "0000", "no_speech", 0.0),
        ("b", "0000", "ok", 62.251),
        ("c", "0001", "no_audio", 0.0),
        ("d", "0000", "failed", 0.0),
    ]
    assert rows[3]["reason"] == "d.mp4: broken"


def test_every_video_that_was_listened_to_has_a_subtitle_file(shards, tmp_path):
    write_srt_files(shards, tmp_path / "srt")
    written = {path.name: path.read_text() for path in (tmp_path / "srt").iterdir()}
    assert set(written) == {"a.srt", "b.srt", "c.srt"}
    assert written["a.srt"] == written["c.srt"] == ""
    assert len(parse_srt(written["b.srt"], "b.srt")) == 2


def test_another_table_is_not_taken_for_a_shard(shards, tmp_path):
    write_table(tmp_path / "other.parquet", read_table(shards[0]))
    with pytest.raises(UserError, match=r"other\.parquet: no state of videos in it"):
        video_states(tmp_path / "other.parquet")


def counting(asked):
    def compute(missing):
        asked.extend(missing)
        for video_id in missing:
            yield video_id, {"status": "failed" if video_id == "bad" else "ok", "text": video_id}

    return compute


def test_only_new_and_changed_videos_are_computed(tmp_path):
    asked = []

    def update(*wanted, recipe="r", cache=None, folder="0000"):
        asked.clear()
        wanted = [Wanted(name, name + version) for name, version in wanted]
        return update_records(tmp_path / folder, wanted, {"name": recipe}, counting(asked), cache)

    found = update(("a", "1"), ("bad", "1"))
    assert found["a"]["text"] == "a"
    assert asked == ["a", "bad"]
    assert update(("a", "1"), ("bad", "1")) == found
    assert asked == []
    update(("a", "1"), ("bad", "1"), ("new", "1"))
    assert asked == ["new"]
    update(("a", "2"), ("new", "1"))
    assert asked == ["a"]
    assert len(list((tmp_path / "0000").iterdir())) == 2
    update(("a", "2"), ("new", "1"), recipe="other")
    assert asked == ["a", "new"]


def test_a_shared_cache_serves_other_folders_but_keeps_no_failures(tmp_path):
    asked = []
    wanted = [Wanted("a", "1"), Wanted("bad", "2")]
    for folder in ("mine", "yours"):
        update_records(tmp_path / folder, wanted, {}, counting(asked), tmp_path / "cache")
    assert asked == ["a", "bad", "bad"]


def test_what_was_finished_before_a_kill_is_kept_and_a_damaged_record_is_computed_again(tmp_path, caplog):
    def breaking(missing):
        yield missing[0], {"status": "ok"}
        raise KeyboardInterrupt

    wanted = [Wanted("a", "1"), Wanted("b", "2")]
    with pytest.raises(KeyboardInterrupt):
        update_records(tmp_path / "s", wanted, {}, breaking, None)
    asked = []
    update_records(tmp_path / "s", wanted, {}, counting(asked), None)
    assert asked == ["b"]
    next(path for path in (tmp_path / "s").iterdir() if json.loads(path.read_text()).get("text")).write_text("{")
    asked.clear()
    with caplog.at_level(logging.WARNING):
        update_records(tmp_path / "s", wanted, {}, counting(asked), None)
    assert asked == ["b"]
    assert "damaged" in caplog.text
