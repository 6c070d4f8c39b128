"""Read published feature files: a file per video, or one file for all."""

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_bytes, file_sha256


class UnreadableFile(UserError):
    """A feature file, or an entry of one, holds no rows that can be read."""


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
    if layout == "lmdb":
        return _Lmdb(path, key)
    is_for_all = layout == "pickle_dict" or (layout == "hdf5" and path.is_file())
    if path.is_dir() == is_for_all:
        expected = "one file" if is_for_all else "a folder of files"
        raise UserError(f"{path}: layout {layout} is {expected}. Change `path` or `layout` in the feature's file.")
    if is_for_all:
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
        return file_sha256(file) if file.is_file() else None

    def read(self, name: str) -> np.ndarray:
        file = self.path / name
        try:
            return as_rows(self.load(file, self.key), name)
        except UnreadableFile:
            raise
        except (OSError, ValueError, EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise UnreadableFile(f"{name}: {' '.join(str(error).split())[:200]}") from error

    def example(self) -> str | None:
        file = next((file for file in self.path.rglob("*") if file.is_file()), None)
        return str(file.relative_to(self.path)) if file else None


class _Entries:
    """One file with an array per video."""

    def __init__(self, names: Callable[[], Any], read: Callable[[str], Any]) -> None:
        self._names, self._read = names, read

    def digest(self, name: str) -> str | None:
        try:
            array = self._read(name)
        except UnreadableFile as error:
            return f"unreadable: {error}"
        if array is None:
            return None
        return digest_bytes(f"{array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())

    def read(self, name: str) -> np.ndarray:
        return as_rows(self._read(name), name)

    def example(self) -> str | None:
        return next(iter(self._names()), None)


class _Lmdb:
    """A database of npy or npz files, or pickled arrays, by name."""

    def __init__(self, path: Path, key: str | None) -> None:
        import lmdb

        try:
            self._file = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, create=False)
        except lmdb.Error as error:
            raise UserError(f"{path}: not a readable lmdb database ({error}).") from error
        self.key = key

    def _value(self, name: str) -> bytes | None:
        with self._file.begin() as transaction:
            return transaction.get(name.encode())

    def digest(self, name: str) -> str | None:
        value = self._value(name)
        return None if value is None else digest_bytes(value)

    def read(self, name: str) -> np.ndarray:
        data = self._value(name) or b""
        try:
            if data.startswith((b"\x93NUMPY", b"PK")):
                loaded = np.load(io.BytesIO(data), allow_pickle=False)
            else:
                loaded = read_pickle(io.BytesIO(data))
            return as_rows(_member(loaded, self.key, name), name)
        except (ValueError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise UnreadableFile(f"{name}: {error}") from error

    def example(self) -> str | None:
        with self._file.begin() as transaction, transaction.cursor() as cursor:
            return cursor.key().decode(errors="replace") if cursor.first() else None


def _member(loaded: Any, key: str | None, where: str) -> Any:
    """Return the array itself, or the one called `key` of a mapping of arrays."""
    if not isinstance(loaded, Mapping):
        return loaded
    names = list(loaded)
    if key is None and len(names) == 1:
        return loaded[names[0]]
    if key is None or key not in names:
        found = f"no array {key!r}" if key else "several arrays"
        raise UnreadableFile(f"{where}: {found}; set `key` to one of {', '.join(map(str, names[:10]))}")
    return loaded[key]


def _load_npy(path: Path, key: str | None) -> np.ndarray:
    return np.load(path, allow_pickle=False)


def _load_npz(path: Path, key: str | None) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        return _member(arrays, key, path.name)


def _load_pt(path: Path, key: str | None) -> np.ndarray:
    import torch

    loaded = _member(torch.load(path, map_location="cpu", weights_only=True), key, path.name)
    if not isinstance(loaded, torch.Tensor):
        raise UnreadableFile(f"{path.name}: expected a tensor, found {type(loaded).__name__}")
    return (loaded.float() if loaded.is_floating_point() else loaded).numpy()


def _load_h5(path: Path, key: str | None) -> np.ndarray:
    import h5py

    with h5py.File(path) as file:
        return _dataset(file, key, path.name)


def _dataset(group: Any, key: str | None, where: str) -> np.ndarray:
    import h5py

    found = group.get(key) if key and key in group else _member(group, key, where)
    if not isinstance(found, h5py.Dataset):
        raise UnreadableFile(f"{where}: expected an array, found a group of {', '.join(list(found)[:10])}; set `key`")
    return found[()]


def _hdf5_entries(path: Path, key: str | None) -> tuple[Callable, Callable]:
    import h5py

    try:
        file = h5py.File(path)
    except OSError as error:
        raise UserError(f"{path}: not a readable hdf5 file ({error}).") from error

    def read(name: str) -> np.ndarray | None:
        if name not in file:
            return None
        try:
            return file[name][()] if isinstance(file[name], h5py.Dataset) else _dataset(file[name], key, name)
        except OSError as error:
            raise UnreadableFile(f"{name}: {error}") from error

    return file.keys, read


def _pickle_entries(path: Path, key: str | None) -> tuple[Callable, Callable]:
    try:
        with path.open("rb") as file:
            entries = read_pickle(file)
    except (pickle.UnpicklingError, EOFError, ValueError, AttributeError, IndexError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a readable pickle of numpy arrays ({error}).") from error
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected a pickled dict of arrays, found {type(entries).__name__}.")

    def read(name: str) -> np.ndarray | None:
        return np.asarray(_member(entries[name], key, name)) if name in entries else None

    return entries.keys, read


# What a pickled numpy array is built from, in old and new versions of numpy; nothing here runs code of the file.
_NUMPY_PARTS = {
    *(("numpy", name) for name in ("ndarray", "dtype")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
    ("_codecs", "encode"),
    ("collections", "OrderedDict"),
}


class _NumpyUnpickler(pickle.Unpickler):
    """Builds containers, numbers, text and numpy arrays; anything else could run code and is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NUMPY_PARTS:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}: only numpy arrays are read from pickles")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_pickle(file: Any) -> Any:
    """Read a pickle of containers and numpy arrays.

    Raises
    ------
    pickle.UnpicklingError
        If it names anything else.
    """
    # Published pickles were partly written by Python 2.
    return _NumpyUnpickler(file, encoding="latin1").load()


_LOADERS = {"npy": _load_npy, "npz": _load_npz, "pt": _load_pt, "hdf5": _load_h5}
_ENTRIES = {"hdf5": _hdf5_entries, "pickle_dict": _pickle_entries}
