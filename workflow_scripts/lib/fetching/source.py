"""Where a file is published; small enough to be imported while the job graph is built."""

from dataclasses import dataclass
from pathlib import Path

FILE_SETTINGS = ("source",)
FOLDER_SETTINGS = ("source", "archive", "folder", "layout")
"""What of the settings of a download its job is started for; the mirror is not among it."""


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


def by_hand(source: Source, path: Path) -> str:
    """Return what a person does about a file that no program may fetch."""
    return (
        f"{path.name} has no address that a program may use: get it from {source.page} and put it at {path} "
        f"(licence: {source.licence})"
    )
