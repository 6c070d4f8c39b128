"""Durations that annotation files leave open, taken from the videos themselves."""

import logging
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.datasets.errors import MissingDuration
from workflow_scripts.datasets.tables import Annotations
from workflow_scripts.media.survey import survey_videos

log = logging.getLogger(__name__)

_SHOWN = 10
_PROBING_THREADS = 4


def fill_durations(annotations: Annotations, videos: Path | None, extensions: Sequence[str]) -> None:
    """Probe the videos without annotated duration; where the files state all durations nothing is looked at.

    Parameters
    ----------
    annotations : Annotations
        As a reader made them; durations are filled in.
    videos : Path or None
        Folder of the videos.
    extensions : sequence of str
        File name extensions of videos, in order of preference.

    Raises
    ------
    MissingDuration
        If there is no folder to look in, or some of the videos are missing or unreadable; all are listed.
    """
    open_rows = [row for row in annotations.videos if row["duration_s"] is None]
    if not open_rows:
        return
    if videos is None:
        raise MissingDuration(
            annotations.dataset,
            f"{len(open_rows)} videos without duration, e.g. {open_rows[0]['video_id']}",
            "a duration in the annotation file, or the video",
            "Name the folder of the videos (--videos), or add a duration in seconds to every entry.",
        )
    surveys = survey_videos(videos, [row["video_id"] for row in open_rows], extensions, _PROBING_THREADS)
    lost = [
        f"{survey.video_id}: {survey.info.status} ({survey.info.reason})"
        for survey in surveys
        if not survey.info.duration_s
    ]
    if lost:
        more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
        raise MissingDuration(
            str(videos),
            f"{len(lost)} of {len(open_rows)} videos that cannot tell their duration: {'; '.join(lost[:_SHOWN])}{more}",
            "readable videos named <video id>.<extension>",
            "Add or replace these files, give them a duration in the annotation file, or take them out of it.",
        )
    for row, survey in zip(open_rows, surveys, strict=True):
        row["duration_s"] = survey.info.duration_s
    log.info("%s: durations of %d videos taken from the files", annotations.dataset, len(open_rows))
