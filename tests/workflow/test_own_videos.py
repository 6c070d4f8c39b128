"""One's own folder of videos over time: videos are added, replaced and taken away; a feature needs no torch here."""

import os

import pytest

from tests.unit.made_clips import make_clip
from tests.workflow.own_videos import LIGHT_FEATURE, LIGHT_INDEX, QUERIES, add_clip, own_videos, query, write_queries
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.tables import read_table

pytestmark = pytest.mark.workflow

SHARDS = {"a": 0, "b": 0, "c": 1, "d": 1}


def names_of(workflow):
    return sorted(FeatureStore((workflow.results / LIGHT_INDEX).parent))


def test_a_change_of_the_videos_touches_their_shards_only(tmp_path):
    assert {name: shard_of(name, 2) for name in SHARDS} == SHARDS
    queries = {name: query(f"{name}.mp4") for name in SHARDS}
    workflow = own_videos(tmp_path, [queries["a"], queries["c"]], ["a.mp4", "c.mp4"])
    workflow.finish(LIGHT_INDEX, QUERIES)

    add_clip(workflow, "b.mp4")
    write_queries(workflow, [queries["a"], queries["b"], queries["c"]])
    added = workflow.finish(LIGHT_INDEX, QUERIES)
    assert [path for path in added.outputs if path.endswith("zarr.json")] == [
        f"features/{LIGHT_FEATURE}/0000.zarr/zarr.json"
    ]
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE)["0000"] == (1, 1)
    assert names_of(workflow) == ["a", "b", "c"]

    os.utime(tmp_path / "videos/c.mp4")
    touched = workflow.finish(LIGHT_INDEX)
    assert touched.rules["extract_visual"] == 1
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE)["0001"] == (1, 0)

    make_clip(tmp_path / "videos/a.mp4", n_frames=50)
    replaced = workflow.finish(LIGHT_INDEX, QUERIES)
    assert replaced.rules["extract_visual"] == 1
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE)["0000"] == (1, 1)
    videos = read_table(workflow.results / "clips/annotations/videos.parquet").to_pylist()
    assert {row["video_id"]: row["duration_s"] for row in videos} == {"a": 5.0, "b": 3.1, "c": 3.2}

    write_queries(workflow, [queries["b"], queries["c"]])
    removed = workflow.finish(LIGHT_INDEX)
    assert removed.rules["extract_visual"] == 1
    assert workflow.reused_and_computed("clips", LIGHT_FEATURE)["0000"] == (1, 0)
    assert names_of(workflow) == ["b", "c"]
    workflow.finish(LIGHT_INDEX, QUERIES)
    assert workflow.finish(LIGHT_INDEX, QUERIES).is_nothing_to_do


def test_a_video_that_was_skipped_comes_back_with_its_queries_once_it_is_there(tmp_path):
    workflow = own_videos(tmp_path, [query("a.mp4"), query("b.mp4")], on_bad_video="skip")
    workflow.finish(LIGHT_INDEX, QUERIES)
    assert [row["video_id"] for row in read_table(workflow.results / QUERIES).to_pylist()] == ["a"]
    add_clip(workflow, "b.mp4")
    workflow.finish(LIGHT_INDEX, QUERIES)
    assert [row["video_id"] for row in read_table(workflow.results / QUERIES).to_pylist()] == ["a", "b"]
    assert names_of(workflow) == ["a", "b"]
    assert not (workflow.results / "clips/media/problems.tsv").exists()
