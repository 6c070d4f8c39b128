"""Pickles of plain containers and numeric arrays, read without running anything that they name."""

import io
import math
import mmap
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

_DTYPE = re.compile(r"[<>|=]?[biufSU]\d*")
_ATOMS = (str, bytes, int, float, type(None))
_NUMBERS = int | float | np.generic


class PlainUnpickler(pickle._Unpickler):
    """Builds containers, numbers, text and numpy arrays by functions of our own; refuses everything else.

    Parameters
    ----------
    data : bytes or mmap
    more : names beside those of numpy -> what stands in for them

    Notes
    -----
    The form of the standard library in Python: in C neither the checks of arrays nor those of keys can be put in
    between, and both are needed. An array of object pointers is built from bytes of the file and crashes the process;
    tuples in tuples take for ever to hash as a key.
    """

    def __init__(self, data: Any, more: Mapping[tuple[str, str], Any] | None = None) -> None:
        # Published pickles were partly written by Python 2.
        super().__init__(data, encoding="latin1")
        self._size = len(data.getbuffer()) if isinstance(data, io.BytesIO) else len(data)
        self._encoded = 0
        self._names = {**self._numpy_names(), ("collections", "OrderedDict"): _dict, **(more or {})}

    def find_class(self, module: str, name: str) -> Any:
        """Return our own stand-in for a name.

        Raises
        ------
        pickle.UnpicklingError
            If there is none.
        """
        if (module, name) not in self._names:
            raise pickle.UnpicklingError(f"refused to load a file that asks for {module}.{name}; only arrays are read")
        return self._names[module, name]

    def _numpy_names(self) -> dict[tuple[str, str], Any]:
        """Return what a pickled numpy array is built from, in old and new versions of numpy."""
        cores = ("numpy.core", "numpy._core")
        return {
            ("numpy", "ndarray"): _Ndarray,
            ("numpy", "dtype"): _dtype,
            **{(f"{core}.multiarray", "_reconstruct"): _empty_array for core in cores},
            **{(f"{core}.multiarray", "scalar"): _scalar for core in cores},
            **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in cores},
            ("_codecs", "encode"): self._encode,
            **{(module, "bytes"): _no_bytes for module in ("__builtin__", "builtins")},
        }

    def _encode(self, text: str, encoding: str) -> bytes:
        """Return the bytes that protocols 0 to 2 write as text; no more of them than the file has."""
        _require(isinstance(text, str) and encoding == "latin1", "bytes in another form than latin1")
        self._encoded += len(text)
        _require(self._encoded <= self._size, "the same bytes again and again")
        return text.encode("latin1")

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def _build(self) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if isinstance(made, np.ndarray):
            made.__setstate__(_array_state(state))
        elif isinstance(made, np.dtype):
            made.__setstate__(_dtype_state(made, state))
        else:  # Attributes of a dict, such as the versions of a state dict, are left out.
            _require(isinstance(made, dict), f"the state of a {type(made).__name__}")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _fill(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _fill(self.stack[-1], items)

    def _make_dict(self) -> None:
        items = self.pop_mark()
        self.append(_fill({}, items))

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        _require(any(function is known for known in self._names.values()), "a call of something that is no name")
        self.stack[-1] = function(*arguments)

    def _byte_array(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        _require(size <= self._size, "more bytes than the file has")
        self.append(bytearray(self.read(size)))

    def _refuse(self) -> None:
        raise pickle.UnpicklingError("refused to load objects or sets; only arrays are read")

    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _make_dict
    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.BYTEARRAY8[0]] = _byte_array
    for _code in (
        *(pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.OBJ, pickle.INST, pickle.EXT1, pickle.EXT2, pickle.EXT4),
        *(pickle.EMPTY_SET, pickle.FROZENSET, pickle.ADDITEMS),
    ):
        dispatch[_code[0]] = _refuse


class _Ndarray:
    """Stands for the class of arrays, which a pickle names and hands to `_reconstruct`."""


def _require(is_so: bool, found: str) -> None:
    if not is_so:
        raise pickle.UnpicklingError(f"refused to load {found}; only arrays are read")


def _fill(mapping: Any, items: list[Any]) -> Any:
    _require(isinstance(mapping, dict), "entries of something that is no dict")
    for key, value in zip(items[::2], items[1::2], strict=True):
        parts = key if isinstance(key, tuple) else (key,)
        _require(all(isinstance(part, _ATOMS) for part in parts), f"a {type(key).__name__} as a key")
        mapping[key] = value
    return mapping


def _no_bytes() -> bytes:
    """Return what protocols 0 to 2 write for no bytes: a call without arguments."""
    return b""


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    return _fill({}, [part for pair in pairs for part in pair])


def _dtype(form: Any, align: Any = False, copy: Any = True) -> np.dtype:
    # Not `str` of anything else: of lists in lists that takes for ever.
    shown = repr(form[:40]) if isinstance(form, str) else type(form).__name__
    _require(isinstance(form, str) and bool(_DTYPE.fullmatch(form)), f"an array of {shown}")
    # A copy: what follows in the pickle sets the order of its bytes.
    return np.dtype(form, copy=True)


def _dtype_state(dtype: np.dtype, state: Any) -> tuple:
    _require(
        isinstance(state, tuple)
        and len(state) == 8
        and state[0] in (3, 4)
        and state[1] in ("<", ">", "|", "=")
        and state[2:5] == (None, None, None)
        # Size, alignment and flags: others than its own make numpy take numbers for pointers.
        and state[5:] == dtype.__reduce__()[2][5:8],
        "an array of another form",
    )
    return state


def _empty_array(kind: Any, shape: Any, form: Any) -> np.ndarray:
    _require(kind is _Ndarray, "a subclass of arrays")
    return np.empty(0, np.int8)


def _array_state(state: Any) -> tuple:
    _require(isinstance(state, tuple) and len(state) == 5, "an array of another form")
    _, shape, dtype, _, data = state
    _require(isinstance(dtype, np.dtype) and isinstance(data, bytes | str), "an array of objects")
    _require(_size(shape) * dtype.itemsize == len(data), f"an array whose shape {str(shape)[:40]} is not its content's")
    return state


def _size(shape: Any) -> int:
    is_shape = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 2**48 for n in shape) and len(shape) <= 32
    _require(is_shape, "an array of another form")
    return math.prod(shape)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    _require(isinstance(dtype, np.dtype) and isinstance(data, bytes | bytearray), "an array of objects")
    _require(_size(shape) * dtype.itemsize == len(data), f"an array whose shape {str(shape)[:40]} is not its content's")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Any, data: Any) -> Any:
    _require(isinstance(dtype, np.dtype) and isinstance(data, bytes | str), "an object")
    data = data.encode("latin1") if isinstance(data, str) else data
    _require(len(data) == dtype.itemsize, "a number of another form")
    return np.frombuffer(data, dtype)[0]


def unpickle(data: bytes) -> Any:
    """Return the content of a pickle of containers and numpy arrays; see `read_pickle`."""
    return PlainUnpickler(io.BytesIO(data)).load()


def read_pickle(path: Path) -> Any:
    """Read a pickle of containers and numpy arrays.

    Raises
    ------
    pickle.UnpicklingError
        If it names anything else.
    Exception
        Of any kind, where it is damaged.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return PlainUnpickler(data).load()


def as_array(value: Any, most: int) -> np.ndarray:
    """Return an array, a number, or a list of numbers or of rows of numbers, as an array.

    Parameters
    ----------
    most : numbers that its file can hold at most; a list may stand in many places of a pickle

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(value, np.ndarray | _NUMBERS):
        return np.asarray(value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected an array, found a {type(value).__name__}")
    if not all(isinstance(number, _NUMBERS) for number in value):
        shapes = {_shape_of(row) for row in value}
        if len(shapes) > 1 or None in shapes:
            raise ValueError("expected an array, found a list of different things or lengths")
        if len(value) * math.prod(*shapes) > most:
            raise ValueError("claims more numbers than its file has bytes")
    return np.asarray(value)


def _shape_of(row: Any) -> tuple[int, ...] | None:
    """Return the shape of an array or of a list of numbers, None of anything else."""
    if isinstance(row, np.ndarray):
        return row.shape
    is_list = isinstance(row, list | tuple) and all(isinstance(number, _NUMBERS) for number in row)
    return (len(row),) if is_list else None
