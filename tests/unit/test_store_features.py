"""The feature store: what was written comes back, or an error does."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.unit.made_features import LENGTHS, RECIPE, content, make_feature, read_by, same_rows
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store import shard_writing
from workflow_scripts.lib.store.feature_store import FeatureStore, UnknownId, write_index
from workflow_scripts.lib.store.shard_store import (
    StoreBeingRewritten,
    StoreDamaged,
    read_whole_shard,
)
from workflow_scripts.lib.store.shard_writing import publish_shard


@pytest.fixture(params=["ours", "zarr"])
def pipeline(request):
    with read_by(request.param):
        yield request.param


@pytest.fixture
def root(tmp_path):
    """A feature of two shards."""
    return make_feature(tmp_path / "results" / "ds" / "features" / "clip")


@pytest.mark.parametrize("preload", [False, True])
def test_what_was_written_comes_back(root, pipeline, preload):
    store = FeatureStore(root)
    if preload:
        store.preload()
    assert store.keys() == ["a", "b", "d", "e", "silent"]
    assert "a" in store
    assert "z" not in store
    assert (store.dim, store.recipe, len(store)) == (16, RECIPE, 5)
    assert all(same_rows(store, video_id, content(LENGTHS)) for video_id in LENGTHS)
    rows = store["b"]
    assert (rows.values.dtype, rows.times.dtype, rows.values.shape) == (np.float32, np.float32, (70, 16))
    assert (store["silent"].status, store["silent"].reason, store["silent"].values.shape) == (
        "no_audio",
        "silent",
        (0, 16),
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("lengths", [{}, {"a": 0}, {"a": 1}, {"a": 32}, {"a": 33, "b": 200}])
def test_sizes_at_the_border(tmp_path, pipeline, lengths, dtype):
    path = tmp_path / "0.zarr"
    written = content(lengths, dim=3, dtype=dtype)
    publish_shard(path, written, RECIPE)
    _, back = read_whole_shard(path)
    assert np.array_equal(back.values, written.values)
    assert np.array_equal(back.times, written.times)
    assert back.videos == written.videos
    assert back.values.dtype == dtype


def test_wide_rows_are_cut_into_several_files(tmp_path, monkeypatch, pipeline):
    monkeypatch.setattr(shard_writing, "SHARD_FILE_BYTES", 64 * 16 * 2)
    root = tmp_path / "ds" / "features" / "wide"
    publish_shard(root / "0000.zarr", content({"a": 150, "b": 70}), RECIPE)
    assert len([path for path in (root / "0000.zarr" / "features" / "c").rglob("*") if path.is_file()]) == 4
    write_index([root / "0000.zarr"], root / "index.parquet")
    assert same_rows(FeatureStore(root), "b", content({"a": 150, "b": 70}))


def test_a_shard_is_a_few_files_and_equal_content_gives_equal_bytes(tmp_path):
    for name in ("one", "two"):
        publish_shard(tmp_path / f"{name}.zarr", content(LENGTHS), RECIPE)
    files = sorted(p.relative_to(tmp_path / "one.zarr") for p in (tmp_path / "one.zarr").rglob("*") if p.is_file())
    assert len(files) == 8
    for file in files:
        assert (tmp_path / "one.zarr" / file).read_bytes() == (tmp_path / "two.zarr" / file).read_bytes()


def test_plain_zarr_can_read_a_shard_and_its_recipe(root):
    group = zarr.open_group(root / "0000.zarr", mode="r")
    assert group.attrs["recipe"] == RECIPE
    assert group["features"].shape == (111, 16)
    assert group["offsets"][:].tolist() == [0, 40, 110, 111, 111]


def test_an_unknown_id_names_feature_and_dataset(root):
    with pytest.raises(UnknownId, match="feature 'clip' of dataset 'ds' has nothing for 'zz'") as caught:
        FeatureStore(root)["zz"]
    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, UserError)


# Faults


def flip(path: Path, position: float) -> None:
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * position), len(data) - 1)] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


FAULTS = {
    "flipped byte in the first chunk": lambda store: flip(store / "features/c/0/0", 0.02),
    "flipped byte in a middle chunk": lambda store: flip(store / "features/c/0/0", 0.5),
    "flipped byte in the index of chunks": lambda store: flip(store / "features/c/0/0", 0.99),
    "features missing": lambda store: (store / "features/c/0/0").unlink(),
    "features truncated": lambda store: truncate(store / "features/c/0/0"),
    "features empty": lambda store: (store / "features/c/0/0").write_bytes(b""),
    "features metadata missing": lambda store: (store / "features/zarr.json").unlink(),
    "times missing": lambda store: (store / "timestamps/c/0/0").unlink(),
    "times flipped": lambda store: flip(store / "timestamps/c/0/0", 0.5),
    "times truncated": lambda store: truncate(store / "timestamps/c/0/0"),
    "offsets missing": lambda store: (store / "offsets/c/0").unlink(),
    "offsets flipped": lambda store: flip(store / "offsets/c/0", 0.5),
    "index missing": lambda store: (store / "index.json").unlink(),
    "index flipped": lambda store: flip(store / "index.json", 0.5),
    "index of another store": lambda store: shutil.copy(store.with_name("0001.zarr") / "index.json", store),
    "zarr.json truncated": lambda store: truncate(store / "zarr.json"),
    "zarr.json flipped in a width": lambda store: (store / "zarr.json").write_bytes(
        (store / "zarr.json").read_bytes().replace(b"16", b"18")
    ),
    "zarr.json flipped": lambda store: flip(store / "zarr.json", 0.5),
    "arrays of another store": lambda store: shutil.copytree(
        store.with_name("0001.zarr") / "features", store / "features", dirs_exist_ok=True
    ),
}


def wrong_rows(root: Path, preload: bool) -> list[str]:
    """Read everything; return the ids whose rows are not as written. Named errors are fine."""
    wrong = []
    for video_id in LENGTHS:
        try:
            store = FeatureStore(root)
            if preload:
                store.preload()
            if not same_rows(store, video_id, content(LENGTHS)):
                wrong.append(video_id)
        except (StoreDamaged, StoreBeingRewritten):
            continue
    return wrong


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_never_gives_wrong_rows(root, pipeline, fault, preload):
    FAULTS[fault](root / "0000.zarr")
    assert wrong_rows(root, preload) == []


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "metadata" not in fault and "zarr.json" not in fault])
def test_a_fault_is_noticed(root, pipeline, fault):
    FAULTS[fault](root / "0000.zarr")
    store = FeatureStore(root)
    with pytest.raises((StoreDamaged, StoreBeingRewritten), match=r"0000\.zarr"):
        [store[video_id] for video_id in LENGTHS]


@pytest.mark.parametrize("fault", [f for f in FAULTS if "offsets" not in f and "zarr.json" not in f])
def test_a_fault_is_noticed_before_rows_are_reused(root, pipeline, fault):
    FAULTS[fault](root / "0000.zarr")
    with pytest.raises((StoreDamaged, StoreBeingRewritten)):
        read_whole_shard(root / "0000.zarr")


def test_every_single_flipped_byte_of_the_features_is_noticed_or_harmless(tmp_path, pipeline):
    root = tmp_path / "ds" / "features" / "f"
    written = content({"a": 40, "b": 30}, dim=2)
    publish_shard(root / "0000.zarr", written, RECIPE)
    write_index([root / "0000.zarr"], root / "index.parquet")
    chunk = root / "0000.zarr" / "features/c/0/0"
    whole = chunk.read_bytes()
    for position in range(0, len(whole), 3):
        data = bytearray(whole)
        data[position] ^= 1 << (position % 8)
        chunk.write_bytes(data)
        for video_id in ("a", "b"):
            try:
                assert same_rows(FeatureStore(root), video_id, written), position
            except StoreDamaged:
                continue


def test_the_index_refuses_shards_that_do_not_belong_together(root, tmp_path):
    publish_shard(tmp_path / "0002.zarr", content({"z": 3}), {"encoder": "other"})
    with pytest.raises(UserError, match="different recipes"):
        write_index([root / "0000.zarr", tmp_path / "0002.zarr"], tmp_path / "index.parquet")
    publish_shard(tmp_path / "0003.zarr", content({"z": 3}, dim=8), RECIPE)
    with pytest.raises(UserError, match="differ in width"):
        write_index([root / "0000.zarr", tmp_path / "0003.zarr"], tmp_path / "index.parquet")
    publish_shard(tmp_path / "0004.zarr", content({"a": 3}), RECIPE)
    with pytest.raises(UserError, match="a is in two shards"):
        write_index([root / "0000.zarr", tmp_path / "0004.zarr"], tmp_path / "index.parquet")
