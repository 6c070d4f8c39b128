"""The part of an extraction job that is the same for every kind of encoder."""

import argparse
import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.encoders.interface import Encoder
from workflow_scripts.lib.extraction.batching import Prefetch, encode_videos
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.store.batches import shards_in, stores_in, write_marker
from workflow_scripts.lib.store.cache import recipe_folder
from workflow_scripts.lib.store.settings_files import add_settings_options
from workflow_scripts.lib.store.shard_job import Compute, Computed, Wanted, is_current, update_shard
from workflow_scripts.lib.store.shards import shard_of
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)


def parse_job(description: str) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Parse the command line that all extraction jobs share and read the settings it names."""
    parser = argparse.ArgumentParser(description=description)
    add_settings_options(parser)
    parser.add_argument(
        "--rows-of",
        required=True,
        nargs="+",
        type=Path,
        help="table of what to encode, one per shard (or of all: text)",
    )
    parser.add_argument("--media", nargs="*", type=Path, help="media table of every shard (visual, from videos)")
    parser.add_argument("--shard", help="name of the shard or batch (text and spoken)")
    parser.add_argument("--n-shards", type=int, help="number of shards (text and spoken)")
    parser.add_argument("--durations", type=Path, help="table of videos with their durations (transcript)")
    parser.add_argument(
        "--store",
        required=True,
        type=Path,
        help="shard store to bring up to date (a .zarr folder), or several: 0008-0011.zarr, with a file below batches/ "
        "that says that they are complete",
    )
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args()
    limit_threads(args.threads)
    return args, read_feature_settings(args.settings, args.key)


def tables_of_shards(paths: Sequence[Path], columns: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Return the rows of the table of every shard."""
    return [read_table(path, list(columns)).to_pylist() for path in paths]


def queries_of_shards(args: argparse.Namespace, columns: Sequence[str], modality: str) -> list[list[dict[str, Any]]]:
    """Return the queries of a modality that belong to every shard: those of its videos."""
    shards = [int(shard) for shard in shards_in(args.shard)]
    found: dict[int, list[dict[str, Any]]] = {shard: [] for shard in shards}
    [queries] = tables_of_shards(args.rows_of, columns)
    for row in queries:
        own = found.get(shard_of(row["video_id"], args.n_shards))
        if own is not None and row["modality"] == modality:
            own.append(row)
    return [found[shard] for shard in shards]


def limit_threads(n_threads: int) -> None:
    """Let torch and CTranslate2 use this many threads, unless the environment says otherwise.

    They read it when they are first imported, which happens only if something has to be computed.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(n_threads))


def run_jobs(
    settings: dict[str, Any],
    store_path: Path,
    wanted: Sequence[Sequence[Wanted]],
    compute: Compute,
    stalls: Stalls | None = None,
) -> None:
    """Bring the shards of a job up to date one after the other, as `run_job` does; those that are so are left alone.

    Parameters
    ----------
    store_path : the `.zarr` folder, or the name of a batch of them (`store.batches`)
    wanted : all videos (or queries) of every shard
    """
    stores = stores_in(store_path)
    if stores == [store_path]:
        run_job(settings, store_path, wanted[0], compute, stalls)
        return
    for number, (path, own) in enumerate(zip(stores, wanted, strict=True), 1):
        update_if_needed(settings, path, own, compute, stalls)
        log.info("%s: %d of %d shards", store_path.stem, number, len(stores))
    write_marker(store_path)
    if stalls is not None:
        stalls.tell(store_path.stem)


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
    _bring_up_to_date(settings, store_path, wanted, compute, stalls)
    if stalls is not None:
        stalls.tell(store_path.name)


def update_if_needed(
    settings: dict[str, Any], store_path: Path, wanted: Sequence[Wanted], compute: Compute, stalls: Stalls | None
) -> None:
    """Bring one of several shards up to date, unless it is."""
    if is_current(store_path, wanted, settings["recipe"], settings["recipe"]["store_dtype"]):
        log.info("%s: nothing to do", store_path.name)
    else:
        _bring_up_to_date(settings, store_path, wanted, compute, stalls)


def _bring_up_to_date(
    settings: dict[str, Any], store_path: Path, wanted: Sequence[Wanted], compute: Compute, stalls: Stalls | None
) -> None:
    update_shard(
        store_path,
        wanted,
        settings["recipe"],
        dtype=settings["recipe"]["store_dtype"],
        dim=None,
        compute=compute if stalls is None else functools.partial(_watched, compute, stalls),
        cache_dir=cache_folder(settings, store_path),
    )


def cache_folder(settings: dict[str, Any], store_path: Path) -> Path | None:
    """Return where a shared cache keeps finished videos of a feature; None without one."""
    cache = settings["feature_cache"]
    return recipe_folder(Path(cache), store_path.parent / "settings.json", settings) if cache else None


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
    load: Callable[[], Encoder],
    runtime: Mapping[str, Any],
    stalls: Stalls,
    times_of: Callable[[str], np.ndarray],
    status_of: Callable[[str], str] = lambda video_id: "ok",
) -> Iterator[Computed]:
    """Load the network, and encode the units of videos; while it computes, the next ones are decoded.

    Parameters
    ----------
    missing : the videos
    units_of : id and network -> the video's units; a `UserError` makes the video `failed`
    load : gives the network
    runtime : of a feature's settings file
    stalls : the job's stopwatch
    times_of : id -> float64 (T, 2), asked when the video's rows are complete
    status_of : id -> status of a video that did not fail
    """
    batch_size, encoder = runtime["batch_size"], load()
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
    if len(times) == len(counts) and set(counts) == {1}:
        return np.asarray(times, np.float64)
    cuts = [np.linspace(start, end, n + 1) for (start, end), n in zip(times, counts, strict=True)]
    return np.concatenate([np.zeros((0, 2)), *(np.stack([cut[:-1], cut[1:]], axis=1) for cut in cuts)])
