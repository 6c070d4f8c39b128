"""Features of images in folders instead of video files, by real Snakemake."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.workflow.own_videos import own_videos, query
from workflow_scripts.lib.store.feature_store import FeatureStore

pytestmark = pytest.mark.workflow

FEATURE = "i3d_flow_tiny"
INDEX = f"clips/features/{FEATURE}/index.parquet"
N_FRAMES = {"a": 40, "b": 48, "c": 32}


def write_flow(folder, n_frames, seed):
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (n_frames, 2, 48, 64), np.uint8)
    for number, pair in enumerate(pixels, 1):
        for side, plane in zip("xy", pair, strict=True):
            Image.fromarray(plane).save(folder / f"flow_{side}_{number:05d}.jpg")


@pytest.fixture
def workflow(tmp_path):
    """Three videos with their flow, of which `c` has no video file; one shard."""
    found = own_videos(
        tmp_path, [query(f"{name}.mp4") for name in "abc"], ["a.mp4", "b.mp4"], on_bad_video="skip", n_shards=1
    )
    for seed, (name, n_frames) in enumerate(N_FRAMES.items()):
        write_flow(tmp_path / "flow" / name, n_frames, seed)
    return found


def test_flow_images_become_rows_and_only_what_changed_is_computed_again(workflow):
    flow = workflow.folder / "flow"
    workflow.finish(INDEX)
    store = FeatureStore(workflow.results / f"clips/features/{FEATURE}")
    before = {name: store[name].values for name in N_FRAMES}
    # 16 of 10 per second to a row; the last image is never used and the last window is moved back.
    assert {name: len(values) for name, values in before.items()} == {"a": 3, "b": 3, "c": 2}
    assert store["b"].times[0].tolist() == pytest.approx([0.0, 1.6])
    assert store.dim == 64
    assert workflow.plan(INDEX).is_nothing_to_do

    shutil.rmtree(flow / "b")
    write_flow(flow / "b", 40, seed=7)
    (flow / "c" / "flow_y_00012.jpg").unlink()
    again = workflow.finish(INDEX)
    assert again.rules["extract_visual"] == 1
    assert workflow.reused_and_computed("clips", FEATURE)["0000"] == (1, 2)
    store = FeatureStore(workflow.results / f"clips/features/{FEATURE}")
    assert np.array_equal(store["a"].values, before["a"])
    assert not np.array_equal(store["b"].values, before["b"])
    assert store["c"].status == "failed"
    assert "flow_x_00012.jpg has no partner" in store["c"].reason


def test_a_wrong_folder_is_one_clear_message(workflow):
    shutil.rmtree(workflow.folder / "flow")
    run = workflow.run(INDEX)
    assert run.status != 0
    assert "images.path: flow holds no folder that is called as a video" in run.output
    assert "Traceback" not in run.output
