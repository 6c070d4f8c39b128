"""The feature store under readers, writers, threads and forks at the same time."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.made_features import LENGTHS, RECIPE, content, make_feature, read_by, same_rows
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_store import StoreBeingRewritten, read_whole_shard
from workflow_scripts.lib.store.shard_writing import publish_shard


@pytest.fixture(params=["ours", "zarr"])
def pipeline(request):
    with read_by(request.param):
        yield request.param


@pytest.fixture
def root(tmp_path):
    """A feature of two shards."""
    return make_feature(tmp_path / "results" / "ds" / "features" / "clip")


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


def test_a_shard_that_was_replaced_twice_and_is_as_before_is_noticed(root):
    store = FeatureStore(root)
    assert same_rows(store, "a", content(LENGTHS))
    for seed in (9, 0):
        publish_shard(root / "0000.zarr", content(LENGTHS, seed=seed), RECIPE)
    with pytest.raises(StoreBeingRewritten):
        store["a"]


def test_a_shard_whose_job_runs_is_named(root):
    (root / "0000.zarr" / "zarr.json").unlink()
    with pytest.raises(StoreBeingRewritten, match="being rewritten"):
        FeatureStore(root)["a"]


REWRITER = """
    import sys
    from pathlib import Path
    import numpy as np
    from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
    from workflow_scripts.lib.store.shard_writing import publish_shard

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
        script = REWRITER.replace("path, turns", NO_EXCHANGE, 1)
        monkeypatch.setattr("tests.unit.test_store_concurrency.REWRITER", script)
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


READER = """
    import sys
    import threading
    from pathlib import Path
    import numpy as np
    from workflow_scripts.lib.store import zarr_rows
    from workflow_scripts.lib.store.feature_store import FeatureStore
    from workflow_scripts.lib.store.shard_store import StoreBeingRewritten

    root, stop, way = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if way == "zarr":
        zarr_rows._layout_of = lambda metadata: None
    counts, mixed = {}, []

    def read():
        store = FeatureStore(root)
        while not stop.exists():
            try:
                if way == "preload":
                    store = FeatureStore(root).preload()
                for name in ("a", "b"):
                    rows = store[name]
                    value = float(rows.values.flat[0])
                    n_rows = {"a": 40 if value == 1 else 100, "b": 100}[name]
                    same = np.all(rows.values == value) and np.all(rows.times == value)
                    if len(rows.values) != n_rows or not same:
                        mixed.append((name, value, rows.values.shape))
                    counts[value] = counts.get(value, 0) + 1
            except StoreBeingRewritten:
                counts["named"] = counts.get("named", 0) + 1

    threads = [threading.Thread(target=read) for _ in range(2)]
    print("ready", flush=True)
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not mixed, mixed[:3]
    assert counts.get(1.0) and counts.get(2.0), counts
"""


@pytest.mark.parametrize("exchange", [True, False])
def test_processes_and_threads_that_read_during_many_republications_never_see_a_mixture(
    tmp_path, exchange, monkeypatch
):
    root, stop = tmp_path / "ds" / "features" / "f", tmp_path / "stop"
    if not exchange:
        script = REWRITER.replace("path, turns", NO_EXCHANGE, 1)
        monkeypatch.setattr("tests.unit.test_store_concurrency.REWRITER", script)
    with start_rewriter(root / "0000.zarr", 1) as first:
        first.wait()
    write_index([root / "0000.zarr"], root / "index.parquet")
    ways = ["single", "preload", "zarr"]
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(READER), str(root), str(stop), way],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).resolve().parents[2],
            text=True,
        )
        for way in ways
    ]
    try:
        for reader in readers:
            reader.stdout.readline()
        with start_rewriter(root / "0000.zarr", 40) as writer:
            writer.wait()
        assert writer.returncode == 0
    finally:
        stop.touch()
        errors = [reader.communicate(timeout=60)[1] for reader in readers]
    assert [reader.returncode for reader in readers] == [0] * len(readers), "\n".join(errors)


NO_EXCHANGE = (
    "import workflow_scripts.lib.store.shard_store as s; s._exchange = lambda one, other: False\n    path, turns"
)


def test_a_killed_publication_leaves_a_complete_shard(tmp_path):
    path = tmp_path / "0000.zarr"
    rng = np.random.default_rng(3)
    for _ in range(5):
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
        from workflow_scripts.lib.store.feature_store import FeatureStore
        store = FeatureStore({str(root)!r})
        before = store["a"].values
        child = os.fork()
        if child == 0:
            os._exit(0 if (store["a"].values == before).all() and len(store["e"].values) == 5 else 1)
        assert os.waitpid(child, 0)[1] == 0
    """
    run_script(script)


def test_a_forked_child_reads_what_is_in_memory_and_what_is_not_while_a_thread_of_its_parent_reads(root):
    script = f"""
        import os
        import threading
        from workflow_scripts.lib.store.feature_store import FeatureStore
        cold, warm = FeatureStore({str(root)!r}), FeatureStore({str(root)!r}).preload()
        wanted, stop = cold["a"].values, threading.Event()

        def read():
            while not stop.is_set():
                cold["a"]

        thread = threading.Thread(target=read)
        thread.start()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                stores = (cold, warm)
                same = all((store["a"].values == wanted).all() and len(store["e"].values) == 5 for store in stores)
                os._exit(0 if same else 1)
            assert os.waitpid(child, 0)[1] == 0
        stop.set()
        thread.join()
    """
    run_script(script)


def run_script(script: str) -> None:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).resolve().parents[2])


class RowsOf(torch.utils.data.Dataset):
    """What a training loop would have: an open store and a list of ids."""

    def __init__(self, store: FeatureStore, ids: list[str]) -> None:
        self.store, self.ids = store, ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, number: int) -> np.ndarray:
        return self.store[self.ids[number]].values


def test_forked_workers_of_a_data_loader_read_a_store_that_was_open_before(root):
    store, expected = FeatureStore(root), content(LENGTHS)
    ids = ["a", "b", "d"] * 4
    assert same_rows(store, "a", expected)
    loader = torch.utils.data.DataLoader(
        RowsOf(store, ids), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    for video_id, values in zip(ids, loader, strict=True):
        assert np.array_equal(values, store[video_id].values)


def read_length(store: FeatureStore, video_id: str) -> int:
    return len(store[video_id].values)


def test_a_store_travels_to_a_spawned_worker(root):
    store = FeatureStore(root).preload()
    assert read_length(pickle.loads(pickle.dumps(store)), "a") == 40
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(read_length, (store, "b")) == 70
    assert os.getpid() == store._pid
