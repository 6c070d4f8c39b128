"""The part of an extraction job that is the same for every kind of encoder."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.extraction.settings import read_settings
from workflow_scripts.store.cache import recipe_folder
from workflow_scripts.store.shard_job import Computed, Wanted, update_shard

log = logging.getLogger(__name__)


def parse_job(description: str) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse the command line that all extraction jobs share and read the settings it names."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", required=True, type=Path, help="settings.json of the feature")
    parser.add_argument("--recipe", required=True, help="digest of the recipe this job is for")
    parser.add_argument("--rows-of", required=True, type=Path, help="table of what to encode (one shard)")
    parser.add_argument("--media", type=Path, help="media manifest of the shard (visual and audio)")
    parser.add_argument("--videos", type=Path, help="folder of the videos (visual and audio)")
    parser.add_argument("--shard", help="name of the shard (text)")
    parser.add_argument("--n-shards", type=int, help="number of shards (text)")
    parser.add_argument("--store", required=True, type=Path, help="shard store to bring up to date (a .zarr folder)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    # torch reads these when it is first imported, which happens only if something has to be computed.
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    return args, read_settings(args.settings, args.recipe)


def run_job(
    settings: dict[str, Any],
    store_path: Path,
    wanted: Sequence[Wanted],
    compute: Callable[[list[str]], Iterator[Computed]],
) -> None:
    """Bring the shard up to date: known rows are kept, only missing ones are computed."""
    cache = settings["feature_cache"]
    update_shard(
        store_path,
        wanted,
        settings["recipe"],
        dtype=settings["recipe"]["store_dtype"],
        dim=None,
        compute=compute,
        cache_dir=recipe_folder(Path(cache), store_path.parent / "settings.json", settings) if cache else None,
    )


def computed_rows(
    video_id: str, rows: list[np.ndarray], times: np.ndarray, dim: int, reason: str | None, status: str = "ok"
) -> Computed:
    """Return the rows of a video, or none with the reason if it failed."""
    if reason is not None:
        return Computed(video_id, np.zeros((0, dim), np.float32), np.zeros((0, 2)), "failed", reason)
    return Computed(video_id, np.asarray(rows, np.float32).reshape(-1, dim), times, status, "")
