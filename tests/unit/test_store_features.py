"""The feature store: what was written comes back, or an error does."""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from workflow_scripts.errors import UserError
from workflow_scripts.store import shard_store
from workflow_scripts.store.features import FeatureStore, UnknownId, write_index
from workflow_scripts.store.shard_store import (
    ShardContent,
    StoreBeingRewritten,
    StoreDamaged,
    VideoRows,
    concatenate,
    publish_shard,
    read_whole_shard,
)

RECIPE = {"encoder": "clip", "params": {"size": 64}}


@pytest.fixture(params=["zarr", "zarrs"])
def pipeline(request):
    """Read by zarr-python, or by zarrs."""
    if request.param == "zarrs":
        pytest.importorskip("zarrs")
    settings = shard_store._ZARRS_PIPELINE if request.param == "zarrs" else shard_store._PYTHON_PIPELINE
    with zarr.config.set(settings):
        yield request.param


def content(lengths: dict[str, int], dim: int = 16, dtype: str = "float16", seed: int = 0) -> ShardContent:
    rng = np.random.default_rng(seed)

    def part(name: str, length: int):
        start = np.arange(length, dtype=np.float32)
        status = "ok" if length else "no_audio"
        rows = VideoRows(name, f"key-{name}", 0, 0, status, "" if length else "silent")
        return rows, rng.standard_normal((length, dim)).astype(dtype), np.stack([start, start + 1], 1)

    return concatenate([part(name, length) for name, length in lengths.items()], dim, dtype)


LENGTHS = {"b": 70, "a": 40, "silent": 0, "d": 1}


@pytest.fixture
def root(tmp_path):
    """A feature of two shards."""
    root = tmp_path / "results" / "ds" / "features" / "clip"
    publish_shard(root / "0000.zarr", content(LENGTHS), RECIPE)
    publish_shard(root / "0001.zarr", content({"e": 5}, seed=1), RECIPE)
    write_index([root / "0000.zarr", root / "0001.zarr"], root / "index.parquet")
    return root


def same_rows(store: FeatureStore, video_id: str, whole: ShardContent) -> bool:
    video = next(video for video in whole.videos if video.id == video_id)
    rows = store[video_id]
    values, times = whole.values[video.start : video.stop], whole.times[video.start : video.stop]
    return np.array_equal(rows.values, values.astype(np.float32)) and np.array_equal(rows.times, times)


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
    monkeypatch.setattr(shard_store, "SHARD_FILE_BYTES", 64 * 16 * 2)
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


# Concurrency


def test_a_shard_newer_than_the_index_is_named(root):
    store = FeatureStore(root)
    publish_shard(
        root / "0001.zarr",
        concatenate([(VideoRows("e", "new key", 0, 0, "ok", ""), *two_rows())], 16, "float16"),
        RECIPE,
    )
    with pytest.raises(StoreBeingRewritten, match="0001"):
        store["e"]


def two_rows() -> tuple[np.ndarray, np.ndarray]:
    return np.ones((2, 16), np.float16), np.zeros((2, 2), np.float32)


def test_an_open_reader_notices_that_its_shard_was_replaced_and_then_reads_the_new_one(root, pipeline):
    store = FeatureStore(root)
    assert same_rows(store, "a", content(LENGTHS))
    publish_shard(root / "0000.zarr", content(LENGTHS, seed=9), RECIPE)
    with pytest.raises(StoreBeingRewritten):
        store["a"]
    assert same_rows(store, "a", content(LENGTHS, seed=9))


def test_a_shard_whose_job_runs_is_named(root):
    (root / "0000.zarr" / "zarr.json").unlink()
    with pytest.raises(StoreBeingRewritten, match="being rewritten"):
        FeatureStore(root)["a"]


REWRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from workflow_scripts.store.shard_store import VideoRows, concatenate, publish_shard

    def whole(value, lengths):
        parts = []
        for name, length in lengths.items():
            times = np.full((length, 2), value, np.float32)
            rows = VideoRows(name, name, 0, 0, "ok", "")
            parts.append((rows, np.full((length, 64), value, np.float16), times))
        return concatenate(parts, 64, "float16")

    path, turns = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    for turn in range(turns):
        publish_shard(path, whole(1 + turn % 2, {"a": 40 + 60 * (turn % 2), "b": 100}), {"r": 1})
        print(turn, flush=True)
"""


def start_rewriter(path: Path, turns: int) -> subprocess.Popen:
    command = [sys.executable, "-c", textwrap.dedent(REWRITER), str(path), str(turns)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[2])


@pytest.mark.parametrize("exchange", [True, False])
def test_a_reader_during_republication_sees_old_new_or_the_named_error(tmp_path, exchange, monkeypatch):
    root = tmp_path / "ds" / "features" / "f"
    if not exchange:
        monkeypatch.setattr("tests.unit.test_store_features.REWRITER", REWRITER.replace("path, turns", NO_EXCHANGE, 1))
    with start_rewriter(root / "0000.zarr", 1) as first:
        first.wait()
    write_index([root / "0000.zarr"], root / "index.parquet")
    seen = {"old": 0, "new": 0, "named": 0}
    with start_rewriter(root / "0000.zarr", 40) as writer:
        store = FeatureStore(root)
        while writer.poll() is None:
            try:
                rows = store["b"]
            except StoreBeingRewritten:
                seen["named"] += 1
                continue
            value = rows.values.flat[0]
            assert rows.values.shape == (100, 64)
            assert np.all(rows.values == value)
            assert np.all(rows.times == value)
            seen["old" if value == 1 else "new"] += 1
        assert writer.returncode == 0
    assert seen["old"] > 0
    assert seen["new"] > 0


NO_EXCHANGE = "import workflow_scripts.store.shard_store as s; s._exchange = lambda one, other: False\n    path, turns"


def test_a_killed_publication_leaves_a_complete_shard(tmp_path):
    path = tmp_path / "0000.zarr"
    rng = np.random.default_rng(3)
    for _ in range(8):
        with start_rewriter(path, 10**6) as writer:
            writer.stdout.readline()
            writer.stdout.readline()
            time.sleep(float(rng.uniform(0, 0.1)))
            writer.kill()
        _, whole = read_whole_shard(path)
        assert len(whole.videos) == 2


def test_a_store_can_be_shared_by_threads(root, pipeline):
    store = FeatureStore(root)
    expected, failures = content(LENGTHS), []

    def read() -> None:
        for turn in range(20):
            video_id = list(LENGTHS)[turn % len(LENGTHS)]
            if not same_rows(store, video_id, expected):
                failures.append(video_id)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_forked_child_opens_the_store_anew(root):
    script = f"""
        import os
        from workflow_scripts.store.features import FeatureStore
        store = FeatureStore({str(root)!r})
        before = store["a"].values
        child = os.fork()
        if child == 0:
            os._exit(0 if (store["a"].values == before).all() and len(store["e"].values) == 5 else 1)
        assert os.waitpid(child, 0)[1] == 0
    """
    run_script(script)


def test_a_forked_child_with_zarrs_reads_what_is_in_memory_and_refuses_the_rest(root):
    pytest.importorskip("zarrs")
    script = f"""
        import os
        from workflow_scripts.store.features import FeatureStore
        from workflow_scripts.store.shard_store import use_zarrs
        assert use_zarrs()
        cold, warm = FeatureStore({str(root)!r}), FeatureStore({str(root)!r}).preload()
        cold["a"]
        child = os.fork()
        if child == 0:
            warm["a"], warm["e"]
            try:
                cold["a"]
            except RuntimeError as error:
                os._exit(0 if "spawn" in str(error) else 1)
            os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
    """
    run_script(script)


def run_script(script: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).resolve().parents[2])


def read_length(store: FeatureStore, video_id: str) -> int:
    return len(store[video_id].values)


def test_a_store_travels_to_a_spawned_worker(root):
    store = FeatureStore(root).preload()
    assert read_length(pickle.loads(pickle.dumps(store)), "a") == 40
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_length, (store, "b")) == 70
    assert os.getpid() == store._pid
