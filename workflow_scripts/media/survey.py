"""Find and probe many videos."""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.errors import UserError
from workflow_scripts.media.probe import MediaInfo, probe

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 30.0


@dataclass(frozen=True)
class Survey:
    """One video of a dataset: where it is and what the probe found.

    Attributes
    ----------
    video_id : str
    path : str or None
        File name inside the folder of videos; None if there is none.
    n_bytes, mtime_ns : int or None
        What `stat` tells.
    info : MediaInfo
    """

    video_id: str
    path: str | None
    n_bytes: int | None
    mtime_ns: int | None
    info: MediaInfo


def find_video(folder: Path, video_id: str, extensions: Iterable[str]) -> Path | None:
    """Return `{video_id}.{extension}` for the first extension that exists, else None.

    A link exists even if it is broken or leads to where this user may not look.
    """
    candidates = (folder / f"{video_id}.{extension}" for extension in extensions)
    return next((path for path in candidates if os.path.lexists(path)), None)


def survey_videos(folder: Path, video_ids: Sequence[str], extensions: Sequence[str], jobs: int) -> list[Survey]:
    """Find and probe videos.

    Parameters
    ----------
    folder : Path
        Where the videos are.
    video_ids : sequence of str
        Which ones.
    extensions : sequence of str
        File name extensions without the dot, in order of preference.
    jobs : int
        Number of threads.

    Returns
    -------
    list of Survey
        In the order of `video_ids`.

    Raises
    ------
    UserError
        If the folder does not exist.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder. Put the videos there, or change `videos` in the dataset's YAML file."
        )

    def survey(video_id: str) -> Survey:
        path = find_video(folder, video_id, extensions)
        if path is None:
            return Survey(video_id, None, None, None, MediaInfo("missing", f"no {video_id}.({'|'.join(extensions)})"))
        info = probe(path)
        if info.status in ("missing", "unreadable"):
            return Survey(video_id, path.name, None, None, info)
        found = path.stat()
        return Survey(video_id, path.name, found.st_size, found.st_mtime_ns, info)

    started = reported = time.monotonic()
    surveys = []
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(survey, video_ids):
            surveys.append(found)
            if time.monotonic() - reported > _PROGRESS_EVERY_S:
                reported = time.monotonic()
                rate = len(surveys) / (reported - started)
                left_s = (len(video_ids) - len(surveys)) / rate
                log.info("probed %d of %d videos, %.1f/s, %.0f s left", len(surveys), len(video_ids), rate, left_s)
    return surveys
