"""Finished records of a shard's videos, one small JSON file per key, so that only what is missing is computed."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.shard_job import FAILED, Wanted, row_key

log = logging.getLogger(__name__)

FORM = "record"
"""Stands in a key where rows have their number format."""
_PROGRESS_EVERY_S = 30.0

Record = dict[str, Any]


def update_records(
    folder: Path,
    wanted: Sequence[Wanted],
    recipe: Mapping[str, Any],
    compute: Callable[[list[str]], Iterator[tuple[str, Record]]],
    cache_dir: Path | None,
) -> dict[str, Record]:
    """Return the record of every wanted video and leave exactly those in the folder.

    Parameters
    ----------
    folder : Path
        Of this shard alone; `<key>.json` each.
    wanted : sequence of Wanted
        All videos of the shard.
    recipe : dict
        Everything that decides a record; JSON.
    compute : callable
        Gets the ids to compute, yields each of them once with its record: JSON, with a `status`. It is called only if
        there are some: load the network inside.
    cache_dir : Path or None
        Cache that several datasets or people share; looked into first, and filled.

    Notes
    -----
    Every record is on disk before the next one is asked for. A failure is kept in the folder only, and is tried again
    when the video changes.
    """
    keys = {video.id: row_key(video.digest, dict(recipe), FORM) for video in wanted}
    folder.mkdir(parents=True, exist_ok=True)
    known = {
        video_id: record for video_id, key in keys.items() if (record := _load(folder, cache_dir, key)) is not None
    }
    missing = sorted(set(keys) - set(known))
    log.info("%s: %d videos, %d known, %d to compute", folder.name, len(keys), len(known), len(missing))
    started = reported = time.monotonic()
    left = set(missing)
    for video_id, record in compute(missing) if missing else ():
        left.remove(video_id)
        known[video_id] = record
        if cache_dir is not None and record["status"] != FAILED:
            write_json(_cached(cache_dir, keys[video_id]), record)
        write_json(folder / f"{keys[video_id]}.json", record)
        if left and time.monotonic() - reported > _PROGRESS_EVERY_S:
            reported = time.monotonic()
            rate = (len(missing) - len(left)) / (reported - started)
            n_done = len(missing) - len(left)
            log.info("%d of %d videos, %.2f/s, %.0f s left", n_done, len(missing), rate, len(left) / rate)
    if left:
        raise RuntimeError(f"compute gave nothing for {', '.join(sorted(left)[:10])}")
    for path in set(folder.iterdir()) - {folder / f"{key}.json" for key in keys.values()}:
        path.unlink()
    failed = sum(record["status"] == FAILED for record in known.values())
    reused = len(known) - len(missing)
    log.info(
        "%s: done in %.1f s: %d reused, %d computed; %d failed",
        folder.name,
        time.monotonic() - started,
        reused,
        len(missing),
        failed,
    )
    return {video_id: {"key": keys[video_id], **record} for video_id, record in known.items()}


def _cached(cache_dir: Path, key: str) -> Path:
    return cache_dir / key[:2] / f"{key}.json"


def _load(folder: Path, cache_dir: Path | None, key: str) -> Record | None:
    """Return a finished record from the folder, else from the cache; a damaged file counts as none."""
    for path in (folder / f"{key}.json", *([_cached(cache_dir, key)] if cache_dir else [])):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            log.warning("%s: damaged (%s); computed again", path, error)
            continue
        if path.parent != folder:
            write_json(folder / path.name, record)
        return record
    return None
