"""A small feature of two shards, written for a test."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.lib.store import zarr_rows
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_rows import ShardContent, VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard

RECIPE = {"encoder": "clip", "params": {"size": 64}}


def content(lengths: dict[str, int], dim: int = 16, dtype: str = "float16", seed: int = 0) -> ShardContent:
    rng = np.random.default_rng(seed)

    def part(name: str, length: int):
        start = np.arange(length, dtype=np.float32)
        status = "ok" if length else "no_audio"
        rows = VideoRows(name, f"key-{name}", 0, 0, status, "" if length else "silent")
        return rows, rng.standard_normal((length, dim)).astype(dtype), np.stack([start, start + 1], 1)

    return concatenate([part(name, length) for name, length in lengths.items()], dim, dtype)


LENGTHS = {"b": 70, "a": 40, "silent": 0, "d": 1}


@contextlib.contextmanager
def read_by(pipeline: str) -> Iterator[None]:
    """Read as training does (`ours`), or by zarr-python (`zarr`), which is left what is stored in other ways."""
    with pytest.MonkeyPatch.context() as patch:
        if pipeline == "zarr":
            patch.setattr(zarr_rows, "_layout_of", lambda metadata: None)
        yield


def make_feature(root: Path) -> Path:
    """Write `content(LENGTHS)` and a second shard into `root`, with their index."""
    publish_shard(root / "0000.zarr", content(LENGTHS), RECIPE)
    publish_shard(root / "0001.zarr", content({"e": 5}, seed=1), RECIPE)
    write_index([root / "0000.zarr", root / "0001.zarr"], root / "index.parquet")
    return root


def same_rows(store: FeatureStore, video_id: str, whole: ShardContent) -> bool:
    video = next(video for video in whole.videos if video.id == video_id)
    rows = store[video_id]
    values, times = whole.values[video.start : video.stop], whole.times[video.start : video.stop]
    return np.array_equal(rows.values, values.astype(np.float32)) and np.array_equal(rows.times, times)
