"""What the id of a video may be, and the files that are called after it."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from workflow_scripts.lib.errors import UserError

SHOWN = 10
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Tabs, line breaks and other control characters, and what stands for bytes of a file name that are not UTF-8."""
WHAT_AN_ID_IS = "a name, or a path below the folder of videos, in UTF-8 and without tab or line break"
_MOST_BYTES = 180
"""Of one part of a path: file systems take 255, and a file that is being written has a longer name."""
_KEPT_BYTES = 140


def is_usable(item_id: str) -> bool:
    """Return whether an id can stand in a list and be the name of a file."""
    return not _NOT_IN_A_LINE.search(item_id) and all(map(_is_name, item_id.split("/")))


def _is_name(part: str) -> bool:
    return bool(part) and not part.isspace() and part not in (".", "..")


def some_of(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def refuse_unusable(ids: Iterable[str], where: str) -> None:
    """Name all ids that are not usable at once.

    Raises
    ------
    UserError
        there are some
    """
    bad = [repr(item_id) for item_id in ids if not is_usable(item_id)]
    if bad:
        raise UserError(f"{where}: {len(bad)} cannot be used: {some_of(bad)}; expected {WHAT_AN_ID_IS}. Rename them.")


def file_of(folder: Path, item_id: str, suffix: str) -> Path:
    """Return the file that holds what belongs to a video, below the same folders as the video itself."""
    *parents, last = item_id.split("/")
    return folder.joinpath(*map(_shortened, parents), f"{_shortened(last)}{suffix}")


def _shortened(part: str) -> str:
    """Return a name that every file system takes; what is cut off is told apart by a digest."""
    encoded = part.encode("utf-8")
    if len(encoded) <= _MOST_BYTES:
        return part
    return f"{encoded[:_KEPT_BYTES].decode('utf-8', errors='ignore')}~{hashlib.sha256(encoded).hexdigest()[:12]}"
