"""Wide rows: a job holds a few videos of a shard, not all of it, and writes the same store."""

import tracemalloc

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store import gathered, shard_store, shard_writing
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.parts import PartFiles
from workflow_scripts.lib.store.shard_job import Computed, Wanted, row_key, update_shard
from workflow_scripts.lib.store.shard_rows import recut
from workflow_scripts.lib.store.shard_store import (
    StoreBeingRewritten,
    StoreDamaged,
    read_again,
    read_shard_index,
    read_whole_shard,
)
from workflow_scripts.lib.store.verification import failed_videos, repair_feature, verify_feature

RECIPE, N_ROWS, DIM = {"encoder": "made"}, 64, 1024
KIB = 2**10


@pytest.fixture
def path(tmp_path):
    return tmp_path / "features" / "0000.zarr"


@pytest.fixture
def nothing_stays(monkeypatch):
    """Keep no values in memory, read and write little at a time."""
    monkeypatch.setattr(gathered, "KEPT_BYTES", 0)
    monkeypatch.setattr(shard_writing, "SHARD_FILE_BYTES", 256 * KIB)
    monkeypatch.setattr(shard_store, "READ_BYTES", 64 * KIB)


def rows_of(video_id: str) -> np.ndarray:
    return np.random.default_rng(int(video_id)).standard_normal((N_ROWS, DIM), np.float32)


def compute(ids):
    times = np.stack([np.arange(N_ROWS), np.arange(N_ROWS) + 1], axis=1)
    for video_id in ids:
        yield Computed(video_id, rows_of(video_id), times)


def make(path, n_videos, cache=None, recipe=RECIPE):
    wanted = [Wanted(f"{number:03d}", str(number)) for number in range(n_videos)]
    update_shard(path, wanted, recipe, "float16", None, compute, cache)
    return read_shard_index(path)[0]["generation"]


def peak_of(run) -> int:
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_three_times_the_videos_take_no_more_memory(path, nothing_stays):
    few = peak_of(lambda: make(path.with_name("few.zarr"), 6))
    many = peak_of(lambda: make(path, 18))
    again = peak_of(lambda: make(path, 19))
    # Twelve videos more would be 1.5 MB more, if they stayed.
    assert max(many, again) - few < 12 * N_ROWS * DIM * 2 / 2


@pytest.mark.parametrize("has_cache", [False, True])
def test_the_store_is_the_one_that_is_made_in_memory(path, tmp_path, monkeypatch, has_cache):
    cache = tmp_path / "cache" if has_cache else None
    expected = [make(path, 3), make(path, 5)]
    monkeypatch.setattr(gathered, "KEPT_BYTES", 0)
    other = path.with_name("other.zarr")
    assert [make(other, 3, cache), make(other, 5, cache)] == expected
    if has_cache:
        assert make(path.with_name("third.zarr"), 5, cache) == expected[1]
    read_whole_shard(other)


def test_rows_that_a_cache_lost_meanwhile_end_the_job_with_the_old_store_in_place(path, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    old = make(path, 2)
    monkeypatch.setattr(gathered, "KEPT_BYTES", 0)
    add = PartFiles.add

    def add_and_lose(self, key, part):
        add(self, key, part)
        if key == row_key("3", RECIPE, "float16"):
            self._path(key).unlink()

    monkeypatch.setattr(PartFiles, "add", add_and_lose)
    with pytest.raises(UserError, match="no longer where they were kept"):
        make(path, 4, cache)
    assert read_whole_shard(path)[0]["generation"] == old


def test_rows_are_read_again_from_the_shard_that_was_compared_and_from_no_other(path):
    make(path, 2)
    header, videos = read_shard_index(path)
    assert np.array_equal(read_again(path, videos[1], header["generation"]), rows_of("001").astype(np.float16))
    make(path, 3)
    with pytest.raises(StoreBeingRewritten):
        read_again(path, videos[1], header["generation"])


def test_a_shard_that_is_not_as_written_is_found_after_its_last_video(path, nothing_stays):
    make(path, 3)
    file = path / "features" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(StoreDamaged):
        list(shard_store.videos_of_whole_shard(path))


def test_verifying_and_repairing_hold_a_few_videos_at_a_time(path, nothing_stays):
    def stripped(name, n_videos):
        root = path.parent / name
        root.mkdir(parents=True)
        make(root / "0000.zarr", n_videos)
        write_index([root / "0000.zarr"], root / "index.parquet")
        verify = peak_of(lambda: verify_feature(root))
        chunk = root / "0000.zarr/features/c/0/0"
        content = bytearray(chunk.read_bytes())
        content[100] ^= 1
        chunk.write_bytes(content)
        verified = verify_feature(root)
        assert [problem.id for problem in verified.problems] == ["000"]
        return verify, peak_of(lambda: repair_feature(verified)), root / "0000.zarr"

    few = stripped("few", 6)
    many = stripped("many", 18)
    for peak, least in zip(many[:2], few[:2], strict=True):
        assert peak - least < 12 * N_ROWS * DIM * 2 / 2
    kept = [(video.id, values) for video, values, _ in shard_store.videos_of_whole_shard(many[2])]
    assert [video_id for video_id, _ in kept] == [f"{number:03d}" for number in range(1, 18)]
    for video_id, values in kept:
        assert np.array_equal(values, rows_of(video_id).astype(np.float16))
    assert not (many[2] / "zarr.json").exists()


@pytest.mark.parametrize("n_rows", [1, 3, 4, 50])
def test_pieces_hold_all_rows_in_their_order(n_rows):
    rows = np.arange(22).reshape(11, 2)
    parts = [rows[:3], rows[3:3], rows[3:4], rows[4:]]
    pieces = [piece.copy() for piece in recut(parts, n_rows)]
    assert np.array_equal(np.concatenate(pieces), rows)
    assert [len(piece) for piece in pieces[:-1]] == [n_rows] * (len(pieces) - 1)


# Levels of pixels


LEVELS = np.random.default_rng(0).integers(0, 256, (N_ROWS, 48)).astype(np.float32)


def make_levels(path, values=LEVELS):
    times = np.zeros((len(values), 2))
    wanted = [Wanted("a", "1")]
    update_shard(path, wanted, RECIPE, "uint8", None, lambda ids: (Computed(i, values, times) for i in ids), None)
    write_index([path], path.parent / "index.parquet")
    return FeatureStore(path.parent)


def test_levels_are_stored_in_a_byte_and_come_back_exactly(path):
    store = make_levels(path)
    assert np.array_equal(store["a"].values, LEVELS)
    assert store["a"].values.dtype == np.float32
    assert np.array_equal(store.read("a", np.array([2, 40])).values, LEVELS[[2, 40]])
    store.keep(["a"])
    assert np.array_equal(store["a"].values, LEVELS)
    assert read_whole_shard(path)[1].values.dtype == np.uint8
    assert not verify_feature(path.parent).problems
    assert not failed_videos(verify_feature(path.parent))


@pytest.mark.parametrize("level", [-1, 256, 0.5])
def test_what_is_no_level_is_refused(path, level):
    values = LEVELS.copy()
    values[3, 3] = level
    with pytest.raises(UserError, match=f"a feature value of {level:g} does not fit uint8"):
        make_levels(path, values)


def test_a_missing_file_of_levels_is_not_taken_for_black_pixels(path):
    store = make_levels(path)
    assert store.read("a", slice(0, 1)).values.any()
    (path / "features" / "c" / "0" / "0").unlink()
    with pytest.raises(StoreDamaged):
        store.read("a")
    assert [problem.id for problem in verify_feature(path.parent).problems] == ["a"]
