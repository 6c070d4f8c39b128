"""Small copies of the moments of a report whose videos browsers do not play, the worst answers first."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.proxy_clips import is_played, write_clip
from workflow_scripts.lib.reporting.entries import Entry
from workflow_scripts.lib.reporting.shown_pictures import file_stem, moments_of
from workflow_scripts.lib.reporting.shown_videos import VideoFile
from workflow_scripts.lib.store.atomic import atomic_path

log = logging.getLogger(__name__)

MAX_SECONDS, LONGEST_S, MARGIN_S = 600.0, 30.0, 1.0
"""Of all clips of one report (19 MB), of one clip, and what is seen on both sides of a moment."""

Span = tuple[float, float]


def wanted_clips(entries: Sequence[Entry], most_s: float = MAX_SECONDS) -> tuple[dict[str, list[Span]], int]:
    """Return which parts of which video are to be played, and of how many entries some cannot be.

    Parameters
    ----------
    entries : of the report, those that matter most first
    most_s : seconds of all parts together
    """
    wanted: dict[str, list[Span]] = {}
    n_without = 0
    for entry in entries:
        known = joined = wanted.get(entry["video"], [])
        for _, (start_s, end_s) in moments_of(entry):
            last_s = min(end_s, start_s + LONGEST_S - 2 * MARGIN_S)
            joined = _with(joined, (round(max(start_s - MARGIN_S, 0.0), 1), round(last_s + MARGIN_S, 1)))
        seconds = _seconds(joined) - _seconds(known)
        if seconds > most_s:
            n_without += 1
            continue
        most_s -= seconds
        if joined:
            wanted[entry["video"]] = sorted(joined)
    return wanted, n_without


def _with(parts: Sequence[Span], new: Span) -> list[Span]:
    """Return parts and a new one, as one with each that it touches unless that is too long."""
    for old in parts:
        both = min(old[0], new[0]), max(old[1], new[1])
        if old[0] <= new[1] and new[0] <= old[1] and both[1] - both[0] <= LONGEST_S:
            return _with([part for part in parts if part is not old], both)
    return [*parts, new]


def _seconds(parts: Sequence[Span]) -> float:
    return sum(end - start for start, end in parts)


def add_clips(
    folder: Path, entries: Sequence[Entry], files: Mapping[str, VideoFile], ffmpeg: str | None
) -> tuple[dict[str, list[list[float | str]]], int]:
    """Write the clips of all videos that browsers do not play.

    Returns
    -------
    clips : video id -> start and end in seconds, and name in the folder, of each
    n_without : of how many entries there are none because there would be too many
    """
    folder.mkdir(parents=True, exist_ok=True)
    unplayed = {name: file.path for name, file in files.items() if file.path and not is_played(file.path, file.codec)}
    wanted, n_without = wanted_clips([entry for entry in entries if entry["video"] in unplayed])
    found: dict[str, list[list[float | str]]] = {}
    for video_id, parts in wanted.items():
        for start_s, end_s in parts:
            name = f"{file_stem(video_id)}_{start_s:.1f}-{end_s:.1f}.webm"
            try:
                with atomic_path(folder / name) as temporary:
                    write_clip(unplayed[video_id], temporary, start_s, end_s, ffmpeg)
            except MediaError as error:
                log.warning("no small copies: %s", error)
                break
            found.setdefault(video_id, []).append([start_s, end_s, name])
    return found, n_without
