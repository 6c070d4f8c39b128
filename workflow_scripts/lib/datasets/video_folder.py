"""Which videos a dataset has and where they are, found by listing alone: cheap enough for every start of the workflow.

The workflow decides from these lists, before any job runs, which shards a change touches. Nothing is probed or decoded
here; the lists hold what `stat` tells.
"""

import itertools
import json
import logging
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.survey import Located
from workflow_scripts.lib.media.video_files import VideoFiles, known_extensions
from workflow_scripts.lib.store.atomic import json_text, write_if_changed
from workflow_scripts.lib.store.item_ids import refuse_unusable

log = logging.getLogger(__name__)

MISSING = "missing"
"""Entry of a video without file; where more is known, the reason follows after a colon."""
_UNREACHED = "unreached:"
"""Entry of a file that is a broken link or lies in a closed folder, followed by its name: the probe says which."""
_SIGNATURE = re.compile(r"\d+:\d+:(?P<name>.+)")
_THREADS, _NAMES_PER_THREAD = 16, 2_000
"""A network file system answers each question late, and many at once."""


def stat_signature(path: Path) -> str:
    """Return size, modification time and name of a file: equal means unchanged, as far as `stat` can tell."""
    found = path.stat()
    return f"{found.st_size}:{found.st_mtime_ns}:{path.name}"


def list_videos(
    folder: Path, extensions: Iterable[str], video_ids: Iterable[str], named: Iterable[str | None] | None = None
) -> dict[str, str]:
    """Return what `stat` tells of every video: its signature, or that it is missing.

    Parameters
    ----------
    folder, extensions : as of `VideoFiles`
    video_ids : the videos
    named : the file of each where the annotations name a file; None: of none
    """
    files, ids = VideoFiles(folder, extensions), list(video_ids)
    wanted = list(zip(ids, named or itertools.repeat(None), strict=False))
    found = [files.find(*video) for video in wanted]
    _warn_of_doubles([names for names in found if len(names) > 1])
    _warn_of_several_names(ids, found)
    signatures = _signatures(folder, [names[0] for names in found if names])
    missing = (_missing(files.why_not(*video)) for video, names in zip(wanted, found, strict=True) if not names)
    return {video_id: next(signatures if names else missing) for video_id, names in zip(ids, found, strict=True)}


def videos_in(folder: Path, extensions: Sequence[str]) -> list[str]:
    """Return the ids of all videos in a folder and its subfolders, in order.

    Raises
    ------
    UserError
        there is none, or names cannot be ids
    """
    found = VideoFiles(folder, extensions).every()
    if not found:
        others = other_files(folder)
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.items())
        there = f"{sum(others.values())} other files are there: {kinds}" if others else "it is empty"
        looked_for = ", ".join(f".{extension}" for extension in known_extensions(extensions))
        raise UserError(f"{folder}: no video in it; {there}. Looked for {looked_for} in it and in its subfolders")
    refuse_unusable(found, f"{folder}: names of videos")
    return sorted(found)


def other_files(folder: Path, videos: Container[str] = ()) -> dict[str, int]:
    """Return how many files of which kind are in a folder and its subfolders beside videos, the most frequent first."""
    kinds: Counter[str] = Counter()
    for place, _, names in os.walk(folder):
        below = os.path.relpath(place, folder)
        paths = names if below == "." else (f"{below}/{name}" for name in names)
        kinds.update(Path(path).suffix.lower() or "without extension" for path in paths if path not in videos)
    return dict(kinds.most_common())


def is_missing(entry: str) -> bool:
    """Return whether an entry of a list of videos says that there is no file, or none that can be reached."""
    return entry.startswith((MISSING, _UNREACHED))


def located(folder: Path, extensions: Sequence[str], entries: Mapping[str, str]) -> dict[str, Located]:
    """Return the file of every listed video.

    Parameters
    ----------
    entries : as `list_videos` gives them; a video with an entry of another form (it was made since) is
        looked for
    """
    files = None
    found = {}
    for video_id, entry in entries.items():
        signature = _SIGNATURE.fullmatch(entry)
        if signature or entry.startswith(_UNREACHED):
            found[video_id] = Located(signature["name"] if signature else entry.removeprefix(_UNREACHED))
            continue
        files = files or VideoFiles(folder, extensions)
        names = [] if is_missing(entry) else files.find(video_id)
        reason = entry.removeprefix(MISSING).removeprefix(": ")
        found[video_id] = Located(names[0]) if names else Located(None, reason or _nothing(files, video_id, extensions))
    return found


def _nothing(files: VideoFiles, video_id: str, extensions: Sequence[str]) -> str:
    near = files.nearest(video_id)
    return f"no {video_id}.({'|'.join(extensions)})" + (f"; the nearest name is {near}" if near else "")


def _missing(reason: str) -> str:
    return f"{MISSING}: {reason}" if reason else MISSING


def _signatures(folder: Path, names: Sequence[str]) -> Iterable[str]:
    # Names come from the disk: a folder in front of a usable name may be called anything.
    refuse_unusable((name for name in names if "/" in name), f"{folder}: names of videos")
    place = str(folder)
    parts = [names[start : start + _NAMES_PER_THREAD] for start in range(0, len(names), _NAMES_PER_THREAD)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return itertools.chain.from_iterable(pool.map(lambda part: [_signature(place, n) for n in part], parts))


def _signature(folder: str, name: str) -> str:
    # Plain strings: this is done for every video at every start.
    try:
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116
    except OSError:
        return f"{_UNREACHED}{name}"
    return f"{found.st_size}:{found.st_mtime_ns}:{name}"


def _warn_of_several_names(ids: Sequence[str], found: Sequence[Sequence[str]]) -> None:
    files = [names[0] for names in found if names]
    if len(set(files)) < len(files):
        twice = [file for file, count in Counter(files).items() if count > 1]
        called = [video_id for video_id, names in zip(ids, found, strict=True) if twice[0] in names[:1]]
        say = "%d files go by several names, e.g. %s by %s; call each in one way"
        log.warning(say, len(twice), twice[0], " and ".join(called))


def _warn_of_doubles(doubles: Sequence[Sequence[str]]) -> None:
    if doubles:
        used, *others = doubles[0]
        log.warning(
            "%d videos have several files, e.g. %s is used, %s is not; `extensions` of the dataset sets the order",
            len(doubles),
            used,
            ", ".join(others),
        )


@dataclass(frozen=True)
class AnnotatedVideos:
    """What the annotation files say about videos.

    Attributes
    ----------
    ids : list of str
        Sorted.
    named : list of str or None
        The file of each, where the annotations name a file.
    have_durations : bool
        Whether the files state the duration of every video.
    total_s : float
        Sum of the durations that they state, in seconds.
    splits : list of str
        The splits of the videos, in order.
    queries : dict
        Split -> number of queries.
    """

    ids: list[str]
    named: list[str | None]
    have_durations: bool
    total_s: float
    splits: list[str]
    queries: dict[str, int]

    @classmethod
    def of(cls, annotations: Annotations) -> "AnnotatedVideos":
        """Return what annotations say."""
        durations = annotations.durations()
        stated = [seconds for seconds in durations.values() if seconds is not None]
        splits = sorted({split for row in annotations.videos for split in row["split"]})
        queries = dict(Counter(row["split"] for row in annotations.queries))
        ids = sorted(durations)
        named = [annotations.files.get(video_id) for video_id in ids]
        return cls(ids, named, len(stated) == len(ids), math.fsum(stated), splits, queries)


def no_annotation_file(path: Path | str) -> str:
    """Return what is said of an annotation file that is not there."""
    return f"{path}: no such annotation file. Put it there, or change `annotations.files` in the dataset's YAML file"


def annotated_videos(
    files: Iterable[Path],
    importer: str,
    read: Callable[[], Annotations],
    cache: Path,
    only_splits: Collection[str] | None = None,
) -> AnnotatedVideos:
    """Return the annotated videos, read again only if an annotation file or the reader changed.

    Parameters
    ----------
    files : the annotation files
    importer : name and version of their reader
    read : reads them; durations may be missing
    cache : where the answer is remembered
    only_splits : the splits that are read; None: all

    Raises
    ------
    UserError
        an annotation file is missing
    """
    signatures = [importer]
    for path in files:
        if not path.is_file():
            raise UserError(no_annotation_file(path))
        signatures.append(f"{path}:{stat_signature(path)}")
    if only_splits is not None:
        signatures.append(f"only {', '.join(only_splits)}")
    if cache.is_file():
        known = json.loads(cache.read_text(encoding="utf-8"))
        # One that an earlier version wrote says less.
        if known.pop("files") == signatures and set(known) == {each.name for each in fields(AnnotatedVideos)}:
            return AnnotatedVideos(**known)
    annotations = read()
    if only_splits is not None:
        annotations.keep_splits(only_splits)
    found = AnnotatedVideos.of(annotations)
    write_if_changed(cache, json_text({"files": signatures, **asdict(found)}))
    return found
