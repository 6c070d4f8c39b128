"""numpy's own files, bounded by what they claim before anything is allocated."""

import math
import zipfile
from typing import IO, Any

import numpy as np

from workflow_scripts.lib.foreign.boundary import UnreadableFile, check_claim

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4}
_LONGEST_HEADER = 4096


def read_npy(file: IO[bytes], held: int, where: str) -> np.ndarray:
    """Read an array without objects.

    Parameters
    ----------
    file : at its begin; can be set back
    held : bytes that there are

    Raises
    ------
    UnreadableFile
        If its header claims more than that.
    ValueError
        If it is damaged or holds objects.
    """
    version = np.lib.format.read_magic(file)
    if version in _HEADERS:  # Version 3 differs in the names of fields, which rows do not have.
        start = file.tell()
        n_bytes = int.from_bytes(file.read(_LENGTH_BYTES[version]), "little")
        # numpy's own words about long headers and objects advise to read them without its checks.
        if n_bytes > _LONGEST_HEADER:
            raise UnreadableFile(f"{where}: has a header of {n_bytes:,} bytes, expected that of one array of numbers")
        file.seek(start)
        shape, _, dtype = _HEADERS[version](file)
        if dtype.hasobject:
            raise UnreadableFile(f"{where}: holds Python objects, expected numbers; save it as an array of numbers")
        claimed = math.prod(map(int, shape)) * dtype.itemsize
        if min(shape, default=0) < 0 or claimed > held:
            raise UnreadableFile(f"{where}: claims {shape} numbers of {dtype}, but has {held:,} bytes for them")
    else:
        raise UnreadableFile(f"{where}: has named fields, expected one array of numbers")
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


class NpzFile:
    """The arrays of an npz file by name, a context manager."""

    def __init__(self, file: Any, where: str) -> None:
        self._zip, self._where = zipfile.ZipFile(file), where
        self._members = {info.filename.removesuffix(".npy"): info for info in self._zip.infolist()}

    def __enter__(self) -> "NpzFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def names(self) -> list[str]:
        """Return the names of the arrays."""
        return list(self._members)

    def read(self, name: str) -> np.ndarray:
        """Read one array; its checksum is verified.

        Raises
        ------
        UnreadableFile
            If it claims more than its file can hold.
        """
        info = self._members[name]
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableFile(f"{self._where}: {name} is compressed in a way that numpy does not write")
        check_claim(info.file_size, info.compress_size, f"{self._where}: {name}")
        with self._zip.open(info) as file:
            array = read_npy(file, info.file_size, f"{self._where}: {name}")
            file.read()  # The checksum is compared at the end.
        return array
