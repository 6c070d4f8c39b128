"""The forms in which weights are published, and what reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.layers.word_vectors import lines_of
from workflow_scripts.lib.foreign.boundary import reading
from workflow_scripts.lib.foreign.model_folders import check_folder
from workflow_scripts.lib.foreign.pickles import as_array, read_pickle
from workflow_scripts.lib.foreign.torch_files import read_safetensors, read_torch, read_torchscript, state_of

CHECKPOINT_KEYS = ("model", "module", "state_dict")
_LONGEST_LINE = 2**20


def read_model_entry(path: Path) -> dict[str, Any]:
    """Read the entry `model` of a torch checkpoint."""
    return state_of(read_torch(path), path, "model")


def read_state_dict(path: Path) -> dict[str, Any]:
    """Read a torch file that is nothing but tensors, or numpy arrays, by name."""
    return state_of(read_torch(path), path)


def read_tensors(path: Path) -> dict[str, Any]:
    """Read the weights of a training checkpoint, bare or under one of the usual keys, `module.` removed."""
    content = state_of(read_torch(path, mapped=True), path)
    for key in CHECKPOINT_KEYS:
        if isinstance(content.get(key), dict):
            content = state_of(content, path, key)
            break
    return {name.removeprefix("module."): value for name, value in content.items()}


def read_model_state_entry(path: Path) -> dict[str, Any]:
    """Read the entry `model_state` of a PySlowFast or pytorchvideo checkpoint."""
    return state_of(read_torch(path), path, "model_state")


def read_caffe2(path: Path) -> dict[str, Any]:
    """Read the blobs of a Caffe2 model-zoo pickle; nothing but arrays is unpickled.

    Raises
    ------
    UserError
        the file is no such pickle, or holds objects that are no arrays
    """
    with reading(path, "Caffe2 pickle of arrays under `blobs`", "Download or copy it again"):
        return {name: as_array(blob, path.stat().st_size) for name, blob in read_pickle(path)["blobs"].items()}


def check_word_vectors(path: Path) -> Path:
    """Return a file of word vectors, which is read when its words are known, after a look at its first line.

    Raises
    ------
    UserError
        it is damaged, or no such file
    """
    with reading(path, "file of word vectors, a word and its numbers per line", "Download or copy it again"):
        with lines_of(path) as lines:
            numbers = lines.readline(_LONGEST_LINE).split(" ")[1:]
        if not list(map(float, numbers)):
            raise ValueError("its first line holds no numbers")
    return path


LOADERS: dict[str, Callable[[Path], Any]] = {
    "TorchScript archive": read_torchscript,
    "torch checkpoint, key `model`": read_model_entry,
    "torch checkpoint, key `model_state`": read_model_state_entry,
    "torch checkpoint": read_tensors,
    "torch state dict": read_state_dict,
    "safetensors": read_safetensors,
    "Caffe2 pickle": read_caffe2,
    "sentence-transformers folder": lambda path: check_folder(path.parent),
    "openai-whisper checkpoint": read_state_dict,
    "transformers folder": lambda path: check_folder(path.parent),
    "word vectors": check_word_vectors,
    "CTranslate2 folder": lambda path: check_folder(path.parent),
    "part of a folder": lambda path: {},
}
"""`loader` of config/weights.yaml -> how the file becomes what an encoder takes."""
