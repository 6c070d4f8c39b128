"""A folder of published subtitle files becomes the transcripts of a shard."""

from pathlib import Path

import pyarrow as pa
import pytest

from workflow_scripts.lib.datasets.subtitle_folder import read_shard, read_transcript
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.shards import is_in_shard
from workflow_scripts.lib.store.tables import write_table

RECIPE = {"language": "en"}
LINE = b"1\n00:00:01,000 --> 00:00:02,500\nhello\n\n"


@pytest.fixture
def project(tmp_path):
    """Settings and the table of videos `a`, `b` and `c`; the folder has files of none."""
    rows = [{"video_id": v, "source_video_id": f"src-{v}", "youtube_id": None} for v in "abc"]
    write_table(tmp_path / "videos.parquet", pa.Table.from_pylist(rows))
    (tmp_path / "files").mkdir()
    source = {"path": str(tmp_path / "files"), "id_pattern": "{source_video_id}.srt"}
    return tmp_path, {"recipe": RECIPE, "source": source}


def test_every_video_of_the_shard_is_read_and_none_of_another(project):
    folder, settings = project
    (folder / "files/src-a.srt").write_bytes(LINE)
    for shard in ("0000", "0001"):
        found = read_shard(settings, folder / "videos.parquet", shard, 2)
        assert sorted(found) == [video for video in "abc" if is_in_shard(video, shard, 2)]
        assert {video for video, kept in found.items() if kept["status"] == "ok"} <= {"a"}
    everything = read_shard(settings, folder / "videos.parquet", "0000", 1)
    assert everything["a"]["segments"] == [{"start_s": 1.0, "end_s": 2.5, "text": "hello", "words": None}]
    assert everything["b"]["reason"] == "missing: no src-b.srt"


def test_a_pattern_that_fits_no_file_is_refused_with_one_that_is_there(project):
    folder, settings = project
    (folder / "files/sub").mkdir()
    (folder / "files/sub/a.srt").write_bytes(LINE)
    with pytest.raises(UserError, match=r"looked for 'src-a.srt' and 2 others, found e.g. 'sub/a.srt'"):
        read_shard(settings, folder / "videos.parquet", "0000", 1)


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (LINE, "ok", ""),
        (b"", "no_speech", ""),
        (b"\xff", "failed", "not UTF-8 (invalid start byte at byte 0)"),
        (b"no subtitles", "failed", "unreadable: "),
        (b"1\n" + b"9" * 5000 + b":00:00,000 --> 00:00:01,000\nx\n", "failed", "a.srt:2: expected `HH:MM:SS,mmm"),
        (None, "failed", "missing: no a.srt"),
    ],
)
def test_what_is_wrong_with_a_file_becomes_its_status(tmp_path, content, status, reason):
    if content is not None:
        (tmp_path / "a.srt").write_bytes(content)
    kept = read_transcript(tmp_path, "a.srt", RECIPE)
    assert kept["status"] == status
    assert reason in kept["reason"]
    assert kept["language"] == ("en" if status == "ok" else None)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"[" * 100_000, "a.jsonl: it is nested too deeply"),
        ("a.jsonl", b'{"start": 0, "end": 1, "text": "\\ud800"}', "a.jsonl: its text is not UTF-8"),
        ("a.csv", b"start,end,text\n0,1," + b"x" * 200_000, "a.csv: field larger than field limit"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1", "a.jsonl:1: not JSON"),
    ],
)
def test_whatever_is_wrong_with_texts_of_clips_costs_one_video(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    kept = read_transcript(tmp_path, name, RECIPE | {"layout": Path(name).suffix[1:]})
    assert kept["status"] == "failed"
    assert f"unreadable: {reason}" in kept["reason"]
    (tmp_path / "folder").mkdir()
    assert read_transcript(tmp_path / name, "a", RECIPE)["reason"].startswith("unreadable: a: Not a directory")


def test_a_video_without_a_name_in_the_pattern_is_missing(tmp_path):
    assert read_transcript(tmp_path, None, RECIPE)["reason"] == "missing: no None"


def test_the_key_changes_with_the_content_and_the_recipe(tmp_path):
    path = tmp_path / "a.srt"
    path.write_bytes(LINE)
    keys = {read_transcript(tmp_path, "a.srt", {"language": language})["key"] for language in ("en", "de")}
    path.write_bytes(LINE.replace(b"hello", b"hullo"))
    keys.add(read_transcript(tmp_path, "a.srt", RECIPE)["key"])
    assert len(keys) == 3


def test_a_folder_per_split_is_read_and_texts_of_clips(project):
    folder, settings = project
    rows = [{"video_id": v, "source_video_id": v, "youtube_id": None, "split": ["val", "test"]} for v in "ab"]
    write_table(folder / "videos.parquet", pa.Table.from_pylist(rows))
    (folder / "files/val").mkdir()
    (folder / "files/val/a.jsonl").write_text('{"moment": 1, "description": "b"}\n{"moment": 0, "description": "a"}\n')
    recipe = {**RECIPE, "layout": "jsonl", "fields": {"text": "description", "clip": "moment", "clip_s": 2.0}}
    source = settings["source"] | {"id_pattern": "{split}/{video_id}.jsonl"}
    found = read_shard({"recipe": recipe, "source": source}, folder / "videos.parquet", "0000", 1)
    assert [(line["start_s"], line["end_s"], line["text"]) for line in found["a"]["segments"]] == [
        (0.0, 2.0, "a"),
        (2.0, 4.0, "b"),
    ]
    assert found["b"]["reason"] == "missing: no val/b.jsonl"
