"""Which videos a dataset has and where they are, found by listing alone: cheap enough for every start of the workflow.

The workflow decides from these lists, before any job runs, which shards a change touches. Nothing is probed or decoded
here; the lists hold what `stat` tells.
"""

import itertools
import json
import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.survey import video_files
from workflow_scripts.lib.store.atomic import json_text, write_if_changed

MISSING = "missing"
_THREADS, _IDS_PER_THREAD = 16, 2_000
"""A network file system answers each question late, and many at once."""


def stat_signature(path: Path) -> str:
    """Return size, modification time and name of a file: equal means unchanged, as far as `stat` can tell."""
    found = path.stat()
    return f"{found.st_size}:{found.st_mtime_ns}:{path.name}"


def list_videos(folder: Path, extensions: Iterable[str], video_ids: Iterable[str]) -> dict[str, str]:
    """Return what `stat` tells of every video: its signature, or `missing`."""
    files, ids, place = video_files(folder, extensions), list(video_ids), str(folder)

    def signatures(part: list[str]) -> list[str]:
        return [_signature_or_missing(place, files[video_id][0]) if video_id in files else MISSING for video_id in part]

    parts = [ids[start : start + _IDS_PER_THREAD] for start in range(0, len(ids), _IDS_PER_THREAD)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(ids, itertools.chain.from_iterable(pool.map(signatures, parts)), strict=True))


def _signature_or_missing(folder: str, name: str) -> str:
    # Plain strings: this is done for every video at every start.
    try:
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116
    except OSError:
        # A broken link, or one into a closed folder: the probe says which.
        return MISSING
    return f"{found.st_size}:{found.st_mtime_ns}:{name}"


@dataclass(frozen=True)
class AnnotatedVideos:
    """What the annotation files say about videos.

    Attributes
    ----------
    ids : list of str
        Sorted.
    have_durations : bool
        Whether the files state the duration of every video.
    total_s : float
        Sum of the durations that they state, in seconds.
    splits : list of str
        The splits of the videos, in order.
    """

    ids: list[str]
    have_durations: bool
    total_s: float
    splits: list[str]

    @classmethod
    def of(cls, videos: Iterable[Mapping[str, Any]]) -> "AnnotatedVideos":
        """Return what rows of the canonical table say."""
        durations = {row["video_id"]: row["duration_s"] for row in videos}
        stated = [seconds for seconds in durations.values() if seconds is not None]
        splits = sorted({split for row in videos for split in row["split"]})
        return cls(sorted(durations), len(stated) == len(durations), math.fsum(stated), splits)


def annotated_videos(
    files: Iterable[Path],
    read_videos: Callable[[], list[dict[str, Any]]],
    cache: Path,
    only_splits: Collection[str] | None = None,
) -> AnnotatedVideos:
    """Return the annotated videos, read again only if an annotation file changed.

    Parameters
    ----------
    files : the annotation files
    read_videos : reads them; rows of the canonical table of videos
    cache : where the answer is remembered
    only_splits : the splits that are read; None: all

    Raises
    ------
    UserError
        an annotation file is missing
    """
    signatures = []
    for path in files:
        if not path.is_file():
            remedy = "Put it there, or change `annotations.files` in the dataset's YAML file"
            raise UserError(f"{path}: no such annotation file. {remedy}")
        signatures.append(f"{path}:{stat_signature(path)}")
    if only_splits is not None:
        signatures.append(f"only {', '.join(only_splits)}")
    if cache.is_file():
        known = json.loads(cache.read_text(encoding="utf-8"))
        # One that an earlier version wrote says less.
        if known.pop("files") == signatures and set(known) == {each.name for each in fields(AnnotatedVideos)}:
            return AnnotatedVideos(**known)
    found = AnnotatedVideos.of(read_videos())
    write_if_changed(cache, json_text({"files": signatures, **asdict(found)}))
    return found
