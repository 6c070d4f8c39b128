"""numpy's own files, bounded by what they claim before anything is allocated."""

import math
import zipfile
from typing import IO, Any

import numpy as np

from workflow_scripts.lib.foreign.boundary import UnreadableFile, check_claim

# Version 3 differs from 2 in the coding of names of fields, which rows do not have.
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
    (3, 0): np.lib.format.read_array_header_2_0,
}
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}
_MAGIC = np.lib.format.MAGIC_PREFIX
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
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("no file that numpy.save writes")
    version = (*file.read(2),)
    if version not in _HEADERS:
        raise UnreadableFile(f"{where}: damaged, or of a later version of npy files than 3.0")
    start = file.tell()
    n_bytes = int.from_bytes(file.read(_LENGTH_BYTES[version]), "little")
    # numpy's own words about long headers and objects advise to read them without its checks.
    if n_bytes > _LONGEST_HEADER:
        raise UnreadableFile(f"{where}: has a header of {n_bytes:,} bytes, expected that of one array of numbers")
    file.seek(start)
    try:
        shape, _, dtype = _HEADERS[version](file)
        if any(type(size) is not int for size in shape):
            raise ValueError("a size that is no number")
        claimed = math.prod(shape) * dtype.itemsize
    except Exception as error:  # Text is read as Python there, and numpy shows what it is read as.
        raise UnreadableFile(f"{where}: has a damaged header") from error
    if dtype.hasobject:
        raise UnreadableFile(f"{where}: holds Python objects, expected numbers; save it as an array of numbers")
    if min(shape, default=0) < 0 or claimed > held:
        raise UnreadableFile(f"{where}: claims {str(shape)[:80]} numbers of {dtype}, but has {held:,} bytes for them")
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
