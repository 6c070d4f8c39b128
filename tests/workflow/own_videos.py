"""A dataset of one's own, made for a test: short clips, a list of queries, and settings laid over `clips`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.unit.made_clips import make_clip
from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.store.feature_store import FeatureStore

MANIFEST = "clips/media/manifest.parquet"
QUERIES = "clips/annotations/queries.parquet"
MOMENTS = "clips/annotations/moments.parquet"
LIGHT_FEATURE = "rgb_histogram"
"""A feature that is extracted without torch."""
LIGHT_INDEX = f"clips/features/{LIGHT_FEATURE}/index.parquet"
SECOND_FEATURE = "rgb_copy"
"""The same by an encoder of another name, in the code of the finished run `light`."""
SECOND_INDEX = f"clips/features/{SECOND_FEATURE}/index.parquet"


def query(video: str, text: str = "a number is shown", **fields: Any) -> dict[str, Any]:
    """Return one line of a list of queries."""
    return {"video": video, "query": text, **fields}


def write_queries(workflow: Workflow, queries: Sequence[dict[str, Any]]) -> None:
    """Replace the list of queries."""
    (workflow.folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in queries))


def add_clip(workflow: Workflow, name: str) -> Path:
    """Make a clip at 10 frames per second: `a.mp4` has 30 frames, `b.mp4` 31, ..., so that no two files are equal."""
    return make_clip(workflow.folder / "videos" / name, n_frames=30 + ord(name[0]) - ord("a"))


def own_videos(
    folder: Path, queries: Sequence[dict[str, Any]], clips: Sequence[str] = ("a.mp4",), **settings: Any
) -> Workflow:
    """Return the workflow in a folder with these clips and queries.

    Parameters
    ----------
    folder : working folder, empty
    queries : lines of the list of queries
    clips : file names of the clips to make
    settings : further keys of the dataset
    """
    (folder / "videos").mkdir()
    workflow = Workflow(folder, {"datasets": {"clips": dataset(folder, **settings)}})
    write_queries(workflow, queries)
    for name in clips:
        add_clip(workflow, name)
    return workflow


def dataset(folder: Path, **settings: Any) -> dict[str, Any]:
    """Return the overrides that turn the dataset `clips` into the one in this folder; bad videos are not accepted."""
    files = {"test": str(folder / "queries.jsonl")}
    return {
        "videos": str(folder / "videos"),
        "annotations": {"files": files},
        "on_bad_video": "fail",
        "n_shards": 2,
        **settings,
    }


def light_settings(
    datasets: tuple[str, ...] = ("clips",), feature: dict | None = None, n_shards: int = 2, **root
) -> dict:
    """Settings with paths that hold in a copy of the folder too; the light feature differs in the keys of `feature`."""
    own = {
        "videos": "videos",
        "annotations": {"files": {"test": "queries.jsonl"}},
        "on_bad_video": "fail",
        "n_shards": n_shards,
        "features": {LIGHT_FEATURE: feature or {}},
    }
    return {"datasets": dict.fromkeys(datasets, own), **root}


def rows_of(workflow: Workflow, index: str = LIGHT_INDEX) -> dict[str, tuple]:
    """Return key, values and times of every video of a feature."""
    store = FeatureStore((workflow.results / index).parent)
    return {video: (store.key_of(video), store[video].values.tolist(), store[video].times.tolist()) for video in store}
