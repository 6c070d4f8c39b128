"""Read published feature files: a file per video, or one file for all."""

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.foreign.array_files import NpzFile, read_npy
from workflow_scripts.lib.foreign.boundary import UnreadableFile, reading
from workflow_scripts.lib.foreign.hdf5_files import member, read_array
from workflow_scripts.lib.foreign.pickles import as_array, read_pickle, unpickle
from workflow_scripts.lib.foreign.torch_files import read_torch, tensor_values
from workflow_scripts.lib.store.apart import SourceApart
from workflow_scripts.lib.store.digest import digest_bytes, file_sha256


class FeatureSource(Protocol):
    """Feature files by the names that a pattern gives."""

    def digest(self, name: str) -> str | None:
        """Return the digest of a file's or entry's content, None if there is none of this name."""

    def read(self, name: str) -> np.ndarray:
        """Return float (T, D).

        Raises
        ------
        UnreadableFile
        """

    def example(self) -> str | None:
        """Return a name that does exist, None if there is none."""


def open_source(path: Path, layout: str, key: str | None) -> FeatureSource:
    """Return the feature files at `path`.

    Parameters
    ----------
    path : Path
        Folder of files, or a file (an lmdb database may be either).
    layout : {"npy", "npz", "pt", "pickle_dict", "hdf5", "lmdb"}
    key : str or None
        Array inside a file or entry; None: the only one.

    Raises
    ------
    UserError
        If there is nothing, or a file in the place of a folder.
    """
    if not path.exists():
        raise UserError(f"{path}: does not exist. Put the feature files there, or change `path` in the feature's file.")
    is_for_all = layout == "pickle_dict" or (layout == "hdf5" and path.is_file())
    if path.is_dir() == is_for_all and layout != "lmdb":
        expected = "one file" if is_for_all else "a folder of files"
        raise UserError(f"{path}: layout {layout} is {expected}. Change `path` or `layout` in the feature's file.")
    return SourceApart(path, layout, key) if layout in _WRITTEN_IN_C else open_here(path, layout, key)


def open_here(path: Path, layout: str, key: str | None) -> FeatureSource:
    """Return the feature files at `path`, which are read in this process; see `open_source`."""
    if layout == "lmdb":
        return _Lmdb(path, key)
    if path.is_file():
        return _Entries(*_ENTRIES[layout](path, key))
    return _Folder(path, _LOADERS[layout], key)


def as_rows(array: Any, where: str) -> np.ndarray:
    """Return float (T, D) from (T, D), (T, 1, ..., 1, D), or (D,), one row.

    Raises
    ------
    UnreadableFile
        If it is something else.
    """
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise UnreadableFile(f"{where}: expected numbers, found dtype {array.dtype}")
    if not array.size:
        raise UnreadableFile(f"{where}: empty, of shape {array.shape}")
    n_odd = array.size - int(np.isfinite(array).sum())
    if n_odd:
        raise UnreadableFile(f"{where}: {n_odd} of {array.size} values are not finite")
    if array.ndim == 1:
        return array[None]
    if array.ndim < 1 or any(size != 1 for size in array.shape[1:-1]):
        raise UnreadableFile(f"{where}: expected (T, D) or (T, 1, 1, D), found {array.shape}")
    return array.reshape(len(array), array.shape[-1])


class _Folder:
    """A file per video."""

    def __init__(self, path: Path, load: Callable[[Path, str | None], Any], key: str | None) -> None:
        self.path, self.load, self.key = path, load, key

    def digest(self, name: str) -> str | None:
        file = self.path / name
        try:
            return file_sha256(file) if file.is_file() else None
        except OSError as error:
            return f"unreadable: {error}"

    def read(self, name: str) -> np.ndarray:
        with reading(name, path=self.path / name):
            return as_rows(self.load(self.path / name, self.key), name)

    def example(self) -> str | None:
        file = next((file for file in self.path.rglob("*") if file.is_file()), None)
        return str(file.relative_to(self.path)) if file else None


class _Entries:
    """One file with an array per video."""

    def __init__(self, names: Callable[[], Any], read: Callable[[str], Any]) -> None:
        self._names, self._read = names, read

    def digest(self, name: str) -> str | None:
        try:
            with reading(name):
                array = self._read(name)
        except UnreadableFile as error:
            return f"unreadable: {error}"
        if array is None:
            return None
        return digest_bytes(f"{array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())

    def read(self, name: str) -> np.ndarray:
        with reading(name):
            return as_rows(self._read(name), name)

    def example(self) -> str | None:
        return next(iter(self._names()), None)


class _Lmdb:
    """A database of npy or npz files, or pickled arrays, by name."""

    def __init__(self, path: Path, key: str | None) -> None:
        import lmdb

        with reading(path, "readable lmdb database"):
            self._file = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, create=False)
        self.key = key

    def _value(self, name: str) -> bytes | None:
        with self._file.begin() as transaction:
            return transaction.get(name.encode())

    def digest(self, name: str) -> str | None:
        value = self._value(name)
        return None if value is None else digest_bytes(value)

    def read(self, name: str) -> np.ndarray:
        with reading(name):
            return as_rows(_array_in(self._value(name) or b"", self.key, name), name)

    def example(self) -> str | None:
        with self._file.begin() as transaction, transaction.cursor() as cursor:
            return cursor.key().decode(errors="replace") if cursor.first() else None


def _array_in(data: bytes, key: str | None, where: str) -> np.ndarray:
    """Return the array that an entry of a database holds as an npy file, an npz file or a pickle."""
    if data.startswith(b"\x93NUMPY"):
        return read_npy(io.BytesIO(data), len(data), where)
    if data.startswith(b"PK"):
        with NpzFile(io.BytesIO(data), where) as arrays:
            return arrays.read(_one_of(arrays.names(), key, where))
    with reading(where, "array as an npy file, an npz file or a pickle"):
        return as_array(_member(unpickle(data), key, where), len(data))


def _one_of(names: Iterable[str], key: str | None, where: str) -> str:
    """Return the name of the only array, or `key` if that is there."""
    names = list(names)
    if key is None and len(names) == 1:
        return names[0]
    if not names:
        raise UnreadableFile(f"{where}: holds no array")
    if key is None or key not in names:
        found = f"no array {key!r}" if key else "several arrays"
        raise UnreadableFile(f"{where}: {found}; set `key` to one of {', '.join(map(str, names[:10]))}")
    return key


def _member(loaded: Any, key: str | None, where: str) -> Any:
    """Return the array itself, or the one called `key` of a dict of arrays."""
    return loaded[_one_of(loaded, key, where)] if isinstance(loaded, dict) else loaded


def _load_npy(path: Path, key: str | None) -> np.ndarray:
    with path.open("rb") as file:
        return read_npy(file, path.stat().st_size, path.name)


def _load_npz(path: Path, key: str | None) -> np.ndarray:
    with NpzFile(path, path.name) as arrays:
        return arrays.read(_one_of(arrays.names(), key, path.name))


def _load_pt(path: Path, key: str | None) -> np.ndarray:
    return tensor_values(_member(read_torch(path), key, path.name), path.name)


def _load_h5(path: Path, key: str | None) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return _array_of(file, key, path.name)


def _array_of(group: Any, key: str | None, where: str) -> np.ndarray:
    """Return the array under `key` (which may be a path) of an hdf5 group, or its only one."""
    import h5py

    found = member(group, key if key and key in group else _one_of(group, key, where), where)
    if isinstance(found, h5py.Group):
        raise UnreadableFile(f"{where}: expected an array, found a group of {', '.join(list(found)[:10])}; set `key`")
    return read_array(found, where)


def _hdf5_entries(path: Path, key: str | None) -> tuple[Callable, Callable]:
    import h5py

    with reading(path, "readable hdf5 file", "Download or copy it again"):
        file = h5py.File(path)

    def read(name: str) -> np.ndarray | None:
        if file.get(name, getlink=True) is None:
            return None
        found = member(file, name, name)
        return _array_of(found, key, name) if isinstance(found, h5py.Group) else read_array(found, name)

    return file.keys, read


def _pickle_entries(path: Path, key: str | None) -> tuple[Callable, Callable]:
    with reading(path, "readable pickle of numpy arrays"):
        entries = read_pickle(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected a pickled dict of arrays, found {type(entries).__name__}.")
    size = path.stat().st_size

    def read(name: str) -> np.ndarray | None:
        return as_array(_member(entries[name], key, name), size) if name in entries else None

    return entries.keys, read


_WRITTEN_IN_C = ("hdf5", "lmdb")
_LOADERS = {"npy": _load_npy, "npz": _load_npz, "pt": _load_pt, "hdf5": _load_h5}
_ENTRIES = {"hdf5": _hdf5_entries, "pickle_dict": _pickle_entries}
