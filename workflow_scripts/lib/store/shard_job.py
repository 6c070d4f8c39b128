"""Bring one shard of a feature up to date: keep what is known, compute what is missing, publish in one step."""

import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import remove_tree, sweep_leftovers
from workflow_scripts.lib.store.claims import Claims
from workflow_scripts.lib.store.digest import digest_json, file_sha256
from workflow_scripts.lib.store.gathered import FAILED, Finished, Gathered, failed, shard_rows
from workflow_scripts.lib.store.journal import Journal
from workflow_scripts.lib.store.number_formats import unfitting_value
from workflow_scripts.lib.store.parts import Part, PartFiles, Parts
from workflow_scripts.lib.store.shard_store import (
    StoreBeingRewritten,
    StoreDamaged,
    read_again,
    read_shard_index,
    revisions_of,
    videos_of_whole_shard,
)
from workflow_scripts.lib.store.shard_writing import publish_rows
from workflow_scripts.lib.versions import code_revision

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 30.0
_ASK_AGAIN_S = 2.0
"""How often a job that waits for others looks whether they are done."""
_UNFINISHED = (".journal", ".parts")
"""Beside a shard while it is made; `.parts` of releases that wrote a file per video."""

Compute = Callable[[Iterable[str]], Iterator["Computed"]]


class Wanted(NamedTuple):
    """A video (or query) that the shard must hold, with the digest of its content."""

    id: str
    digest: str


class Computed(NamedTuple):
    """What the network made of one video.

    Attributes
    ----------
    id : str
    values : float (T, D)
        D is taken from here even if T is 0.
    times : float (T, 2)
        Start and end second of every row.
    status : str
        `ok`, or another state of the video such as `no_audio`; `failed` if it could not be computed (no rows then).
    reason : str
        Why it is not `ok`.
    """

    id: str
    values: np.ndarray
    times: np.ndarray
    status: str = "ok"
    reason: str = ""


@dataclass
class ShardSummary:
    """Where the videos of a shard came from; `failed` counts those that are in the shard without rows for a fault."""

    reused: int = 0
    cached: int = 0
    computed: int = 0
    failed: int = 0
    seconds: float = 0.0


def row_key(content_digest: str, recipe: dict[str, Any], dtype: str) -> str:
    """Return the key of a video's rows: equal content, recipe and number format, equal rows."""
    return digest_json([content_digest, recipe, dtype])


def is_current(store_path: Path, wanted: Sequence[Wanted], recipe: dict[str, Any], dtype: str) -> bool:
    """Return whether a finished shard holds exactly the wanted videos; its rows are not read."""
    try:
        header, videos = read_shard_index(store_path)
        is_complete = file_sha256(store_path / "zarr.json") == header["metadata_sha256"]
    except (OSError, StoreDamaged, StoreBeingRewritten):
        return False
    keys = {video.id: row_key(video.digest, recipe, dtype) for video in wanted}
    return is_complete and {video.id: video.key for video in videos} == keys


def update_shard(
    store_path: Path,
    wanted: Sequence[Wanted],
    recipe: dict[str, Any],
    dtype: str,
    dim: int | None,
    compute: Compute,
    cache_dir: Path | None,
) -> ShardSummary:
    """Make the shard hold exactly the wanted videos.

    Parameters
    ----------
    store_path : Path
        The `.zarr` folder.
    wanted : sequence of Wanted
        All videos of the shard.
    recipe : dict
        Everything that decides the numbers; JSON.
    dtype : {"float16", "float32", "uint8"}
        How values are stored.
    dim : int or None
        Width of a row, if known before anything is computed.
    compute : callable
        Gets the ids to compute, yields each of them once, in any order. It is called only if there are some: load the
        network inside. With a cache an id that is taken is claimed: take it when its work begins, and what other jobs
        are computing meanwhile is left to them.
    cache_dir : Path or None
        Content-addressed cache of finished videos, shared and kept. Without it they are kept in `{shard}.journal`
        until the shard is published.

    Returns
    -------
    ShardSummary

    Raises
    ------
    UserError
        If values do not fit `dtype`; uint8 takes whole numbers from 0 to 255.

    Notes
    -----
    Every finished video is written before the next one is asked for, so that a kill loses the one being computed.
    A video that failed stays failed, so that a broken file does not cost a loaded network each time; a replaced file
    has another key and is computed. Failures are kept in the shard only, never in the cache: another user's run may
    well succeed.
    """
    started = time.monotonic()
    keys = {video.id: row_key(video.digest, recipe, dtype) for video in wanted}
    if len(keys) != len(wanted):
        raise UserError(f"{store_path}: a video is wanted twice in one shard; ids must be unique.")
    for leftover in sweep_leftovers(store_path.parent, store_path.name):
        log.info("removed %s, left by a process that ended early", leftover)
    summary = ShardSummary()
    with finished_parts(store_path, cache_dir) as parts, Claims(cache_dir) as claims:
        finished = _Finisher(store_path, parts)
        known = finished.known(keys, summary)
        missing = [video_id for video_id in sorted(keys) if video_id not in known]
        log.info("%s: %d videos, %d known, %d to compute", store_path.name, len(keys), len(known), len(missing))
        # Copies of a video have its rows; they are asked for themselves only if that one fails.
        candidates = sorted({keys[video_id]: video_id for video_id in reversed(missing)}.values())
        while missing:
            ids = _unclaimed(candidates, keys, parts, claims)
            for video_id, computed in _compute(ids, len(candidates), compute, np.dtype(dtype)):
                known[video_id] = finished.add(keys[video_id], computed._replace(made_by=(code_revision(),)))
                claims.release(keys[video_id])
                summary.computed += 1
            missing = [video_id for video_id in missing if video_id not in known]
            known |= (by_others := finished.by_others({video_id: keys[video_id] for video_id in missing}))
            summary.cached += len(by_others)
            candidates = missing = [video_id for video_id in missing if video_id not in known]
        width = dim or _usual_width(known)
        known = {video_id: _of_width(video, width) for video_id, video in known.items()}
        # A shard in which nothing could be computed has no width yet.
        made_by = {revision for video in known.values() for revision in video.made_by}
        publish_rows(store_path, shard_rows(known, keys, width, np.dtype(dtype)), recipe, made_by)
    for suffix in _UNFINISHED:
        remove_tree(store_path.with_suffix(suffix))
    summary.failed = sum(part.status == FAILED for part in known.values())
    summary.seconds = time.monotonic() - started
    log.info(
        "%s: done in %.1f s: %d reused, %d from the cache, %d computed; %d failed",
        *(store_path.name, summary.seconds, summary.reused, summary.cached, summary.computed, summary.failed),
    )
    return summary


def finished_parts(store_path: Path, cache_dir: Path | None) -> contextlib.AbstractContextManager[Parts]:
    """Return where finished videos are: in the cache, or in a journal of this shard."""
    if cache_dir is not None:
        return contextlib.nullcontext(PartFiles(cache_dir))
    return Journal(store_path.with_suffix(_UNFINISHED[0]))


class _Finisher:
    """Videos whose rows are there, from wherever they are."""

    def __init__(self, store_path: Path, parts: Parts) -> None:
        self._store_path, self._parts, self._gathered = store_path, parts, Gathered()

    def add(self, key: str, part: Part) -> Finished:
        """Keep the rows of a video that was computed; return it."""
        if part.status != FAILED:
            self._parts.add(key, part)
        return self._gathered(part, partial(self._read_part, key))

    def known(self, keys: Mapping[str, str], summary: ShardSummary) -> dict[str, Finished]:
        """Return the videos that need no network: from the old store, else from the cache or the journal."""
        old = self._old(set(keys.values()))
        known = {}
        for video_id, key in keys.items():
            if key in old:
                known[video_id] = old[key]
                summary.reused += 1
            elif (part := self._parts.get(key)) is not None:
                known[video_id] = self._gathered(part, partial(self._read_part, key))
                summary.cached += 1
        return known

    def by_others(self, missing: Mapping[str, str]) -> dict[str, Finished]:
        """Return what other jobs have finished; wait a little if that is nothing."""
        found = {
            video_id: self._gathered(part, partial(self._read_part, key))
            for video_id, key in missing.items()
            if (part := self._parts.get(key)) is not None
        }
        if missing and not found:
            time.sleep(_ASK_AGAIN_S)
        return found

    def _old(self, wanted: Collection[str]) -> dict[str, Finished]:
        """Return videos of the published store by key; a store that cannot be trusted counts as none."""
        path = self._store_path
        found: dict[str, Finished] = {}
        if not path.is_dir() or not any(path.iterdir()):
            return {}
        try:
            header, _ = read_shard_index(path)
            made_by = tuple(revisions_of(header))
            for video, values, times in videos_of_whole_shard(path):
                # Of copies, one that did not fail speaks for all.
                is_better = video.key not in found or found[video.key].status == FAILED
                if video.key in wanted and is_better:
                    part = Part(values, times, video.status, video.reason, made_by)
                    found[video.key] = self._gathered(part, partial(read_again, path, video, header["generation"]))
        except (StoreDamaged, StoreBeingRewritten) as error:
            log.warning("the old store is not used: %s", error)
            return {}
        return found

    def _read_part(self, key: str) -> np.ndarray:
        part = self._parts.get(key)
        if part is None:
            raise UserError(
                f"{self._store_path}: finished rows are no longer where they were kept: damaged, or a cache that was "
                "pruned meanwhile. Run again: what is missing is computed anew."
            )
        return part.values


def _unclaimed(missing: Sequence[str], keys: dict[str, str], parts: Parts, claims: Claims) -> Iterator[str]:
    """Yield the videos that nobody else is computing or has computed by now; each is claimed when it is taken."""
    for video_id in missing:
        if claims.take(keys[video_id]):
            if parts.get(keys[video_id]) is not None:
                claims.release(keys[video_id])
            else:
                yield video_id


def _compute(ids: Iterator[str], most: int, compute: Compute, dtype: np.dtype) -> Iterator[tuple[str, Part]]:
    """Yield every video once, checked, with progress in the log; without any the network stays unloaded."""
    left: set[str] = set()

    def taken() -> Iterator[str]:
        for video_id in ids:
            left.add(video_id)
            yield video_id

    first = next(given := taken(), None)
    if first is None:
        return
    started = reported = time.monotonic()
    for n_done, computed in enumerate(compute(itertools.chain([first], given)), start=1):
        if computed.id not in left:
            raise RuntimeError(f"compute gave {computed.id!r}, which was not asked for or came before")
        left.remove(computed.id)
        yield computed.id, checked(computed, dtype)
        if time.monotonic() - reported > _PROGRESS_EVERY_S and n_done < most:
            reported = time.monotonic()
            rate = n_done / (reported - started)
            log.info("%d of %d videos, %.2f/s, %.0f s left", n_done, most, rate, (most - n_done) / rate)
    if left:
        raise RuntimeError(f"compute gave nothing for {', '.join(sorted(left)[:10])}")


def checked(computed: Computed, dtype: np.dtype) -> Part:
    """Return the rows in the stored number format.

    Raises
    ------
    UserError
        If a finite value does not fit the format.
    """
    values = np.asarray(computed.values)
    times = np.asarray(computed.times, np.float32).reshape(-1, 2)
    if values.ndim != 2 or len(values) != len(times):
        raise ValueError(f"{computed.id}: rows {values.shape} and times {times.shape} do not belong together")
    if computed.status == FAILED:
        return Part(values[:0].astype(dtype), times[:0], FAILED, computed.reason)
    if not np.isfinite(values).all():
        return Part(values[:0].astype(dtype), times[:0], FAILED, "the network gave values that are not finite")
    unfitting = unfitting_value(values, dtype)
    if unfitting is not None:
        raise UserError(
            f"{computed.id}: a feature value of {unfitting:g} does not fit {dtype}. "
            "Set `store_dtype: float32` in the feature's YAML file."
        )
    return Part(values.astype(dtype), times, computed.status, computed.reason)


def _usual_width(known: Mapping[str, Finished]) -> int:
    """Return how many numbers the rows of most videos have, 0 if there are none."""
    widths = Counter(video.shape[1] for _, video in sorted(known.items()) if video.shape[1])
    return next((width for width, _ in widths.most_common(1)), 0)


def _of_width(video: Finished, width: int) -> Finished:
    """Return a video, as failed if its rows have another width."""
    if video.shape[1] in (0, width):
        return video
    return failed(video, f"wrong width: rows of {video.shape[1]} numbers, others have {width}", width)
