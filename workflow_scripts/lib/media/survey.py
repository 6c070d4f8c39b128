"""Find and probe many videos."""

import logging
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.probe import MediaInfo, probe

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


def video_files(folder: Path, extensions: Iterable[str]) -> dict[str, list[str]]:
    """Return the video files of a folder, listed once.

    Parameters
    ----------
    folder : Path
        Where the videos are.
    extensions : iterable of str
        File name extensions without the dot, in order of preference; cameras write them in capitals too.

    Returns
    -------
    dict of str to list of str
        Video id (file name without extension) -> file names, the preferred one first. A link is listed even if it is
        broken or leads to where this user may not look.
    """
    preference = {extension.lower(): place for place, extension in enumerate(extensions)}
    found: dict[str, list[tuple[int, str]]] = {}
    for file in os.listdir(folder):  # noqa: PTH208 (a Path for each of a million names takes as long as the listing)
        stem, dot, extension = file.rpartition(".")
        if dot and extension.lower() in preference:
            found.setdefault(stem, []).append((preference[extension.lower()], file))
    return {stem: [name for _, name in sorted(names)] for stem, names in found.items()}


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

    files = video_files(folder, extensions)
    _warn_of_doubles([files[video_id] for video_id in video_ids if len(files.get(video_id, ())) > 1])

    def survey(video_id: str) -> Survey:
        if video_id not in files:
            return Survey(video_id, None, None, None, MediaInfo("missing", f"no {video_id}.({'|'.join(extensions)})"))
        path = folder / files[video_id][0]
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


def _warn_of_doubles(doubles: Sequence[Sequence[str]]) -> None:
    if doubles:
        used, *others = doubles[0]
        log.warning(
            "%d videos have several files, e.g. %s is used, %s is not; `extensions` of the dataset sets the order",
            len(doubles),
            used,
            ", ".join(others),
        )
