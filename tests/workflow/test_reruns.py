"""What runs again after a change, and what does not; a feature that needs no torch, on real Snakemake."""

import contextlib
import itertools
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import (
    LIGHT_FEATURE,
    LIGHT_INDEX,
    QUERIES,
    SECOND_FEATURE,
    SECOND_INDEX,
    light_settings,
    own_videos,
    query,
)
from tests.workflow.run_snakemake import Workflow, wait_for_end
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shard_store import StoreDamaged, read_whole_shard
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.verification import verify_feature

pytestmark = pytest.mark.workflow

OTHERS_INDEX = LIGHT_INDEX.replace("clips", "others")
INDICES = (LIGHT_INDEX, SECOND_INDEX)
ALL_KEPT = {"0000": (2, 0), "0001": (2, 0)}
ALL_COMPUTED = {"0000": (0, 2), "0001": (0, 2)}
ENCODERS = "models/encoders"
BENCHMARKS = f"clips/benchmarks/{LIGHT_FEATURE}"


def rows_of(workflow: Workflow, index: str = LIGHT_INDEX) -> dict:
    """Return key, values, times and status of every video."""
    store = FeatureStore((workflow.results / index).parent)
    return {video: (store.key_of(video), *store[video]) for video in store}


def assert_same_rows(found: dict, expected: dict) -> None:
    """Equal ids, keys, rows, times and statuses; values within one float16 unit in the last place."""
    assert list(found) == list(expected)
    for video, (key, values, times, *status) in expected.items():
        found_key, found_values, found_times, *found_status = found[video]
        assert (found_key, found_status) == (key, status)
        assert np.array_equal(found_times, times)
        assert found_values.shape == values.shape
        ulp = np.spacing(np.abs(values).astype(np.float16)).astype(np.float32)
        assert np.all(np.abs(found_values - values) <= ulp)


def contents(workflow: Workflow) -> dict[Path, tuple[int, bytes]]:
    """Return modification time and content of all results."""
    files = [path for path in workflow.results.rglob("*") if path.is_file()]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def extraction_jobs(run) -> list[str]:
    """Return feature and shard of the extraction jobs of a call."""
    return [path.removeprefix("features/")[: -len(".zarr/zarr.json")] for path in run.outputs if "zarr.json" in path]


def test_what_decides_no_row_starts_no_job(light, tmp_path):
    runtime = {"batch_size": 1, "threads": 2, "mem_mb": 900}
    elsewhere = {"device": "cpu", "paths": {"feature_cache": "cache"}}
    workflow = light.copy(tmp_path, light_settings(feature={"runtime": runtime}, **elsewhere))
    encoder = workflow.code / ENCODERS / "rgb_histogram.py"
    encoder.write_text("# Whatever is said about the code.\n" + encoder.read_text().replace('"""Colour', '"""A colour'))
    for path in workflow.folder.rglob("*"):
        if path.is_file() and not path.is_relative_to(workflow.folder / "videos") and ".snakemake" not in path.parts:
            os.utime(path)
    assert workflow.finish(*INDICES, QUERIES).is_nothing_to_do
    assert_same_rows(rows_of(workflow), rows_of(light.workflow))


def test_another_recipe_or_version_of_one_encoder_computes_that_feature_alone(light, tmp_path):
    workflow = light.copy(tmp_path, light_settings(feature={"params": {"bins": 8}}))
    coarse = workflow.finish(*INDICES)
    assert extraction_jobs(coarse) == [f"{LIGHT_FEATURE}/0000", f"{LIGHT_FEATURE}/0001"]
    assert set(coarse.rules) == {"extract_visual", "index_features"}
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE) == ALL_COMPUTED
    assert FeatureStore((workflow.results / LIGHT_INDEX).parent).dim == 3 * 8

    module = workflow.code / ENCODERS / f"{SECOND_FEATURE}.py"
    recoded = module.read_text().replace("RECIPE_VERSION = 1", "RECIPE_VERSION = 2").replace("/ pixels.size", "/ 2")
    module.write_text(recoded)
    again = workflow.finish(*INDICES)
    assert extraction_jobs(again) == [f"{SECOND_FEATURE}/0000", f"{SECOND_FEATURE}/0001"]
    assert workflow.reused_and_computed("clips", SECOND_FEATURE) == ALL_COMPUTED
    assert rows_of(workflow, SECOND_INDEX)["a"][1].max() > 1


def test_a_file_of_another_split_is_imported_and_nothing_else_starts(light, tmp_path):
    settings = light_settings()
    settings["datasets"]["clips"]["annotations"]["files"]["val"] = "more.jsonl"
    workflow = light.copy(tmp_path, settings)
    shutil.copy(workflow.folder / "queries.jsonl", workflow.folder / "more.jsonl")
    assert workflow.plan(*INDICES, QUERIES).rules == {"import_annotations": 1}


def test_a_video_encoded_anew_is_computed_alone(light, tmp_path):
    workflow = light.copy(tmp_path)
    make_clip(workflow.folder / "videos/c.mp4", n_frames=32, options={"movflags": "+faststart"})
    again = workflow.finish(*INDICES)
    assert extraction_jobs(again) == [f"{SECOND_FEATURE}/0001", f"{LIGHT_FEATURE}/0001"]
    for feature in (LIGHT_FEATURE, SECOND_FEATURE):
        assert workflow.reused_and_computed("clips", feature)["0001"] == (1, 1)
    keys, before = ({video: row[0] for video, row in rows_of(w).items()} for w in (workflow, light.workflow))
    assert [video for video in keys if keys[video] != before[video]] == ["c"]
    assert workflow.finish(*INDICES).is_nothing_to_do


def test_a_deleted_shard_is_made_again_and_a_damaged_one_is_named_and_repaired_by_one_command(light, tmp_path):
    workflow = light.copy(tmp_path)
    root = (workflow.results / LIGHT_INDEX).parent
    for _ in range(2):
        shutil.rmtree(root / "0001.zarr")
        before = contents(workflow)
        assert [extraction_jobs(workflow.plan(*INDICES)) for _ in range(2)] == [[f"{LIGHT_FEATURE}/0001"]] * 2
        assert contents(workflow) == before
        again = workflow.finish(*INDICES)
        assert extraction_jobs(again) == [f"{LIGHT_FEATURE}/0001"]
        assert workflow.plan(*INDICES).is_nothing_to_do
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE) == {"0000": (0, 2), "0001": (0, 2)}
    assert_same_rows(rows_of(workflow), rows_of(light.workflow))

    chunk = root / "0000.zarr/features/c/0/0"
    data = bytearray(chunk.read_bytes())
    data[10] ^= 0x10
    chunk.write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"0000\.zarr: damaged .* `python -m workflow_scripts\.store repair "):
        FeatureStore(root)["a"]
    named = workflow.store_command("verify", f"clips/{LIGHT_FEATURE}")
    assert (named.returncode, "0000.zarr\ta\t" in named.stdout) == (1, True)
    repaired = workflow.store_command("repair", f"clips/{LIGHT_FEATURE}", "--run", *workflow.options)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert verify_feature(root).problems == []
    assert_same_rows(rows_of(workflow), rows_of(light.workflow))
    kept, computed = workflow.reused_and_computed("clips", LIGHT_FEATURE)["0000"]
    assert computed >= 1
    assert kept + computed == 2


def test_a_second_dataset_with_the_same_videos_computes_nothing(light, tmp_path):
    cache = {"paths": {"feature_cache": "cache"}}
    workflow = light.copy(tmp_path, light_settings(**cache))
    shutil.rmtree((workflow.results / LIGHT_INDEX).parent)
    workflow.finish(LIGHT_INDEX)
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE) == ALL_COMPUTED
    shutil.copy(workflow.code / "config/datasets/clips.yaml", workflow.code / "config/datasets/others.yaml")
    workflow.with_config(light_settings(("clips", "others"), **cache)).finish(OTHERS_INDEX)
    assert workflow.reused_and_computed("others", LIGHT_FEATURE) == ALL_KEPT
    assert_same_rows(rows_of(workflow, OTHERS_INDEX), rows_of(light.workflow))


# Killed workers

N_KILLS = 10
N_SHARDS = 5
CLIPS_PER_SHARD = 4
WORKER = "workflow_scripts.extract_visual"


class Killer(threading.Thread):
    """Kills the worker of each shard, once, at a random moment of its life; to be used as a context."""

    def __init__(self, session: int, rng: np.random.Generator, worker_s: float, at_most: int) -> None:
        super().__init__()
        self.session, self.rng, self.worker_s, self.at_most = session, rng, worker_s, at_most
        self.killed: set[str] = set()
        self._moments: dict[str, float] = {}
        self._is_over = threading.Event()

    def __enter__(self) -> "Killer":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._is_over.set()
        self.join()

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            for shard, pid in self._workers():
                moment = self._moments.setdefault(shard, time.monotonic() + self.rng.uniform(0, self.worker_s))
                is_due = shard not in self.killed and time.monotonic() >= moment
                if is_due and len(self.killed) < self.at_most:
                    os.kill(pid, signal.SIGKILL)
                    self.killed.add(shard)

    def _workers(self) -> Iterator[tuple[str, int]]:
        """Yield shard and id of the extraction processes that the session's Snakemake started."""
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                words = (folder / "cmdline").read_text().split("\0")
                session = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[3])
                if session == self.session and WORKER in words:
                    yield Path(words[words.index("--store") + 1]).stem, int(folder.name)


def clips_of_every_shard() -> list[str]:
    """Return names of clips, as many of every shard."""
    names = (f"v{number}" for number in itertools.count())
    home: dict[int, list[str]] = {shard: [] for shard in range(N_SHARDS)}
    while any(len(found) < CLIPS_PER_SHARD for found in home.values()):
        name = next(names)
        home[shard_of(name, N_SHARDS)].append(name)
    return [name for found in home.values() for name in found[:CLIPS_PER_SHARD]]


def test_workers_killed_at_ten_random_moments_change_nothing_in_the_end(tmp_path):
    names = clips_of_every_shard()
    workflow = own_videos(tmp_path, [query(f"{name}.mp4") for name in names], [], n_shards=N_SHARDS)
    for number, name in enumerate(names):
        make_clip(tmp_path / f"videos/{name}.mp4", n_frames=100 + number)
    workflow.finish(LIGHT_INDEX)
    undisturbed, root = rows_of(workflow), (workflow.results / LIGHT_INDEX).parent
    lives = [float(path.read_text().split()[10]) for path in (workflow.results / BENCHMARKS).iterdir()]
    shutil.rmtree(root)

    rng, n_killed = np.random.default_rng(0), 0
    while n_killed < N_KILLS:
        process = workflow.start(LIGHT_INDEX)
        with Killer(process.pid, rng, max(lives), N_KILLS - n_killed) as killer:
            run = wait_for_end(process)
        n_killed += len(killer.killed)
        assert (run.status != 0) == bool(killer.killed), run.output
        for path in root.glob("*.zarr/zarr.json"):
            assert path.parent.stem not in killer.killed or len(read_whole_shard(path.parent)[1].videos)
        if not killer.killed:
            shutil.rmtree(root)
    workflow.finish(LIGHT_INDEX)
    assert_same_rows(rows_of(workflow), undisturbed)
    assert verify_feature(root).problems == []
    assert [path for path in root.iterdir() if ".journal" in path.name or ".tmp-" in path.name] == []
