"""Lines of transcripts become rows of their videos."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from tests.encoder_table import ROOT
from tests.unit.made_settings import feature_options
from workflow_scripts import extract_transcript
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.schema import VIDEOS
from workflow_scripts.lib.datasets.transcript_files import write_shard
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.store.shard_store import read_whole_shard
from workflow_scripts.lib.store.tables import write_table

FEATURE = "asr_minilm_tiny"
LINES = [(0.0, 2.9, "take the egg"), (3.2, 3.9, "quick"), (4.0, 6.0, "close the door")]


def transcript(status, lines=(), reason=""):
    segments = [{"start_s": start, "end_s": end, "text": text, "words": None} for start, end, text in lines]
    state = {"status": status, "reason": reason, "language": None, "language_probability": None, "key": "k"}
    return {**state, "segments": segments}


@pytest.fixture
def shard(tmp_path):
    """Transcripts of four videos of 5.4 s and their table."""
    found = {
        "spoken": transcript("ok", LINES),
        "quiet": transcript("no_speech"),
        "mute": transcript("no_audio"),
        "broken": transcript("failed", reason="moov atom not found"),
    }
    write_shard(tmp_path / "0.parquet", "demo", "tiny.en", found, {})
    videos = [
        {"dataset": "demo", "video_id": name, "source_video_id": name, "duration_s": 5.4, "split": ["test"]}
        for name in found
    ]
    write_table(tmp_path / "videos.parquet", pa.Table.from_pylist(videos, schema=VIDEOS))
    return tmp_path


def extract(folder, monkeypatch, **overrides):
    """Run the job and return video id -> its index entry, rows and times."""
    configuration = Configuration({"features": {FEATURE: overrides}}, ROOT / "config")
    settings = feature_settings(configuration, "demo", FEATURE) | {"device": "cpu"}
    known = feature_options(folder / "settings.json", settings)
    options = {
        "rows-of": folder / "0.parquet",
        "durations": folder / "videos.parquet",
        "store": folder / "0.zarr",
    }
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    monkeypatch.setattr(sys, "argv", ["extract_transcript", *known, *arguments])
    extract_transcript.main()
    _, content = read_whole_shard(folder / "0.zarr")
    return {
        video.id: (video, content.values[video.start : video.stop], content.times[video.start : video.stop])
        for video in content.videos
    }


def test_lines_fill_the_seconds_in_which_they_are_spoken(shard, monkeypatch):
    found = extract(shard, monkeypatch)
    assert {name: video.status for name, (video, _, _) in found.items()} == {
        "spoken": "ok",
        "quiet": "no_speech",
        "mute": "no_audio",
        "broken": "failed",
    }
    assert found["broken"][0].reason == "moov atom not found"
    _, values, times = found["spoken"]
    assert values.shape == (5, 384)
    assert times[-1].tolist() == [4.0, 5.0]
    spoken = np.linalg.norm(values, axis=1)
    np.testing.assert_allclose(spoken, [1, 1, 0, 0, 1], atol=1e-5)
    assert not np.allclose(values[0], values[4])


def test_lines_keep_their_own_times_unless_they_are_aligned(shard, monkeypatch):
    _, values, times = extract(shard, monkeypatch, align="segments")["spoken"]
    assert values.shape == (3, 384)
    np.testing.assert_allclose(times, [line[:2] for line in LINES])


def test_lines_are_averaged_over_clips(shard, monkeypatch):
    _, values, times = extract(shard, monkeypatch, align="clips", clip_s=2.0)["spoken"]
    assert times.tolist() == [[0.0, 2.0], [2.0, 4.0], [4.0, 6.0]]
    assert np.linalg.norm(values[1]) < 1 - 1e-3


def test_rows_of_tokens_are_refused(shard, monkeypatch):
    with pytest.raises(UserError, match="needs one row per line"):
        extract(shard, monkeypatch, params={"output": "tokens"})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"of": "whisper_tny_en"}, "of: no speech feature 'whisper_tny_en'; did you mean \"whisper_tiny_en\""),
        ({"of": "clip_tiny"}, "of: no speech feature 'clip_tiny'"),
        ({"align": "clips"}, "needs clip_s"),
        ({"encoder": "clip"}, "'clip' is for visual, not transcript"),
    ],
)
def test_a_mistake_in_the_file_is_named(overrides, message):
    with pytest.raises(UserError, match=message):
        Configuration({"features": {FEATURE: overrides}}, ROOT / "config").feature("demo", FEATURE)
