"""The job that encodes spoken queries: their rows, a broken and a missing file, and what a second run keeps."""

import logging
import wave
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.made_benchmarks import run_entry_point
from tests.unit.made_settings import feature_options
from tests.unit.test_encoders import TINY_WAV2VEC2
from workflow_scripts import extract_spoken
from workflow_scripts.lib.datasets.schema import QUERIES
from workflow_scripts.lib.store.shard_store import read_whole_shard
from workflow_scripts.lib.store.tables import write_table


def write_sound(path: Path, seed: int) -> None:
    samples = np.random.default_rng(seed).integers(-9000, 9000, 8000).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


@pytest.fixture
def job(tmp_path, monkeypatch, caplog):
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    write_sound(sounds / "a.wav", 0)
    (sounds / "broken.wav").write_text("no sound")
    shared = {"dataset": "d", "split": "test", "video_id": "v", "ordinal": 0, "text": "words"}
    rows = [
        {**shared, "query_id": name, "modality": "speech", "audio_path": f"{name}.wav"}
        for name in ("a", "broken", "missing")
    ]
    rows.append({**shared, "query_id": "written", "modality": "text"})
    write_table(tmp_path / "queries.parquet", pa.Table.from_pylist(rows, schema=QUERIES))
    recipe = {"encoder": "spoken_mean", "params": {"sizes": TINY_WAV2VEC2}, "sample_rate": 16000}
    recipe |= {"resampler": "soxr_hq", "store_dtype": "float32"}
    settings = {"recipe": recipe, "weights": {"seed": 0}, "device": "cpu", "ffmpeg": None, "feature_cache": None}
    settings |= {"folder": str(sounds), "feature": "f", "dataset": "d"}
    known = feature_options(tmp_path / "settings.json", settings)

    def run() -> str:
        given = ("--rows-of", tmp_path / "queries.parquet", "--n-shards", "1", "--store", tmp_path / "0000.zarr")
        caplog.clear()
        with caplog.at_level(logging.INFO):
            run_entry_point(monkeypatch, extract_spoken, *known, "--shard", "0000", *given)
        return caplog.text

    return run


def test_spoken_queries_have_one_row_each_and_faults_a_reason(job, tmp_path):
    assert "3 computed; 2 failed" in job()
    _, content = read_whole_shard(tmp_path / "0000.zarr")
    found = {video.id: video for video in content.videos}
    assert set(found) == {"a", "broken", "missing"}
    assert (found["a"].status, found["a"].stop - found["a"].start) == ("ok", 1)
    assert content.values.shape == (1, TINY_WAV2VEC2["hidden_size"])
    for name in ("broken", "missing"):
        assert found[name].status == "failed"
        assert f"{name}.wav" in found[name].reason
    write_sound(tmp_path / "sounds/missing.wav", 1)
    assert "2 reused, 0 from the cache, 1 computed; 1 failed" in job()
