"""Annotated durations and those of the video files: one fills in for the other, and both are compared."""

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import MissingDuration
from workflow_scripts.lib.store.feature_files import UnreadableFile, open_source
from workflow_scripts.lib.store.id_patterns import fill_pattern
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)

_SHOWN = 10
TOLERANCE_S = 1.0


def fill_durations(annotations: Annotations, manifest: Path | None) -> dict[str, str]:
    """Look up the videos without annotated duration; where the files state all durations nothing is read.

    Parameters
    ----------
    annotations : Annotations
        As a reader made them; durations are filled in.
    manifest : Path or None
        Media manifest of the dataset.

    Returns
    -------
    dict of str to str
        Media status of the videos that still have no duration, because they are missing or unreadable. The manifest
        holds such videos only if they were accepted (`on_bad_video: skip`).

    Raises
    ------
    MissingDuration
        If there is no manifest to look in, or it is about other videos.
    """
    open_rows = [row for row in annotations.videos if row["duration_s"] is None]
    if not open_rows:
        return {}
    if manifest is None:
        raise MissingDuration(
            annotations.dataset,
            f"{len(open_rows)} videos without duration, e.g. {open_rows[0]['video_id']}",
            "a duration in the annotation file, or the video",
            "Name the media manifest (--manifest), or add a duration in seconds to every entry.",
        )
    rows = read_table(manifest, ["video_id", "status", "duration_s"]).to_pylist()
    media = {row["video_id"]: row for row in rows}
    unknown = [row["video_id"] for row in open_rows if row["video_id"] not in media]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        raise MissingDuration(
            str(manifest),
            f"no row for {', '.join(unknown[:_SHOWN])}{more}",
            "a row for every annotated video",
            "Start the workflow again: it lists the videos and makes the manifest anew.",
        )
    for row in open_rows:
        row["duration_s"] = media[row["video_id"]]["duration_s"] or None
    lost = {row["video_id"]: media[row["video_id"]]["status"] for row in open_rows if row["duration_s"] is None}
    log.info("%s: durations of %d videos taken from the files", annotations.dataset, len(open_rows) - len(lost))
    return lost


def fill_from_rows(annotations: Annotations, published: Mapping[str, Any]) -> dict[str, str]:
    """Give videos without annotated duration that of their published rows: number of rows x seconds per row.

    Parameters
    ----------
    annotations : Annotations
        As a reader made them; durations are filled in where there are rows.
    published : dict
        `path`, `layout`, `key`, `id_pattern` and `times` (seconds per row) of an imported feature.

    Returns
    -------
    dict of str to str
        What is to be said of the videos that still have no duration.
    """
    rows = open_source(Path(published["path"]), published["layout"], published["key"])
    open_videos = [video for video in annotations.videos if video["duration_s"] is None]
    for video in open_videos:
        name = fill_pattern(published["id_pattern"], {"youtube_id": None, **video})
        if name and rows.digest(name):
            with contextlib.suppress(UnreadableFile):
                video["duration_s"] = len(rows.read(name)) * published["times"] or None
    lost = {video["video_id"]: "without rows" for video in open_videos if video["duration_s"] is None}
    n_filled = len(open_videos) - len(lost)
    log.info("%s: durations of %d videos told by their rows in %s", annotations.dataset, n_filled, published["path"])
    return lost


@dataclass(frozen=True)
class DurationDifference:
    """A video whose file is longer or shorter than annotated, in seconds."""

    video_id: str
    annotated_s: float
    probed_s: float


def duration_differences(
    annotated: Mapping[str, float], probed: Mapping[str, float | None]
) -> list[DurationDifference]:
    """Return the videos whose two durations differ by more than a second, and warn of them: `MediaDurationDiffers`.

    Parameters
    ----------
    annotated : video id -> annotated seconds
    probed : video id -> seconds of the file; None or absent: the file tells none

    Returns
    -------
    list of DurationDifference
        In the order of `annotated`. Such files are other cuts than the annotated ones, or their sound is longer than
        their pictures; moments near their ends are in doubt.
    """
    found = [
        DurationDifference(video_id, seconds, file_s)
        for video_id, seconds in annotated.items()
        if (file_s := probed.get(video_id)) is not None and abs(file_s - seconds) > TOLERANCE_S
    ]
    if found:
        first = "; ".join(f"{d.video_id}: annotated {d.annotated_s:.2f} s, file {d.probed_s:.2f} s" for d in found[:3])
        log.warning("MediaDurationDiffers: %d of %d videos, e.g. %s", len(found), len(annotated), first)
    return found
