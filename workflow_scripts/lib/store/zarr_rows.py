"""Rows of a zarr array, read without zarr where the array is stored as ours are.

What zarr-python spends on a few rows is mostly the handing of work between threads. The layout of our arrays is simple
enough to read at once: chunks follow one another along the first axis, each a zstd frame with a checksum, alone in a
file or, after the sharding codec, many in a file with a table of their places that has a checksum of its own. Every
other layout is left to zarr-python.

No file stays open between two reads, and nothing is locked: what is read here may be used in threads and after a fork.

Sources: the zarr v3 specification with its codecs `sharding_indexed`, `bytes`, `zstd` and `crc32c`; RFC 8878, section
3.1.1.1, for the header of a zstd frame.
"""

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import google_crc32c
import numpy as np
from numcodecs.zstd import decompress
from numpy.typing import DTypeLike

from workflow_scripts.lib.store.halves import copy_rows

Places = slice | np.ndarray
"""Which rows: a slice of step 1, or their numbers, int64 (n,)."""

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_INDEX_CODECS = [_BYTES, {"name": "crc32c"}]
_FIXED = {
    "zarr_format": 3,
    "node_type": "array",
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
}
_NAMES = ("float16", "float32", "float64", "int32", "int64", "uint8")
_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in _NAMES}
_ENTRY = np.dtype("<u8")
_CHECKSUM_BYTES = 4
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_HAS_CHECKSUM = 4
_READ = os.O_RDONLY | os.O_CLOEXEC


class ArrayRows(Protocol):
    """An array of which rows can be read.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self, places: Places = slice(None), dtype: DTypeLike | None = None) -> np.ndarray:
        """Return some rows, (n, ...), in another number format if one is given.

        Raises
        ------
        OSError, ValueError, RuntimeError
            If they are not as they were written.
        """


def open_rows(folder: Path, metadata: Mapping[str, Any] | None = None) -> ArrayRows:
    """Return an array of a zarr group.

    Parameters
    ----------
    folder : Path
        Of the array.
    metadata : mapping, optional
        What stands for its own `zarr.json`.
    """
    if metadata is None:
        metadata = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    layout = _layout_of(metadata)
    return _ByZarr(folder, metadata) if layout is None else _ByUs(folder, layout)


class _Layout(NamedTuple):
    """Shape, number format and cut of an array that is stored as ours are.

    Attributes
    ----------
    shape : tuple of int
    dtype : np.dtype
    chunk_rows : rows of a chunk; the last chunk is as long as the others
    file_chunks : chunks of a file
    index_at : `start` or `end` of the file; None: a file is one chunk
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunk_rows: int
    file_chunks: int
    index_at: str | None


def _layout_of(metadata: Mapping[str, Any]) -> _Layout | None:
    """Return the layout of an array, None if it is another than ours."""
    try:
        shape, dtype = tuple(metadata["shape"]), _DTYPES[metadata["data_type"]]
        [grid_rows, *grid_width] = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        cut = {"chunk_shape": [grid_rows, *grid_width], "codecs": metadata["codecs"]}
        cut |= {"index_codecs": _INDEX_CODECS, "index_location": None}
        if metadata["codecs"][0]["name"] == "sharding_indexed":
            [sharding] = metadata["codecs"]
            cut = sharding["configuration"]
        [chunk_rows, *chunk_width] = cut["chunk_shape"]
        [to_bytes, compressor] = cut["codecs"]
        width = [max(1, size) for size in shape[1:]]
        is_ours = (
            {name: metadata.get(name) for name in _FIXED} == _FIXED
            and not metadata.get("storage_transformers")
            and metadata["chunk_grid"]["name"] == "regular"
            and grid_width == chunk_width == width
            and grid_rows % chunk_rows == 0
            and cut["index_codecs"] == _INDEX_CODECS
            and cut["index_location"] in (None, "start", "end")
            # A number of one byte has no order of bytes.
            and to_bytes == (_BYTES if dtype.itemsize > 1 else {"name": "bytes"})
            and compressor["name"] == "zstd"
            and compressor["configuration"]["checksum"] is True
        )
        return _Layout(shape, dtype, chunk_rows, grid_rows // chunk_rows, cut["index_location"]) if is_ours else None
    except (LookupError, ValueError, TypeError, AttributeError, ArithmeticError):
        return None


class _ByUs:
    """An array of our layout."""

    def __init__(self, folder: Path, layout: _Layout) -> None:
        self._folder, self._layout = str(folder), layout
        self.shape, self.dtype = layout.shape, layout.dtype
        self._chunk_shape = (layout.chunk_rows, *layout.shape[1:])
        self._entries: dict[int, np.ndarray] = {}

    def read(self, places: Places = slice(None), dtype: DTypeLike | None = None) -> np.ndarray:
        if isinstance(places, slice):
            start, stop, _ = places.indices(self.shape[0])
            return self._between(start, max(start, stop), dtype or self.dtype)
        return self._gathered(places, dtype or self.dtype)

    def _between(self, start: int, stop: int, dtype: DTypeLike) -> np.ndarray:
        size = self._layout.chunk_rows
        rows = np.empty((stop - start, *self.shape[1:]), dtype)
        for number, chunk in self._chunks(range(start // size, -(-stop // size)) if rows.size else ()):
            first, last = max(start, number * size), min(stop, (number + 1) * size)
            copy_rows(chunk[first - number * size : last - number * size], rows[first - start : last - start])
        return rows

    def _gathered(self, places: np.ndarray, dtype: DTypeLike) -> np.ndarray:
        """Return single rows; every chunk that holds one is read once."""
        rows = np.empty((len(places), *self.shape[1:]), dtype)
        of_chunk, within = np.divmod(places, self._layout.chunk_rows)
        for number, chunk in self._chunks(np.unique(of_chunk).tolist() if rows.size else ()):
            rows[of_chunk == number] = chunk[within[of_chunk == number]]
        return rows

    def _chunks(self, numbers: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield chunks by number; their checksums agree."""
        for file, group in itertools.groupby(numbers, lambda number: number // self._layout.file_chunks):
            descriptor = os.open("/".join([self._folder, "c", str(file), *("0" for _ in self.shape[1:])]), _READ)
            try:
                if file not in self._entries:
                    self._entries[file] = self._read_entries(descriptor)
                for number in group:
                    offset, n_bytes = self._entries[file][number % self._layout.file_chunks].tolist()
                    yield number, self._decoded(_exactly(descriptor, n_bytes, offset))
            finally:
                os.close(descriptor)

    def _read_entries(self, descriptor: int) -> np.ndarray:
        """Return offset and bytes of every chunk of a file, int64 (n, 2)."""
        n_file = os.fstat(descriptor).st_size
        if self._layout.index_at is None:
            return np.array([[0, n_file]])
        n_index = 2 * _ENTRY.itemsize * self._layout.file_chunks + _CHECKSUM_BYTES
        if n_file < n_index:
            raise ValueError("a file is shorter than the table of its chunks")
        table = _exactly(descriptor, n_index, 0 if self._layout.index_at == "start" else n_file - n_index)
        if google_crc32c.value(table[:-_CHECKSUM_BYTES]) != int.from_bytes(table[-_CHECKSUM_BYTES:], "little"):
            raise ValueError("the checksum of a table of chunks differs")
        # What is not there is (2**64 - 1, 2**64 - 1), as int64 (-1, -1).
        entries = np.frombuffer(table[:-_CHECKSUM_BYTES], _ENTRY).astype(np.int64).reshape(-1, 2)
        if entries.max() > n_file:
            raise ValueError("a chunk lies behind the end of its file")
        return entries

    def _decoded(self, frame: bytes) -> np.ndarray:
        if not _has_checksum(frame):
            raise ValueError("a chunk has no checksum")
        return np.frombuffer(decompress(frame), self.dtype).reshape(self._chunk_shape)


def _exactly(descriptor: int, n_bytes: int, offset: int) -> bytes:
    if offset < 0:
        raise ValueError("a chunk is missing")
    data = os.pread(descriptor, n_bytes, offset)
    if len(data) != n_bytes:
        raise ValueError("a file ends too early")
    return data


def _has_checksum(frame: bytes) -> bool:
    """Return whether this is a zstd frame whose content is followed by its checksum, which decompressing compares."""
    return len(frame) > len(_ZSTD_MAGIC) and frame.startswith(_ZSTD_MAGIC) and frame[4] & _HAS_CHECKSUM != 0


class _ByZarr:
    """An array of any layout, read by zarr-python."""

    def __init__(self, folder: Path, metadata: Mapping[str, Any]) -> None:
        # Not at the top: it takes longer to import than most jobs take to read.
        import zarr
        from zarr.storage import LocalStore, StorePath

        self._array = zarr.Array.from_dict(StorePath(LocalStore(folder, read_only=True)), dict(metadata))
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def read(self, places: Places = slice(None), dtype: DTypeLike | None = None) -> np.ndarray:
        rows = np.asarray(self._array[places] if isinstance(places, slice) else self._array.oindex[places])
        # Stored values are finite; zarr gives the fill value, NaN, in the place of a missing file.
        if rows.size and rows.dtype.kind == "f" and np.isnan(rows.reshape(len(rows), -1)[:, 0]).any():
            raise ValueError("a file of the array is missing")
        return rows if dtype is None else rows.astype(dtype)
