"""Probe many videos."""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.lib.media.plausible import PLAUSIBLE, Plausible
from workflow_scripts.lib.media.probe import MediaInfo, probe
from workflow_scripts.lib.media.video_files import require_folder

log = logging.getLogger(__name__)

_PROGRESS_EVERY_S = 30.0


@dataclass(frozen=True)
class Located:
    """Where a video is.

    Attributes
    ----------
    path : str or None
        File name inside the folder of videos, its subfolders included; None if there is none.
    reason : str
        Why there is none.
    """

    path: str | None
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """One video of a dataset: where it is and what the probe found.

    Attributes
    ----------
    video_id : str
    path : str or None
        As of `Located`.
    n_bytes, mtime_ns : int or None
        What `stat` tells.
    info : MediaInfo
    """

    video_id: str
    path: str | None
    n_bytes: int | None
    mtime_ns: int | None
    info: MediaInfo


def survey_videos(
    folder: Path, videos: Mapping[str, Located], jobs: int, plausible: Plausible = PLAUSIBLE
) -> list[Survey]:
    """Probe videos.

    Parameters
    ----------
    folder : Path
        Where the videos are.
    videos : dict of str to Located
        Video id -> its file.
    jobs : int
        Number of threads.
    plausible : Plausible
        What is believed of a file.

    Returns
    -------
    list of Survey
        In the order of `videos`.

    Raises
    ------
    UserError
        If the folder does not exist.
    """
    require_folder(folder)

    def survey(video_id: str) -> Survey:
        name, reason = videos[video_id].path, videos[video_id].reason
        if name is None:
            return Survey(video_id, None, None, None, MediaInfo("missing", reason))
        path = folder / name
        info = probe(path, plausible)
        if info.status in ("missing", "unreadable"):
            return Survey(video_id, name, None, None, info)
        found = path.stat()
        return Survey(video_id, name, found.st_size, found.st_mtime_ns, info)

    started = reported = time.monotonic()
    surveys = []
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(survey, videos):
            surveys.append(found)
            if time.monotonic() - reported > _PROGRESS_EVERY_S:
                reported = time.monotonic()
                rate = len(surveys) / (reported - started)
                left_s = (len(videos) - len(surveys)) / rate
                log.info("probed %d of %d videos, %.1f/s, %.0f s left", len(surveys), len(videos), rate, left_s)
    return surveys
