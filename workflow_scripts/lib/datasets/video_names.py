"""How the videos of published annotation files are called: from the id in the file to the columns of its video."""

from typing import Any

from workflow_scripts.lib.datasets.errors import BadVideoId
from workflow_scripts.lib.datasets.source_files import without_suffix

YOUTUBE_PREFIX = "v_"
YOUTUBE_ID_LENGTH = 11


def activitynet_video(name: str, where: str) -> dict[str, Any]:
    """Return the columns of an ActivityNet video, called `v_` and its YouTube id.

    Parameters
    ----------
    name : str
        As in the file. Exactly two characters are taken off: a YouTube id may begin with `_` or `v_` itself.
    where : str
        File and entry.

    Returns
    -------
    dict
        `video_id`, `source_video_id`, `youtube_id`.

    Raises
    ------
    BadVideoId
        If the name has another form.
    """
    if not _is_prefixed_youtube_id(name):
        expected = f"{YOUTUBE_PREFIX} and {YOUTUBE_ID_LENGTH} characters"
        raise BadVideoId(where, f"the video {name!r}", expected, "Check that this is an ActivityNet Captions file.")
    youtube_id = name[len(YOUTUBE_PREFIX) :]
    return {"video_id": youtube_id, "source_video_id": name, "youtube_id": youtube_id}


def file_video(name: str, where: str) -> dict[str, Any]:
    """Return the columns of a video called by its file name, with or without the suffix."""
    return {"video_id": without_suffix(name), "source_video_id": name}


def any_video(name: str, where: str) -> dict[str, Any]:
    """Return the columns of a video of ActivityNet, Charades or TACoS, told apart by the form of the name."""
    return activitynet_video(name, where) if _is_prefixed_youtube_id(name) else file_video(name, where)


def _is_prefixed_youtube_id(name: str) -> bool:
    return name.startswith(YOUTUBE_PREFIX) and len(name) == len(YOUTUBE_PREFIX) + YOUTUBE_ID_LENGTH
