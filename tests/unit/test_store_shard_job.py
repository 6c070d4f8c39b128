"""The incremental job: only what is missing is computed, whatever happened before."""

import ctypes
import errno
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.parts import PartFiles
from workflow_scripts.lib.store.shard_job import Computed, Wanted, row_key, update_shard
from workflow_scripts.lib.store.shard_store import StoreDamaged, read_whole_shard, revisions_of
from workflow_scripts.lib.store.verification import Verified, failed_videos, repair_feature
from workflow_scripts.lib.versions import UNKNOWN_REVISION

RECIPE = {"encoder": "fake", "params": {"a": 1}}
REPOSITORY = Path(__file__).resolve().parents[2]


def wanted_of(contents: dict[str, str]) -> list[Wanted]:
    return [Wanted(video_id, f"{video_id} {version}") for video_id, version in contents.items()]


class FakeEncoder:
    """Rows that follow from the content (id and version); notes what it was asked for."""

    def __init__(self, contents: dict[str, str], failing: tuple[str, ...] = (), dim: int = 8) -> None:
        self.contents, self.failing, self.dim = contents, failing, dim
        self.asked: list[str] = []

    def rows(self, video_id: str) -> np.ndarray:
        seed = sum(map(ord, video_id + self.contents[video_id]))
        return np.random.default_rng(seed).standard_normal((3 + seed % 50, self.dim))

    def __call__(self, ids):
        asked = list(ids)
        self.asked += asked
        for video_id in reversed(asked):
            rows = self.rows(video_id)
            start = np.arange(len(rows), dtype=float)
            status, reason = ("failed", "broken file") if video_id in self.failing else ("ok", "")
            yield Computed(video_id, rows, np.stack([start, start + 1], 1), status, reason)


def update(path, contents, recipe=RECIPE, failing=(), cache=None):
    """Run the job; return what was asked of the encoder and the summary."""
    encoder = FakeEncoder(contents, failing)
    wanted = wanted_of(contents)
    summary = update_shard(path, wanted, recipe, "float16", None, encoder, cache)
    (path / "zarr.json").stat()
    _, whole = read_whole_shard(path)
    assert [video.id for video in whole.videos] == sorted(contents)
    for video in whole.videos:
        expected = encoder.rows(video.id)[: 0 if video.status == "failed" else None]
        assert np.array_equal(whole.values[video.start : video.stop], expected.astype(np.float16))
    assert not path.with_suffix(".journal").exists()
    assert [p.name for p in path.parent.iterdir() if "tmp-" in p.name or "old-" in p.name] == []
    return sorted(encoder.asked), summary


CONTENTS = {"b": "1", "a": "1", "c": "1"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "features" / "0000.zarr"


@pytest.fixture(params=[False, True])
def snakemake_style(request):
    """Snakemake deletes a declared output before it runs the job again."""

    def before_rerun(path: Path) -> None:
        if request.param:
            (path / "zarr.json").unlink()

    return before_rerun


def test_the_first_run_computes_everything(path):
    asked, summary = update(path, CONTENTS)
    assert asked == ["a", "b", "c"]
    assert (summary.computed, summary.reused, summary.cached, summary.failed) == (3, 0, 0, 0)


@pytest.mark.parametrize(
    ("after", "asked"),
    [
        (CONTENTS, []),
        ({**CONTENTS, "d": "1"}, ["d"]),
        ({"a": "1", "c": "1"}, []),
        ({**CONTENTS, "b": "2"}, ["b"]),
        ({"d": "1"}, ["d"]),
        ({}, []),
    ],
)
def test_only_what_changed_is_computed(path, snakemake_style, after, asked):
    update(path, CONTENTS)
    snakemake_style(path)
    assert update(path, after)[0] == asked


def test_the_network_is_not_loaded_if_nothing_is_missing(path, snakemake_style):
    update(path, CONTENTS)
    snakemake_style(path)
    wanted = wanted_of(CONTENTS)
    summary = update_shard(path, wanted, RECIPE, "float16", None, lambda ids: pytest.fail("loaded"), None)
    assert summary.reused == 3


def test_the_declared_output_is_new_after_every_run(path):
    update(path, CONTENTS)
    os.utime(path / "zarr.json", (1, 1))
    before = time.time()
    update(path, CONTENTS)
    assert (path / "zarr.json").stat().st_mtime >= before - 0.1
    assert (path / "zarr.json").stat().st_mtime_ns >= (path / "index.json").stat().st_mtime_ns


def test_a_changed_recipe_computes_everything(path, snakemake_style):
    update(path, CONTENTS)
    snakemake_style(path)
    assert update(path, CONTENTS, recipe={**RECIPE, "params": {"a": 2}})[0] == ["a", "b", "c"]


def test_the_bytes_do_not_depend_on_history(tmp_path):
    update(tmp_path / "new.zarr", {**CONTENTS, "d": "1"})
    update(tmp_path / "grown.zarr", CONTENTS)
    update(tmp_path / "grown.zarr", {**CONTENTS, "d": "1"})
    for file in (p.relative_to(tmp_path / "new.zarr") for p in (tmp_path / "new.zarr").rglob("*") if p.is_file()):
        assert (tmp_path / "new.zarr" / file).read_bytes() == (tmp_path / "grown.zarr" / file).read_bytes()


def test_rows_without_a_key_or_from_a_damaged_store_are_never_reused(path, caplog):
    update(path, CONTENTS)
    (path / "index.json").write_text("{}")
    assert update(path, CONTENTS)[0] == ["a", "b", "c"]
    chunk = path / "features/c/0/0"
    chunk.write_bytes(bytes(len(chunk.read_bytes())))
    assert update(path, CONTENTS)[0] == ["a", "b", "c"]
    assert "the old store is not used" in caplog.text


def test_a_second_dataset_with_the_same_videos_computes_nothing(tmp_path):
    cache = tmp_path / "cache"
    assert update(tmp_path / "one" / "0.zarr", CONTENTS, cache=cache)[0] == ["a", "b", "c"]
    asked, summary = update(tmp_path / "two" / "0.zarr", CONTENTS, cache=cache)
    assert asked == []
    assert summary.cached == 3
    assert len(list(cache.rglob("*.npz"))) == 3


def test_a_damaged_cache_entry_is_computed_again(tmp_path):
    cache = tmp_path / "cache"
    update(tmp_path / "one.zarr", CONTENTS, cache=cache)
    for number, part in enumerate(sorted(cache.rglob("*.npz"))):
        data = bytearray(part.read_bytes())
        data[len(data) // 3] ^= 1
        part.write_bytes([data, b"", data[:-30]][number])
    assert update(tmp_path / "two.zarr", CONTENTS, cache=cache)[0] == ["a", "b", "c"]
    assert update(tmp_path / "three.zarr", CONTENTS, cache=cache)[0] == []


def test_a_failed_video_has_no_rows_and_harms_no_other(path):
    asked, summary = update(path, CONTENTS, failing=("b",))
    assert asked == ["a", "b", "c"]
    assert (summary.computed, summary.failed) == (3, 1)
    _, whole = read_whole_shard(path)
    assert [(video.status, video.reason) for video in whole.videos] == [
        ("ok", ""),
        ("failed", "broken file"),
        ("ok", ""),
    ]


def test_a_failed_video_stays_failed_until_it_is_replaced_or_taken_out(path, tmp_path, snakemake_style):
    cache = tmp_path / "cache"
    update(path, CONTENTS, failing=("b",), cache=cache)
    snakemake_style(path)
    assert update(path, CONTENTS, failing=("b",), cache=cache)[0] == []
    verified = Verified(path.parent)
    verified.problems += failed_videos(verified)
    assert [(problem.id, problem.found) for problem in verified.problems] == [("b", "failed: broken file")]
    repair_feature(verified)
    assert update(path, CONTENTS, failing=("b",), cache=cache)[0] == ["b"]
    asked, summary = update(path, {**CONTENTS, "b": "2"}, cache=cache)
    assert (asked, summary.failed) == (["b"], 0)
    # A failure is not shared: another dataset tries for itself.
    update(tmp_path / "other" / "0.zarr", CONTENTS, failing=("a", "b", "c"))
    assert update(tmp_path / "third" / "0.zarr", CONTENTS, cache=cache)[0] == ["b"]


@pytest.mark.parametrize("use_cache", [False, True])
def test_copies_of_a_video_are_computed_once(path, tmp_path, use_cache):
    cache = tmp_path / "cache" if use_cache else None
    copies = [Wanted("a", "same"), Wanted("b", "same"), Wanted("c", "other"), Wanted("d", "same")]
    encoder = FakeEncoder(dict.fromkeys("abcd", "1"))
    update_shard(path, copies, RECIPE, "float16", None, encoder, cache)
    assert sorted(encoder.asked) == ["a", "c"]
    _, whole = read_whole_shard(path)
    rows = {video.id: whole.values[video.start : video.stop] for video in whole.videos}
    assert np.array_equal(rows["a"], rows["b"])
    assert np.array_equal(rows["a"], rows["d"])


@pytest.mark.parametrize("use_cache", [False, True])
def test_a_copy_is_tried_if_the_first_of_its_kind_failed_and_both_have_rows_the_next_time(
    path, tmp_path, use_cache, monkeypatch, snakemake_style
):
    monkeypatch.setattr("workflow_scripts.lib.store.shard_job._ASK_AGAIN_S", 0.01)
    cache = tmp_path / "cache" if use_cache else None
    copies = [Wanted("a", "same"), Wanted("b", "same")]
    encoder = FakeEncoder(dict.fromkeys("ab", "1"), failing=("a",))
    update_shard(path, copies, RECIPE, "float16", None, encoder, cache)
    assert encoder.asked == ["a", "b"]
    assert [video.status for video in read_whole_shard(path)[1].videos] == ["failed", "ok"]
    snakemake_style(path)
    update_shard(path, copies, RECIPE, "float16", None, encoder, cache)
    assert encoder.asked == ["a", "b"]
    assert [video.status for video in read_whole_shard(path)[1].videos] == ["ok", "ok"]


def test_a_shard_in_which_everything_failed_is_published(path):
    _, summary = update(path, CONTENTS, failing=("a", "b", "c"))
    assert summary.failed == 3
    write_index([path], path.parent / "index.parquet")
    assert FeatureStore(path.parent)["a"].status == "failed"


def test_rows_that_are_not_finite_are_a_failure(path):
    def compute(ids):
        for video_id in ids:
            yield Computed(video_id, np.full((2, 4), np.nan if video_id == "a" else 1.0), np.zeros((2, 2)))

    summary = update_shard(path, [Wanted("a", "1"), Wanted("b", "1")], RECIPE, "float16", None, compute, None)
    assert summary.failed == 1


def test_values_too_large_for_float16_are_named_with_the_remedy(path):
    def compute(ids):
        yield Computed("a", np.full((2, 4), 1e5), np.zeros((2, 2)))

    with pytest.raises(UserError, match="store_dtype: float32"):
        update_shard(path, [Wanted("a", "1")], RECIPE, "float16", None, compute, None)


@pytest.mark.parametrize(
    ("yields", "message"),
    [([], "gave nothing for a"), (["x"], "'x', which was not asked for"), (["a", "a"], "'a', which was not asked for")],
)
def test_an_encoder_that_does_not_keep_its_promise_is_a_bug(path, yields, message):
    def compute(ids):
        return (Computed(video_id, np.ones((1, 2)), np.zeros((1, 2))) for video_id in yields)

    with pytest.raises(RuntimeError, match=message):
        update_shard(path, [Wanted("a", "1")], RECIPE, "float16", None, compute, None)


def test_a_failing_job_keeps_its_finished_videos_and_the_old_store(path):
    update(path, CONTENTS)
    more = {**CONTENTS, "d": "1", "e": "1"}
    encoder = FakeEncoder(more)

    def compute(ids):
        yield next(encoder(ids))
        raise RuntimeError("out of memory")

    wanted = wanted_of(more)
    with pytest.raises(RuntimeError, match="out of memory"):
        update_shard(path, wanted, RECIPE, "float16", None, compute, None)
    _, whole = read_whole_shard(path)
    assert [video.id for video in whole.videos] == ["a", "b", "c"]
    asked, summary = update(path, more)
    assert (asked, summary.cached, summary.reused) == (["d"], 1, 3)


@pytest.mark.parametrize("use_cache", [False, True])
def test_what_other_ways_of_keeping_videos_left_is_swept(path, tmp_path, use_cache):
    (path.with_suffix(".parts") / "ab").mkdir(parents=True)
    (path.with_suffix(".parts") / "ab" / "ab12.npz").write_bytes(b"of an earlier release")
    path.with_suffix(".journal").write_bytes(b"from before a cache was set")
    update(path, CONTENTS, cache=tmp_path / "cache" if use_cache else None)
    assert [left.name for left in path.parent.iterdir()] == [path.name]


SLOW_JOB = """
    import sys, time
    from pathlib import Path
    from tests.unit.test_store_shard_job import RECIPE, FakeEncoder, update_shard, wanted_of

    contents = {f"v{i:02}": "1" for i in range(20)}
    encoder = FakeEncoder(contents)

    def compute(ids):
        for computed in encoder(ids):
            time.sleep(0.01)
            print(computed.id, flush=True)
            yield computed

    wanted = wanted_of(contents)
    cache = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    update_shard(Path(sys.argv[1]), wanted, RECIPE, "float16", None, compute, cache)
"""


@pytest.mark.parametrize("use_cache", [False, True])
def test_a_killed_job_loses_at_most_the_video_it_was_computing(path, tmp_path, use_cache):
    arguments = [str(path), *([str(tmp_path / "cache")] if use_cache else [])]
    rng = np.random.default_rng(5)
    started: list[str] = []
    for _ in range(4):
        command = [sys.executable, "-c", textwrap.dedent(SLOW_JOB), *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as job:
            started.append(job.stdout.readline().strip())
            time.sleep(float(rng.uniform(0, 0.06)))
            job.kill()
            started += [line.strip() for line in job.stdout]
    contents = {f"v{i:02}": "1" for i in range(20)}
    # Four kills: at most four videos were begun twice.
    assert len(started) - len(set(started)) <= 4
    asked, summary = update(path, contents, cache=tmp_path / "cache" if use_cache else None)
    assert len(set(asked) & set(started)) <= 1
    assert summary.failed == 0
    assert list(tmp_path.rglob("*.tmp-*")) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(mount), b"tmpfs", 0, b"size=400k") != 0:
        pytest.skip(f"cannot mount a small file system: {os.strerror(ctypes.get_errno())}")
    yield mount
    libc.umount2(os.fsencode(mount), 2)


def test_a_full_disk_leaves_the_old_store_and_nothing_half_made(small_disk):
    path = small_disk / "0000.zarr"
    update(path, CONTENTS)
    (path / "zarr.json").unlink()
    more = {**CONTENTS, **{f"v{i}": "1" for i in range(4)}}

    def compute(ids):
        for video_id in ids:
            yield Computed(video_id, np.random.default_rng(0).standard_normal((40, 400)), np.zeros((40, 2)))

    wanted = wanted_of(more)
    with pytest.raises(OSError) as caught:
        update_shard(path, wanted, {"other": "recipe"}, "float32", None, compute, None)
    assert caught.value.errno == errno.ENOSPC
    assert [p.name for p in small_disk.rglob("*.tmp-*")] == []
    _, whole = read_whole_shard(path)
    assert [video.id for video in whole.videos] == ["a", "b", "c"]


def test_a_key_depends_on_content_recipe_and_number_format():
    keys = {row_key(*arguments) for arguments in [("1", {"a": 1}, "float16"), ("2", {"a": 1}, "float16")]}
    keys |= {row_key("1", {"a": 2}, "float16"), row_key("1", {"a": 1}, "float32")}
    assert len(keys) == 4


def test_an_absent_part_is_none(tmp_path):
    assert PartFiles(tmp_path).get("ab12") is None


def revised(monkeypatch, revision):
    monkeypatch.setattr("workflow_scripts.lib.store.shard_job.code_revision", lambda: revision)


def test_a_shard_tells_which_revisions_of_the_code_made_its_rows(path, snakemake_style, monkeypatch):
    def revisions():
        return revisions_of(read_whole_shard(path)[0])

    revised(monkeypatch, "one")
    update(path, CONTENTS)
    assert revisions() == ["one"]
    revised(monkeypatch, "two")
    snakemake_style(path)
    update(path, CONTENTS)
    assert revisions() == ["one"]
    update(path, CONTENTS | {"d": "1"})
    assert revisions() == ["one", "two"]
    write_index([path], path.parent / "index.parquet")
    assert FeatureStore(path.parent).code_revisions == ["one", "two"]
    update(path, dict.fromkeys(CONTENTS, "2"))
    assert revisions() == ["two"]


def test_rows_from_the_cache_keep_the_revision_that_made_them_and_old_ones_have_none(path, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    revised(monkeypatch, "one")
    update(path, CONTENTS, cache=cache)
    revised(monkeypatch, "two")
    other = tmp_path / "other" / "0000.zarr"
    update(other, CONTENTS, cache=cache)
    assert revisions_of(read_whole_shard(other)[0]) == ["one"]
    for part in cache.rglob("*.npz"):
        with np.load(part) as arrays:
            kept = {name: arrays[name] for name in arrays if name != "made_by"}
        np.savez(part, **kept)
    other = tmp_path / "third" / "0000.zarr"
    update(other, CONTENTS, cache=cache)
    assert revisions_of(read_whole_shard(other)[0]) == [UNKNOWN_REVISION]
    assert revisions_of({}) == [UNKNOWN_REVISION]


def test_a_shard_of_another_format_says_which_and_its_job_computes_it_anew(path, monkeypatch):
    update(path, CONTENTS)
    for module in ("shard_store", "shard_writing"):
        monkeypatch.setattr(f"workflow_scripts.lib.store.{module}.FORMAT_VERSION", 3)
    with pytest.raises(StoreDamaged, match=r"format version 2, this code reads 3\. Delete the folder and run again"):
        read_whole_shard(path)
    asked, _ = update(path, CONTENTS)
    assert asked == sorted(CONTENTS)
