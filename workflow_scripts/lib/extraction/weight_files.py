"""The forms in which weights are published, and what reads them."""

import codecs
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError

CHECKPOINT_KEYS = ("model", "module", "state_dict")


def read_torchscript(path: Path) -> dict[str, Any]:
    """Read the state dict of a TorchScript archive."""
    import torch

    return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def read_model_entry(path: Path) -> dict[str, Any]:
    """Read the entry `model` of a torch checkpoint."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)["model"]


def read_whisper(path: Path) -> dict[str, Any]:
    """Read an openai-whisper checkpoint: `dims` and `model_state_dict`."""
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def read_state_dict(path: Path) -> dict[str, Any]:
    """Read a torch file that is nothing but tensors, or numpy arrays, by name."""
    import numpy as np
    import torch

    # Files of the years before numpy 2 name its modules as they were called then.
    trusted = [
        (np._core.multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")
    ]
    trusted += [np.ndarray, np.dtype, type(np.dtype(np.float32)), type(np.dtype(np.float64))]
    with torch.serialization.safe_globals(trusted):
        return dict(torch.load(path, map_location="cpu", weights_only=True))


def read_tensors(path: Path) -> dict[str, Any]:
    """Read the weights of a training checkpoint, bare or under one of the usual keys, `module.` removed."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    for key in CHECKPOINT_KEYS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    return {name.removeprefix("module."): value for name, value in content.items()}


def read_safetensors(path: Path) -> dict[str, Any]:
    """Read a safetensors file."""
    from safetensors.torch import load_file

    return load_file(path)


def read_model_state_entry(path: Path) -> dict[str, Any]:
    """Read the entry `model_state` of a PySlowFast or pytorchvideo checkpoint."""
    return read_state_dict(path)["model_state"]


class _ArraysOnly(pickle.Unpickler):
    """Unpickler that makes numpy arrays and plain containers, and refuses every other object."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct", "ndarray", "dtype", "scalar"}
        if name in allowed and module.partition(".")[0] == "numpy":
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        if (module, name) == ("_codecs", "encode"):
            return codecs.encode
        raise pickle.UnpicklingError(f"the file asks for {module}.{name}; only arrays are read")


def read_caffe2(path: Path) -> dict[str, Any]:
    """Read the blobs of a Caffe2 model-zoo pickle; nothing but arrays is unpickled.

    Raises
    ------
    UserError
        the file is no such pickle, or holds objects that are no arrays
    """
    try:
        with path.open("rb") as file:
            return dict(_ArraysOnly(file, encoding="latin1").load()["blobs"])
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a Caffe2 pickle of arrays under `blobs`: {error}") from error


LOADERS: dict[str, Callable[[Path], Any]] = {
    "TorchScript archive": read_torchscript,
    "torch checkpoint, key `model`": read_model_entry,
    "torch checkpoint, key `model_state`": read_model_state_entry,
    "torch checkpoint": read_tensors,
    "torch state dict": read_state_dict,
    "safetensors": read_safetensors,
    "Caffe2 pickle": read_caffe2,
    "sentence-transformers folder": lambda path: path.parent,
    "openai-whisper checkpoint": read_whisper,
    "transformers folder": lambda path: path.parent,
    "word vectors": lambda path: path,
    "CTranslate2 folder": lambda path: path.parent,
    "part of a folder": lambda path: {},
}
"""`loader` of config/weights.yaml -> how the file becomes what an encoder takes."""
