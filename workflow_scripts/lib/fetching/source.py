"""Where a file is published; small enough to be imported while the job graph is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.lib.fetching.misplaced import misplaced

FILE_SETTINGS = ("source",)
FOLDER_SETTINGS = ("source", "archive", "folder", "layout")
"""What of the settings of a download its job is started for; mirror and messages are not among it."""


@dataclass(frozen=True)
class Source:
    """Where a file is published.

    Attributes
    ----------
    url : str or None
        Official address; None if the file cannot be fetched without a person (a login, a form, a cloud drive).
    licence : str
        Terms under which its publishers give it away.
    sha256 : str
        64 hex digits, or `unverified`.
    size : int or None
        Bytes.
    page : str or None
        Page for people that explains or replaces the address.
    """

    url: str | None
    licence: str
    sha256: str = "unverified"
    size: int | None = None
    page: str | None = None


def by_hand(source: Source, place: Path, folder: Path | None = None, inside: Sequence[str] = ()) -> str:
    """Return what a person does about a file that no program may fetch.

    Parameters
    ----------
    place : Path
        Where the file is expected.
    folder : Path or None
        Where its content would do too, if it is an archive.
    inside : sequence of str
        Patterns of the files that the archive has to hold, if that is known.
    """
    content = f", or its content into {folder}" if folder else ""
    return (
        f"{place.name} has no address that a program may use: get it from {source.page} and put it at {place}{content} "
        f"(licence: {source.licence}){inside_words(inside)}{misplaced(place, source.size)}"
    )


def inside_words(inside: Sequence[str]) -> str:
    """Return the sentence of a message that says what an archive has to hold; nothing if that is not known."""
    return f". Inside it have to be {', '.join(inside)}" if inside else ""
