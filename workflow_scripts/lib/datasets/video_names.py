"""How the videos of annotation files are called: from the name in the file to the columns of its video."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from workflow_scripts.lib.datasets.errors import BadVideoId
from workflow_scripts.lib.datasets.source_files import without_suffix
from workflow_scripts.lib.media.video_files import composed
from workflow_scripts.lib.store.item_ids import WHAT_AN_ID_IS, is_usable, some_of

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


@dataclass(frozen=True)
class Named:
    """A video of a list of one's own: its id, and its file where the list names one."""

    video_id: str
    file: str | None


class VideoNames:
    """Gives the videos of a list of one's own their ids: the path of the file without its extension.

    Parameters
    ----------
    shared : ids that several files would have; these files are told apart by their extensions

    Attributes
    ----------
    shared : set of str
        The same as far as the names seen show; before all are, the first of several files has the short id.
    """

    def __init__(self, shared: Collection[str] = ()) -> None:
        self._shared = frozenset(shared)
        self.shared: set[str] = set()
        self._first: dict[str, str] = {}
        self._unusable: dict[str, str] = {}

    def of(self, name: str, where: str) -> Named | None:
        """Return what a name stands for; None if it cannot be one, see `refuse_unusable`."""
        full = composed(name.removeprefix("./"))
        video_id = without_suffix(full)
        if "\\" in full or not is_usable(video_id):
            self._unusable.setdefault(name, where)
            return None
        if full == video_id:
            return Named(video_id, None)
        first = self._first.setdefault(video_id, full)
        # Names that differ in capitals of the extension mean one file.
        is_other = first.lower() != full.lower()
        if is_other:
            self.shared.add(video_id)
        return Named(full if is_other or video_id in self._shared else video_id, full)

    def refuse_unusable(self) -> None:
        """Name all names that cannot be a video's at once.

        Raises
        ------
        BadVideoId
            there are some
        """
        if self._unusable:
            listed = [f"{name!r} ({where})" for name, where in self._unusable.items()]
            remedy = "Write the path below the folder that `videos` in the dataset's YAML file names, with `/`."
            where = next(iter(self._unusable.values()))
            raise BadVideoId(where, some_of(listed), WHAT_AN_ID_IS, remedy)


def _is_prefixed_youtube_id(name: str) -> bool:
    return name.startswith(YOUTUBE_PREFIX) and len(name) == len(YOUTUBE_PREFIX) + YOUTUBE_ID_LENGTH
