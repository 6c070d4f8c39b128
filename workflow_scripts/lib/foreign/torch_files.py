"""Files of torch and safetensors: looked through before torch reads them, which trusts their sizes."""

import io
import mmap
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from workflow_scripts.lib.foreign.boundary import UnreadableFile, check_claim, reading
from workflow_scripts.lib.foreign.pickles import PlainUnpickler

_LEGACY_PICKLES = 5
"""Magic number, protocol, machine, content, keys of storages: how files began before torch 1.6."""
_REMEDY = "Download or copy it again, or save its tensors alone, by name, with torch.save"
_STORAGES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage"), 1),
}
"""Kind of storage -> bytes per number."""
_PARTS = (
    *(("torch._utils", f"_rebuild_{part}") for part in ("tensor_v2", "tensor_v3", "parameter", "parameter_with_state")),
    *(("torch._utils", "_rebuild_meta_tensor_no_storage"), ("torch._tensor", "_rebuild_from_type_v2")),
    *(("torch", kind) for kind in (*_STORAGES, "Size", "Tensor", "device")),
    *(("torch.storage", "UntypedStorage"), ("torch.nn.parameter", "Parameter"), ("collections", "Counter")),
)
_NUMBERS = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
"""What the pickle of a torch file may name besides arrays of numpy; torch decides itself what it builds of them."""


def read_torch(path: Path, mapped: bool = False) -> Any:
    """Read tensors and plain containers from a torch file.

    Parameters
    ----------
    mapped : leave large tensors on disk until they are used

    Raises
    ------
    UnreadableFile
        If it is damaged, holds anything else, or is no torch file.
    """
    import torch

    with reading(path, "readable torch file of tensors", _REMEDY):
        is_zip = check_torch(path)
        try:
            with torch.serialization.safe_globals(_numpy_names()):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)
        except pickle.UnpicklingError as error:
            # torch's own words advise to load the file without its checks.
            raise ValueError("it holds more than tensors") from error


def check_torch(path: Path) -> bool:
    """Look through a torch file before anything trusts it; return whether it is of today's form, a zip archive.

    Raises
    ------
    Exception
        Of any kind, where it is damaged or holds more than tensors.
    """
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if is_zip:
        _check_zip(path, _Checker)
    else:
        _check_legacy(path)
    return is_zip


def read_torchscript(path: Path) -> dict[str, Any]:
    """Read the tensors of a TorchScript archive by name.

    Raises
    ------
    UnreadableFile
        If it is damaged or no such archive.
    """
    import torch

    with reading(path, "readable TorchScript archive", "Download or copy it again"):
        _check_zip(path, _ScriptChecker)
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read the tensors of a safetensors file.

    Raises
    ------
    UnreadableFile
        If it is damaged or no such file.
    """
    from safetensors.torch import load_file

    with reading(path, "readable checkpoint in the form of safetensors", "Download or copy it again"):
        return load_file(path)


def state_of(content: Any, path: Path, key: str | None = None) -> dict[str, Any]:
    """Return the tensors by name that a file holds, or has under `key`.

    Raises
    ------
    UnreadableFile
        If it holds something else.
    """
    if key is not None and isinstance(content, Mapping):
        if key not in content:
            raise UnreadableFile(f"{path}: has no entry {key!r}, found {', '.join(map(str, list(content)[:10]))}")
        content = content[key]
    if not isinstance(content, Mapping):
        raise UnreadableFile(f"{path}: expected a state dict, found {type(content).__name__}. {_REMEDY}.")
    for name, value in content.items():
        if not isinstance(name, str):
            raise UnreadableFile(f"{path}: expected tensors by name, found one called {name!r}. {_REMEDY}.")
        if getattr(value, "is_meta", False):
            raise UnreadableFile(f"{path}: {name} is a tensor on the device `meta`, without numbers. {_REMEDY}.")
    return dict(content)


def tensor_values(tensor: Any, where: str) -> np.ndarray:
    """Return the numbers of a tensor, or of an array of numpy in its place.

    Raises
    ------
    UnreadableFile
        If it is none, or one without content.
    """
    import torch

    if isinstance(tensor, np.ndarray):
        return tensor
    if not isinstance(tensor, torch.Tensor):
        raise UnreadableFile(f"{where}: expected a tensor, found {type(tensor).__name__}")
    if tensor.is_meta:
        raise UnreadableFile(f"{where}: a tensor on the device `meta`, which has a shape and no numbers")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise UnreadableFile(f"{where}: a sparse or quantised tensor, expected plain numbers")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise UnreadableFile(f"{where}: claims a shape {tuple(tensor.shape)} of which it has a part only")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _numpy_names() -> list[Any]:
    """Return what torch has to be allowed for arrays of numpy; only the numeric ones have come so far."""
    kinds = {type(np.dtype(form)) for form in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")}
    # Files of the years before numpy 2 name its modules as they were called then.
    cores = ("numpy.core", "numpy._core")
    functions = [(np._core.multiarray._reconstruct, f"{core}.multiarray._reconstruct") for core in cores]
    scalars = [(np._core.multiarray.scalar, f"{core}.multiarray.scalar") for core in cores]
    return [*functions, *scalars, np.ndarray, np.dtype, *kinds]


def _check_zip(path: Path, checker: "type[_Checker]") -> None:
    """Look through a file of today's form: checksums, what its pickle names, sizes of its storages."""
    with zipfile.ZipFile(path) as file:
        check_claim(sum(info.file_size for info in file.infolist()), path.stat().st_size, path)
        damaged = file.testzip()
        if damaged is not None:
            raise ValueError(f"its part {damaged} differs from its checksum: bits were lost on the way")
        sizes = {info.filename: info.file_size for info in file.infolist()}
        main = next((name for name in sizes if name == "data.pkl" or name.endswith("/data.pkl")), None)
        if main is None:
            raise ValueError("an archive without data.pkl")
        folder = main.removesuffix("data.pkl")
        held = {name.removeprefix(f"{folder}data/"): size for name, size in sizes.items()}
        checker(io.BytesIO(file.read(main)), held).load()


def _check_legacy(path: Path) -> None:
    """Look through the pickles at the begin of a file of the old form."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(_LEGACY_PICKLES):
            _Checker(data, None).load()


class _Named:
    """Stands in for a part of torch: can be called and is not run."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any) -> "_Named":
        return _Named(self.name)


class _Checker(PlainUnpickler):
    """Goes through the pickle of a torch file: its names, keys, arrays of numpy, and the sizes of its storages.

    Parameters
    ----------
    held : name of a storage -> its bytes; None: they follow in the same file
    """

    def __init__(self, data: Any, held: Mapping[str, int] | None) -> None:
        names = {(module, name): _Named(name) for module, name in (*_PARTS, *(("torch", kind) for kind in _NUMBERS))}
        super().__init__(data, names)
        self._held = held

    def persistent_load(self, pid: Any) -> _Named:
        """Return a stand-in for a storage that is as large as it says.

        Raises
        ------
        ValueError
            If it is not.
        """
        _, kind, key, _, size, *_ = pid
        claimed = size * _STORAGES.get(kind.name, 1)
        held = self._size if self._held is None else self._held.get(key, 0)
        if claimed > held:
            raise ValueError(f"it claims {claimed:,} bytes for a tensor, but has {held:,} bytes for it")
        return _Named("storage")


class _ScriptChecker(_Checker):
    """Goes through the pickle of a TorchScript archive, which names classes of its own code; none of them is made."""

    def find_class(self, module: str, name: str) -> _Named:
        """Return a stand-in for any name."""
        return _Named(name)

    dispatch: ClassVar = dict(_Checker.dispatch)

    def _make(self) -> None:
        self.stack.pop()
        self.stack[-1] = _Named("object")

    def _build(self) -> None:
        self.stack.pop()

    dispatch[pickle.NEWOBJ[0]] = _make
    dispatch[pickle.REDUCE[0]] = _make
    dispatch[pickle.BUILD[0]] = _build
