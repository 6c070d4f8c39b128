"""Several shards in one job: what runs, what runs again, and that the rows are those of a job per shard."""

import json
import re
import shutil

import pytest

from tests.workflow.own_videos import (
    LIGHT_FEATURE,
    LIGHT_INDEX,
    add_clip,
    light_settings,
    own_videos,
    query,
    rows_of,
    write_queries,
)
from workflow_scripts.lib.store.batches import shards_in
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.verification import verify_feature

pytestmark = pytest.mark.workflow

N_SHARDS = 5
NAMES = "abcdefghij"
BATCHES = ["0000-0001.json", "0002-0003.json", "0004-0004.json"]


def in_batches(size: int | None) -> dict:
    return light_settings(feature={"runtime": {"shards_per_job": size}}, n_shards=N_SHARDS)


def batches_made(run) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in run.outputs if "/batches/" in path)


def test_shards_of_one_job(tmp_path):
    """From a job per shard to batches, and on: a shard that is added to, lost or damaged starts its batch alone."""
    shards = {name: f"{shard_of(name, N_SHARDS):04d}" for name in NAMES}
    assert set(shards.values()) == {f"{number:04d}" for number in range(N_SHARDS)}
    workflow = own_videos(tmp_path, [query(f"{name}.mp4") for name in NAMES[:-1]], [f"{n}.mp4" for n in NAMES[:-1]])
    workflow.with_config(in_batches(None)).finish(LIGHT_INDEX)
    root, alone = (workflow.results / LIGHT_INDEX).parent, rows_of(workflow)

    # Other names of jobs, the same rows: the network is not asked for any.
    workflow = workflow.with_config(in_batches(2))
    made = workflow.finish(LIGHT_INDEX)
    assert batches_made(made) == BATCHES
    assert made.rules == {"extract_visual_batch": 3, "index_features": 1}
    assert rows_of(workflow) == alone
    assert workflow.plan(LIGHT_INDEX).is_nothing_to_do

    add_clip(workflow, f"{NAMES[-1]}.mp4")
    write_queries(workflow, [query(f"{name}.mp4") for name in NAMES])
    touched = shards[NAMES[-1]]
    before = {path.parent.stem: path.stat().st_mtime_ns for path in root.glob("*.zarr/zarr.json")}
    added = workflow.finish(LIGHT_INDEX)
    [batch] = batches_made(added)
    assert touched in shards_in(batch.removesuffix(".json"))
    after = {path.parent.stem: path.stat().st_mtime_ns for path in root.glob("*.zarr/zarr.json")}
    assert [shard for shard in after if after[shard] != before[shard]] == [touched]
    log = (workflow.results / f"clips/logs/{LIGHT_FEATURE}/{batch[:-5]}.log").read_text()
    assert "1 computed" in log
    assert f"{batch.removesuffix('.json')}: 2 of 2 shards" in log
    assert len(re.findall("s in all: read", log)) == 1

    whole = rows_of(workflow)
    assert whole.keys() == set(NAMES)
    shutil.rmtree(root / "0001.zarr")
    lost = workflow.finish(LIGHT_INDEX)
    assert set(batches_made(lost)) >= {BATCHES[0]}
    assert workflow.plan(LIGHT_INDEX).is_nothing_to_do
    assert rows_of(workflow) == whole

    chunk = root / "0004.zarr/features/c/0/0"
    chunk.write_bytes(bytes(reversed(chunk.read_bytes())))
    repaired = workflow.store_command("repair", f"clips/{LIGHT_FEATURE}", "--run", *workflow.options)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert verify_feature(root).problems == []
    assert rows_of(workflow) == whole
    marker = json.loads((root / "batches/0004-0004.json").read_text())
    assert list(marker["shards"]) == ["0004"]
