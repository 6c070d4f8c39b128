"""Which files of a folder are videos, and which of them a name means.

Names are compared in one form of Unicode (NFC), because a disk may hold `ü` as two characters and a list of queries as
one. What is returned is always the name on disk, below the folder.
"""

import difflib
import logging
import os
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from workflow_scripts.lib.errors import UserError

log = logging.getLogger(__name__)

VIDEO_EXTENSIONS = (
    *("mp4", "mkv", "webm", "avi", "mov", "m4v", "mpg", "mpeg", "wmv", "flv"),
    *("ts", "m2ts", "mts", "m2t", "3gp", "3g2", "ogv", "ogm", "mxf", "m2v", "m1v", "mpe", "mpv", "vob", "f4v", "asf"),
    *("divx", "qt", "dv", "mk3d", "rm", "rmvb", "wtv", "nut", "amv", "mj2", "y4m", "ivf"),
)
"""What files that PyAV reads are called; the content decides what a file is."""
_ALIKE = 0.75
_MOST_COMPARED = 20_000
"""Comparing a name with each of a million takes longer than a person waits."""


def composed(name: str) -> str:
    """Return a name in the form in which names are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def known_extensions(preferred: Iterable[str]) -> list[str]:
    """Return the extensions of videos, in small letters, the preferred ones first."""
    return list(dict.fromkeys((*(extension.lower() for extension in preferred), *VIDEO_EXTENSIONS)))


def require_folder(folder: Path) -> None:
    """Raise `UserError` unless a folder of videos is there."""
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder. Put the videos there, or change `videos` in the dataset's YAML file."
        )


class VideoFiles:
    """The video files of a folder, listed once; subfolders only when something is not found at the top.

    Parameters
    ----------
    folder : Path
        Where the videos are.
    extensions : iterable of str
        File name extensions without the dot, in order of preference; `VIDEO_EXTENSIONS` come after them. Cameras write
        them in capitals too.
    """

    def __init__(self, folder: Path, extensions: Iterable[str]) -> None:
        self._rank = {extension: place for place, extension in enumerate(known_extensions(extensions))}
        require_folder(folder)
        self._root = str(folder)
        self._folders: list[str] = []
        self._top = self._list("")

    def _list(self, place: str) -> dict[str, list[str]]:
        """Return a folder's files by name without extension, the preferred ones first, and note its subfolders.

        A link is listed even if it is broken or leads to where this user may not look.
        """
        found: dict[str, list[str]] = {}
        folders: set[str] = set()
        # Whatever is done here is done a million times at every start on the largest datasets.
        with os.scandir(f"{self._root}/{place}") as entries:
            for entry in entries:
                name = entry.name
                stem, dot, extension = name.rpartition(".")
                is_video = bool(dot) and extension.lower() in self._rank
                if _is_folder(entry, is_video):
                    folders.add(f"{place}{name}")
                if is_video:
                    found.setdefault(composed(f"{place}{stem}"), []).append(f"{place}{name}")
        for key, files in found.items():
            if len(files) > 1:
                found[key] = sorted([file for file in files if file not in folders] or files, key=self._preference)
        self._folders += sorted(folders)
        return found

    def _preference(self, file: str) -> tuple[int, str]:
        return self._rank[file.rpartition(".")[2].lower()], file

    @cached_property
    def _below(self) -> dict[str, list[str]]:
        """The same of all subfolders, without hidden ones; a link into a folder that was seen is not followed."""
        found: dict[str, list[str]] = {}
        seen = {_identity(self._root)}
        # The list grows while it is gone through.
        for folder in self._folders:
            identity = _identity(f"{self._root}/{folder}")
            if identity not in seen and not folder.rpartition("/")[2].startswith("."):
                seen.add(identity)
                try:
                    found |= self._list(f"{folder}/")
                except OSError as error:
                    log.warning("%s/%s: cannot be looked into (%s)", self._root, folder, error.strerror)
        return found

    @cached_property
    def _places(self) -> dict[str, list[str]]:
        """Where the names below subfolders occur: last part -> keys of `_below`."""
        places: dict[str, list[str]] = {}
        for key in self._below:
            places.setdefault(key.rpartition("/")[2], []).append(key)
        return places

    def find(self, video_id: str, file: str | None = None) -> list[str]:
        """Return the files that are a video, the preferred one first; nothing if there are none.

        Parameters
        ----------
        video_id : str
            Name of a file without extension, or with it; with its folders, or without where it occurs in one only.
        file : str or None
            Name of the file where only this one is meant; capitals of the extension do not count.
        """
        name, is_file = composed(file or video_id), file is not None
        found = self._alike(self._top, name, is_file)
        if found or not self._folders:
            return found
        groups = self._groups(name, is_file)
        return groups[0] if len(groups) == 1 else []

    def _alike(self, listed: dict[str, list[str]], name: str, is_file: bool) -> list[str]:
        if not is_file and name in listed:
            return listed[name]
        stem, _, extension = name.rpartition(".")
        ending = f".{extension.lower()}"
        found = [file for file in listed.get(stem, ()) if file.lower().endswith(ending)]
        return sorted(found, key=lambda file: composed(file) != name) if len(found) > 1 else found

    def _groups(self, name: str, is_file: bool) -> list[list[str]]:
        """Return the files below subfolders that a name may mean, those that differ in the extension together."""
        found = self._alike(self._below, name, is_file)
        if found or "/" in name:
            return [found] if found else []
        keys = {key: None for part in (name, name.rpartition(".")[0]) for key in self._places.get(part, ())}
        groups = (self._alike(self._below, f"{key.rpartition('/')[0]}/{name}", is_file) for key in keys)
        return [group for group in groups if group]

    def why_not(self, video_id: str, file: str | None = None) -> str:
        """Return why `find` gives nothing, where something is there that may have been meant; else nothing."""
        name, is_file = composed(file or video_id), file is not None
        groups = self._groups(name, is_file)
        if len(groups) > 1:
            return f"several files are called so: {_some([files[0] for files in groups])}; name the folder too"
        stem = name.rpartition(".")[0]
        others = self._top.get(stem) or next(iter(self._groups(stem, is_file=False)), []) if is_file else []
        return f"no {name}, but {_some(others)}" if others else ""

    def nearest(self, video_id: str) -> str | None:
        """Return the file whose name is most like that of a video that is not there; None if none is like it."""
        names: dict[str, str] = {}
        for listed in (self._top, self._below):
            for key, files in listed.items():
                names.setdefault(_simplified(key), files[0])
        wanted = _simplified(composed(video_id))
        if wanted in names or len(names) > _MOST_COMPARED:
            return names.get(wanted)
        close = difflib.get_close_matches(wanted, names, n=1, cutoff=_ALIKE)
        return names[close[0]] if close else None

    def every(self) -> dict[str, str]:
        """Return all videos of the folder and its subfolders: id -> file; hidden files are left out.

        A video's id is its path below the folder without extension; of files that differ in the extension alone, with.
        """
        found: dict[str, str] = {}
        listed = (*self._top.items(), *self._below.items())
        folders = set(self._folders)
        for key, names in listed:
            is_hidden = key.rpartition("/")[2].startswith(".")
            files = [] if is_hidden else [file for file in names if file not in folders]
            for file in files:
                other = found.setdefault(key if len(files) == 1 else composed(file), file)
                if other != file:
                    log.warning("%s: left out: its name differs from %r in the form of Unicode only", file, other)
        return found


def _is_folder(entry: os.DirEntry, is_video: bool) -> bool:
    try:
        # What a link leads to has to be asked of the disk; links to videos are many, links to folders few.
        return entry.is_dir(follow_symlinks=not is_video)
    except OSError:
        return False


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        found = os.stat(folder)  # noqa: PTH116
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _simplified(name: str) -> str:
    return name.rpartition("/")[2].casefold()


def _some(files: Sequence[str]) -> str:
    return ", ".join(files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
