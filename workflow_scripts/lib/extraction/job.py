"""The part of an extraction job that is the same for every kind of encoder."""

import argparse
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.extraction.batching import Prefetch, encode_videos
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.cache import recipe_folder
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_job import Compute, Computed, Wanted, update_shard

log = logging.getLogger(__name__)


def parse_job(description: str) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse the command line that all extraction jobs share and read the settings it names."""
    parser = argparse.ArgumentParser(description=description)
    add_settings_options(parser)
    parser.add_argument("--rows-of", required=True, type=Path, help="table of what to encode (one shard)")
    parser.add_argument("--media", nargs="?", type=Path, help="media table of the shard (visual, from videos)")
    parser.add_argument("--shard", help="name of the shard (text and spoken)")
    parser.add_argument("--n-shards", type=int, help="number of shards (text and spoken)")
    parser.add_argument("--durations", type=Path, help="table of videos with their durations (transcript)")
    parser.add_argument("--store", required=True, type=Path, help="shard store to bring up to date (a .zarr folder)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    limit_threads(args.threads)
    return args, read_feature_settings(args.settings, args.key)


def limit_threads(n_threads: int) -> None:
    """Let torch and CTranslate2 use this many threads, unless the environment says otherwise.

    They read it when they are first imported, which happens only if something has to be computed.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))


def run_job(
    settings: dict[str, Any],
    store_path: Path,
    wanted: Sequence[Wanted],
    compute: Compute,
    stalls: Stalls | None = None,
) -> None:
    """Bring the shard up to date: known rows are kept, only missing ones are computed.

    Parameters
    ----------
    settings : content of a feature's settings file
    store_path : the `.zarr` folder
    wanted : all videos (or queries) of the shard
    compute : gets the ids to compute, yields each of them once
    stalls : a stopwatch, which `compute` uses too; the log then tells where the time went
    """
    cache = settings["feature_cache"]
    update_shard(
        store_path,
        wanted,
        settings["recipe"],
        dtype=settings["recipe"]["store_dtype"],
        dim=None,
        compute=compute if stalls is None else functools.partial(_watched, compute, stalls),
        cache_dir=recipe_folder(Path(cache), store_path.parent / "settings.json", settings) if cache else None,
    )
    if stalls is not None:
        stalls.enter("write")
        log.info("%s: %s", store_path.name, stalls.summary())


def _watched(compute: Compute, stalls: Stalls, missing: Iterable[str]) -> Iterator[Computed]:
    """Call `compute`; while one of its videos is outside, it is being written."""
    stalls.enter("load")
    for video in compute(missing):
        ended = stalls.enter("write")
        yield video
        stalls.enter(ended)
    stalls.enter("write")


def encode_missing(
    missing: Iterable[str],
    units_of: Callable[[str, Encoder], Iterable[np.ndarray]],
    settings: dict[str, Any],
    stalls: Stalls,
    times_of: Callable[[str], np.ndarray],
    status_of: Callable[[str], str] = lambda video_id: "ok",
) -> Iterator[Computed]:
    """Load the network and encode the units of videos; while it computes, the next ones are decoded.

    Parameters
    ----------
    missing : the videos
    units_of : id and network -> the video's units; a `UserError` makes the video `failed`
    settings : content of a feature's settings file
    stalls : the job's stopwatch
    times_of : id -> float64 (T, 2), asked when the video's rows are complete
    status_of : id -> status of a video that did not fail
    """
    runtime = settings["runtime"]
    batch_size = runtime["batch_size"]
    encoder = load_encoder(settings)
    with Prefetch(
        missing, lambda video_id: units_of(video_id, encoder), 2 * batch_size, runtime["decode_workers"]
    ) as units:
        for video_id, rows, reason in encode_videos(units, encoder.encode, batch_size, stalls):
            times = None if reason else times_of(video_id)
            yield computed_rows(video_id, rows, times, encoder.dim, reason, status_of(video_id))
        stalls.decoders_idle_s = units.idle_s


def computed_rows(
    video_id: str, rows: list[np.ndarray], times: np.ndarray | None, dim: int, reason: str | None, status: str = "ok"
) -> Computed:
    """Return the rows of a video, or none with the reason if it failed.

    Parameters
    ----------
    rows : one array per unit (frame, window or clip): float32 (D,), or (R, D) where a unit gives several rows
    times : float64 (units, 2), start and end second; rows of one unit share its time in equal parts
    """
    if reason is not None:
        return Computed(video_id, np.zeros((0, dim), np.float32), np.zeros((0, 2)), "failed", reason)
    parts = [np.asarray(row, np.float32).reshape(-1, dim) for row in rows]
    values = np.concatenate([np.zeros((0, dim), np.float32), *parts])
    return Computed(video_id, values, divided_times(times, [len(part) for part in parts]), status, "")


def divided_times(times: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Cut the stretch of each unit, (units, 2) seconds, into as many equal parts as it gives rows: (rows, 2)."""
    cuts = [np.linspace(start, end, n + 1) for (start, end), n in zip(times, counts, strict=True)]
    return np.concatenate([np.zeros((0, 2)), *(np.stack([cut[:-1], cut[1:]], axis=1) for cut in cuts)])
