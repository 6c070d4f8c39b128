"""The boundary that every foreign file crosses: whatever its reader raises becomes one sentence about the file."""

import codecs
import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from workflow_scripts.lib.errors import UserError

_REASON_CHARACTERS = 200
_SMALL = 2**20
LARGEST_RATIO = 1032
"""To how many bytes deflate can blow up one (zlib's technical notes)."""
_STARTS = {
    b"version https://git-lfs": "a pointer of Git LFS instead of the file: fetch the file with `git lfs pull`",
    b"<!doctype": "a web page instead of the file: download it again, logged in where its page asks for that",
    b"<html": "a web page instead of the file: download it again, logged in where its page asks for that",
    **dict.fromkeys(
        (b"<?xml", b"<error"), "an XML page, such as a server's error, instead of the file: download it again"
    ),
    b'{"error"': "a server's error instead of the file: download it again",
    b"/annex/objects/": "a pointer of git-annex instead of the file: fetch the file with `git annex get`",
}
_DAMAGED = "it is damaged, or of another kind"
_SENTENCES: tuple[tuple[type[BaseException], str], ...] = (
    (MemoryError, "it claims more memory than there is"),
    (RecursionError, "it is nested too deeply"),
    (EOFError, "it ends too early"),
    (zipfile.BadZipFile, "it is damaged or cut off, or no archive at all"),
    (IndexError, _DAMAGED),
    (UnicodeError, "its text is not UTF-8"),
)
"""What errors mean whose own words do not help."""


class UnreadableFile(UserError):
    """A foreign file, or an entry of one, that cannot be used."""


@contextlib.contextmanager
def reading(where: Path | str, what: str = "", remedy: str = "", path: Path | None = None) -> Iterator[None]:
    """Turn whatever is raised while foreign bytes are read into `UnreadableFile`.

    Parameters
    ----------
    where : path, or name of an entry
    what : what the file should be, as in `not a {what}`
    remedy : what to do about it
    path : the file, where `where` is not its path
    """
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UnreadableFile(f"{where}: no such file") from error
    except Exception as error:  # Libraries raise what they like at damaged bytes; a list of it would never be whole.
        other = what_it_is(path or Path(where))
        if other:
            raise UnreadableFile(f"{where}: {other}") from error
        found = f"not a {what}: {_reason(error)}" if what else _reason(error)
        raise UnreadableFile(f"{where}: {found.rstrip('.')}{f'. {remedy}.' if remedy else ''}") from error


def _reason(error: Exception) -> str:
    """Return the first lines of an error, or what it means."""
    if isinstance(error, KeyError) and not isinstance(error.args[0], str):
        return _DAMAGED
    known = next((sentence for kind, sentence in _SENTENCES if isinstance(error, kind)), None)
    return known or " ".join(str(error).split())[:_REASON_CHARACTERS] or type(error).__name__


def what_it_is(path: Path) -> str | None:
    """Return what a file is that commonly lies in the place of another one, None if it looks like neither."""
    try:
        with path.open("rb") as file:
            start = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip().lower()
            is_empty = not file.tell()
    except OSError:
        return None
    if is_empty:
        return "an empty file: download or copy it again"
    return next((found for mark, found in _STARTS.items() if start.startswith(mark)), None)


def check_claim(claimed: int, held: int, where: Path | str) -> None:
    """Refuse content that cannot be in its file, or not in the memory of this machine.

    Parameters
    ----------
    claimed : bytes that the file says its content has
    held : bytes that the file has for it, perhaps compressed

    Raises
    ------
    UnreadableFile
    """
    if claimed > LARGEST_RATIO * held + _SMALL:
        raise UnreadableFile(f"{where}: claims {claimed:,} bytes of content, but has {held:,} bytes for it")
    if claimed > (free := free_memory()):
        raise UnreadableFile(
            f"{where}: claims {claimed:,} bytes of content, but only {free:,} bytes of memory are free"
        )


def free_memory() -> int:
    """Return the bytes of memory that are free or can be freed."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
