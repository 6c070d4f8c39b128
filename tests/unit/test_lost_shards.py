"""A shard that is gone behind a finished index is noticed while the job graph is built, so that it is made again."""

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.store.lost_shards import write_times_lost

KINDS = [
    ("clip_tiny", "features/clip_tiny", "{}.zarr/zarr.json"),
    ("whisper_tiny_en", "transcripts/whisper_tiny_en", "{}.parquet"),
]


def times_lost(feature: str) -> int:
    """Return what a new call of the workflow finds."""
    return Plan({}, ROOT / "config").features.times_lost("demo", feature)


@pytest.mark.parametrize(("feature", "folder", "complete"), KINDS)
def test_only_a_shard_that_is_gone_behind_an_index_counts_as_lost(feature, folder, complete, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results/demo" / folder
    assert times_lost(feature) == 0
    for shard in ("0000", "0001"):
        path = results / complete.format(shard)
        path.parent.mkdir(exist_ok=True, parents=True)
        path.touch()
    (results / "index.parquet").touch()
    assert times_lost(feature) == 0
    path.unlink()
    assert [times_lost(feature) for _ in range(3)] == [1, 1, 1]

    # The job of the index notes the number that it was started with.
    path.touch()
    write_times_lost(results / "lost.json", 1)
    assert times_lost(feature) == 1
    path.unlink()
    assert times_lost(feature) == 2


def test_a_shard_that_is_made_meanwhile_leaves_the_number_of_this_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results/demo/features/clip_tiny"
    results.mkdir(parents=True)
    (results / "index.parquet").touch()
    features = Plan({}, ROOT / "config").features
    assert features.times_lost("demo", "clip_tiny") == 1
    for shard in ("0000", "0001"):
        (results / f"{shard}.zarr").mkdir()
        (results / f"{shard}.zarr/zarr.json").touch()
    assert features.times_lost("demo", "clip_tiny") == 1
    assert times_lost("clip_tiny") == 0


def test_asking_writes_nothing_beside_the_index(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results/demo/features/clip_tiny"
    results.mkdir(parents=True)
    (results / "index.parquet").touch()
    times_lost("clip_tiny")
    assert [path.name for path in results.iterdir()] == ["index.parquet"]
