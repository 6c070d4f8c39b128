"""A file that a person fetched and that lies in another place than it should."""

import os
from pathlib import Path

FOLDERS = (".", "weights", "data")
"""Where people leave what they fetched, beside the folder for downloads of their browser; not deeper."""


def misplaced(place: Path, size: int | None = None) -> str:
    """Return the end of a message that names a file of the same name in another place; nothing if there is none.

    Parameters
    ----------
    place : Path
        Where the file is expected, and is not.
    size : int or None
        Bytes that it should have, if that is known.
    """
    downloads = [Path(os.environ["HOME"]) / "Downloads"] if "HOME" in os.environ else []
    for folder in (*map(Path, FOLDERS), *downloads):
        found = folder / place.name
        if found != place and found.is_file():
            n_bytes = found.stat().st_size
            fault = "" if size in (None, n_bytes) else f", but it has {n_bytes} bytes, expected {size}"
            return f". Found {place.name} in {folder}/, expected in {place.parent}/{fault}"
    return ""
