"""Thumbnails of a report: at the middles of annotated and predicted moments, the worst answers first."""

import hashlib
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.thumbnails import thumbnails
from workflow_scripts.lib.reporting.entries import Entry
from workflow_scripts.lib.reporting.shown_videos import VideoFile
from workflow_scripts.lib.store.atomic import write_bytes

log = logging.getLogger(__name__)

MAX_PICTURES = 600
"""Of one report: 3 MB, and a minute of decoding."""


def wanted_times(entries: Sequence[Entry], most: int = MAX_PICTURES) -> tuple[dict[str, set[float]], int]:
    """Return which times of which video are to be seen, and of how many entries none could be.

    Parameters
    ----------
    entries : of the report, those that matter most first
    most : number of pictures
    """
    wanted: dict[str, set[float]] = {}
    n_wanted = n_without = 0
    for entry in entries:
        times = {middle(span) for _, span in moments_of(entry)} - wanted.get(entry["video"], set())
        if n_wanted + len(times) > most:
            n_without += 1
            continue
        n_wanted += len(times)
        wanted.setdefault(entry["video"], set()).update(times)
    return wanted, n_without


def moments_of(entry: Entry) -> list[tuple[str, tuple[float, float]]]:
    """Return start and end of what an entry is about, and what each is.

    These are the annotated moments and the seeds' first answers; of a caption the step or window that it describes.
    """
    firsts = [rows[0] for rows in entry.get("predicted", ()) if rows]
    spans = [*(("annotated", span) for span in entry.get("annotated", ())), *(("predicted", span) for span in firsts)]
    spans += [(name, entry[name]) for name in ("step", "window") if entry.get(name)]
    return [(label, (span[0], span[1])) for label, span in spans]


def middle(span: tuple[float, float]) -> float:
    """Return the time, in seconds, at which a moment is seen."""
    return round((span[0] + span[1]) / 2, 1)


def file_stem(video_id: str) -> str:
    """Return how files of a video are called: ids may hold what is no name of a file everywhere."""
    return hashlib.sha256(video_id.encode()).hexdigest()[:16]


def add_pictures(folder: Path, entries: Sequence[Entry], files: Mapping[str, VideoFile]) -> int:
    """Write the pictures of all videos that can be decoded, and give every entry its own: label, seconds, file.

    Returns
    -------
    of how many entries no picture was made because there would be too many

    Parameters
    ----------
    folder : to write into
    entries : as of `wanted_times`; changed
    files : of the videos
    """
    folder.mkdir(parents=True, exist_ok=True)
    with_file = [entry for entry in entries if entry["video"] in files and files[entry["video"]].path]
    wanted, n_without = wanted_times(with_file)
    written = {
        (video_id, time_s): name
        for video_id, times_s in wanted.items()
        for time_s, name in _written(folder, video_id, files[video_id].path, times_s)
    }
    for entry in with_file:
        # Seeds that agree need one picture.
        seen = dict.fromkeys((label, middle(span)) for label, span in moments_of(entry))
        own = [moment for moment in seen if (entry["video"], moment[1]) in written]
        if own:
            entry["pictures"] = [[label, time_s, written[entry["video"], time_s]] for label, time_s in own]
    return n_without


def _written(folder: Path, video_id: str, path: Path, times_s: Collection[float]) -> Iterator[tuple[float, str]]:
    try:
        for time_s, picture in thumbnails(path, sorted(times_s)):
            name = f"{file_stem(video_id)}_{time_s:.1f}.jpg"
            write_bytes(folder / name, picture)
            yield time_s, name
    except MediaError as error:
        log.warning("no thumbnails: %s", error)
