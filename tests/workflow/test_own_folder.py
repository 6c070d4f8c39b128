"""A folder of videos with awkward names and no annotations: one call makes it a dataset, and it may grow."""

import os
import subprocess
import sys
import unicodedata

import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

NAME = "my_videos"
FEATURE = f"{NAME}/features/rgb_histogram"
TARGETS = (f"{NAME}/media/manifest.parquet", f"{FEATURE}/index.parquet", f"{NAME}/annotations/videos.parquet")
VIDEOS = {unicodedata.normalize("NFC", "Fähre nach Rom"): "mp4", "CLIP": "TS", "it's here/c": "mkv"}
ADDED = "new one"
SHARDS = {**dict(zip(VIDEOS, (1, 0, 0), strict=True)), ADDED: 1}


def add(folder, video_id, extension, n_frames):
    """Make a video whose name is written as Apple's disks did, in decomposed characters."""
    file = folder / unicodedata.normalize("NFD", f"{video_id}.{extension}")
    file.parent.mkdir(parents=True, exist_ok=True)
    make_clip(folder / f"made.{extension.lower()}", n_frames).rename(file)


def test_a_folder_becomes_a_dataset_by_one_call_and_a_new_video_touches_its_shard_only(tmp_path):
    assert {video_id: shard_of(video_id, 2) for video_id in SHARDS} == SHARDS
    folder = tmp_path / "My Vidéos"
    for n_frames, (video_id, extension) in enumerate(VIDEOS.items(), 30):
        add(folder, video_id, extension, n_frames)
    (tmp_path / "work").mkdir()
    workflow = Workflow(tmp_path / "work", {"datasets": {NAME: {"n_shards": 2}}})
    code = workflow.copy_code()
    made = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.init", "../../My Vidéos"], cwd=code, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    assert f"{folder}: 3 videos, 9 seconds" in made.stdout
    assert f"snakemake results/{NAME}/" in made.stdout

    workflow.finish(*TARGETS)
    manifest = {row["video_id"]: row for row in read_table(workflow.results / TARGETS[0]).to_pylist()}
    assert {video_id: row["status"] for video_id, row in manifest.items()} == dict.fromkeys(VIDEOS, "ok")
    assert all(os.path.exists(folder / row["path"]) for row in manifest.values())  # noqa: PTH110
    videos = read_table(workflow.results / TARGETS[2]).to_pylist()
    assert {row["video_id"]: (row["duration_s"], row["split"]) for row in videos} == {
        video_id: (pytest.approx(n_frames / 10), ["test"]) for n_frames, video_id in enumerate(VIDEOS, 30)
    }
    assert sorted(FeatureStore(workflow.results / FEATURE)) == sorted(VIDEOS)
    assert workflow.run(*TARGETS).is_nothing_to_do

    add(folder, ADDED, "MOV", 40)
    grown = workflow.finish(*TARGETS)
    shards = [path for path in grown.outputs if path.startswith(("media/0", "frames/", "features/"))]
    assert [path for path in shards if "/0000" in path] == []
    assert {"media/0001.parquet", "features/rgb_histogram/0001.zarr/zarr.json"} <= set(shards)
    assert workflow.reused_and_computed(NAME, "rgb_histogram")["0001"] == (1, 1)
    assert sorted(FeatureStore(workflow.results / FEATURE)) == sorted(SHARDS)
