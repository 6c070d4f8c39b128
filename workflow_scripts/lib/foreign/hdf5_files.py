"""Arrays of hdf5 files: numbers that the file itself holds, found through no link that leaves it."""

from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.foreign.boundary import UnreadableFile, check_claim


def member(group: Any, name: str, where: str) -> Any:
    """Return an array or group inside of a group.

    Raises
    ------
    UnreadableFile
        If it lies in another file.
    """
    found = group[name]
    if found.file.filename != group.file.filename:
        raise UnreadableFile(f"{where}: links to another file, {found.file.filename}; copy its content instead")
    return found


def read_array(dataset: Any, where: str) -> np.ndarray:
    """Read the numbers of a data set.

    Raises
    ------
    UnreadableFile
        If it holds none, takes them from another file, or claims more than its file can hold.
    """
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise UnreadableFile(f"{where}: expected an array, found a {type(dataset).__name__}")
    if dataset.external or dataset.is_virtual:
        raise UnreadableFile(f"{where}: takes its content from other files; copy it into this one")
    if dataset.dtype.kind not in "biuf":
        raise UnreadableFile(f"{where}: expected numbers, found dtype {dataset.dtype}")
    check_claim(dataset.nbytes, Path(dataset.file.filename).stat().st_size, where)
    return dataset[()]
