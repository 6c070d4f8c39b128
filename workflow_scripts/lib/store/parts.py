"""The finished rows of single videos; in a cache that several jobs share, one file each."""

import logging
import zipfile
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from workflow_scripts.lib.store.atomic import atomic_path, sweep_leftovers
from workflow_scripts.lib.versions import UNKNOWN_REVISION

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """The finished rows of one key; `made_by` are the revisions of the code that may have computed them."""

    values: np.ndarray
    times: np.ndarray
    status: str
    reason: str
    made_by: tuple[str, ...] = (UNKNOWN_REVISION,)


class Parts(Protocol):
    """Where the finished rows of videos are until a shard is published."""

    def get(self, key: str) -> Part | None:
        """Return the rows of one key, None if they are not there or damaged."""

    def add(self, key: str, part: Part) -> None:
        """Keep the rows of one key, so that a kill of the process does not lose them."""


class PartFiles:
    """Parts as `<2 digits>/<key>.npz`; several jobs may read and add at once.

    Parameters
    ----------
    folder : Path
        Of one recipe in the cache.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept: set[Path] = set()

    def get(self, key: str) -> Part | None:
        """Return the rows of one key, or None; the zip's checksums are verified and a damaged file counts as none."""
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                made_by = tuple(map(str, arrays["made_by"])) if "made_by" in arrays else (UNKNOWN_REVISION,)
                return Part(arrays["values"], arrays["times"], str(arrays["status"]), str(arrays["reason"]), made_by)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s: damaged (%s); computed again", path, error)
            return None

    def add(self, key: str, part: Part) -> None:
        """Write the rows of one key as one file that appears complete."""
        path = self._path(key)
        if path.parent not in self._swept:
            self._swept.add(path.parent)
            sweep_leftovers(path.parent)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **part._asdict())

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.npz"
