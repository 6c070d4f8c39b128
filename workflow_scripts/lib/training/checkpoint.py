"""A trained system in one safetensors file: weights, standardisation and everything needed to use them."""

import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.systems.interface import train_config
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import atomic_path, telling_of_full_disks
from workflow_scripts.lib.training.standardiser import Standardiser
from workflow_scripts.lib.versions import UNKNOWN_REVISION, code_revision

FORMAT_VERSION = 1
_METADATA = {"format_version", "notes", "digest"}
"""Checkpoints of the first releases have no digest and are read as they are."""
NETWORK, STANDARDISER = "network.", "standardise."


@dataclass
class Trained:
    """What a checkpoint holds.

    Attributes
    ----------
    notes : system, config, fitted, stream_dims, recipes, code_revision, seed, epoch and score, JSON-serialisable
    """

    state: Mapping[str, torch.Tensor]
    standardiser: Standardiser
    notes: dict[str, Any]


def notes_of(
    settings: Mapping[str, Any], fitted: dict[str, Any], stream_dims: Mapping[str, Sequence[int]], seed: int | None
) -> dict[str, Any]:
    """Return the notes of a checkpoint of a system with these settings, before anything is trained.

    Parameters
    ----------
    settings : content of the system's settings file
    fitted : what the system learnt from its items
    stream_dims : stream -> width of each of its features
    seed : of the training; None for an imported checkpoint
    """
    config = settings["config"]
    return {
        "system": config["system"],
        "dataset": settings["dataset"],
        "config": config,
        "fitted": fitted,
        "stream_dims": {stream: list(dims) for stream, dims in stream_dims.items()},
        "recipes": settings["whole_recipes"],
        "code_revision": code_revision(),
        "seed": seed,
        "epoch": None,
        "score": None,
        "train_seconds": 0.0,
    }


def write_checkpoint(path: Path, trained: Trained) -> None:
    """Write a checkpoint atomically."""
    tensors = {f"{NETWORK}{key}": value.detach().cpu().contiguous().clone() for key, value in trained.state.items()}
    for stream, moments in trained.standardiser.moments.items():
        for i, (mean, scale) in enumerate(moments):
            tensors[f"{STANDARDISER}{stream}.{i}.mean"] = torch.from_numpy(mean)
            tensors[f"{STANDARDISER}{stream}.{i}.scale"] = torch.from_numpy(scale)
    notes = json.dumps(trained.notes, sort_keys=True)
    metadata = {"format_version": str(FORMAT_VERSION), "notes": notes, "digest": _digest(tensors, notes)}
    with atomic_path(path) as temporary, telling_of_full_disks(path):
        save_file(tensors, temporary, metadata=metadata)


def _digest(tensors: Mapping[str, torch.Tensor], notes: str) -> str:
    """Return the sha256 of everything in a checkpoint: the format itself would not notice a flipped bit."""
    sha = hashlib.sha256(notes.encode())
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def read_checkpoint(path: Path) -> Trained:
    """Read a checkpoint.

    Raises
    ------
    UserError
        the file is missing, damaged or of another format version
    """
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint; train it first, or correct checkpoint_from")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            found = metadata.get("format_version")
            if "notes" in metadata and found != str(FORMAT_VERSION):
                raise UserError(
                    f"{path}: a checkpoint of format version {found}, this code reads {FORMAT_VERSION}; use the code "
                    "that wrote it, or delete it and train again"
                )
            if "notes" not in metadata:
                raise UserError(f"{path}: not a momentflow checkpoint of format version {FORMAT_VERSION}")
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, UnicodeError) as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); delete it and train again") from error
    digest = _digest(tensors, metadata["notes"])
    if metadata.get("digest", digest) != digest or metadata.keys() - _METADATA:
        raise UserError(f"{path}: damaged checkpoint (its content differs from its digest); delete it and train again")
    state = {key.removeprefix(NETWORK): value for key, value in tensors.items() if key.startswith(NETWORK)}
    notes = json.loads(metadata["notes"])
    moments = {
        stream: [_moments(tensors, f"{STANDARDISER}{stream}.{i}") for i in range(len(dims))]
        for stream, dims in notes["stream_dims"].items()
        if f"{STANDARDISER}{stream}.0.mean" in tensors
    }
    return Trained(state, Standardiser(moments), notes)


def _moments(tensors: Mapping[str, torch.Tensor], prefix: str) -> tuple[np.ndarray, np.ndarray]:
    return tensors[f"{prefix}.mean"].numpy(), tensors[f"{prefix}.scale"].numpy()


def build_system(name: str, settings: Mapping[str, Any], fitted: dict[str, Any], stream_dims: Mapping[str, Any]) -> Any:
    """Return the system object of `models/systems/<name>` for resolved settings."""
    return system_class(name)(system_config(name, settings), fitted, stream_dims)


def rebuild(trained: Trained, base: Mapping[str, Any], path: Path) -> tuple[Any, torch.nn.Module]:
    """Return the system of a checkpoint, and its network with the trained weights.

    Parameters
    ----------
    base : published weights that parts of the network are filled from, by name
    path : of the checkpoint, for messages

    Raises
    ------
    UserError
        the network of this version of the code has other weights
    """
    notes = trained.notes
    system = build_system(notes["config"]["system"], notes["config"]["settings"], notes["fitted"], notes["stream_dims"])
    network = system.network(base)
    try:
        network.load_state_dict(trained.state, strict=True)
    except RuntimeError as error:
        made_by, here = notes.get("code_revision", UNKNOWN_REVISION), code_revision()
        raise UserError(
            f"{path}: its weights do not fit the network of this version of the code ({here}); it was written by "
            f"{made_by}. Use that version, or delete the file and train again. {error}"
        ) from error
    return system, network


def system_class(name: str) -> Any:
    """Return the class that implements a system."""
    return importlib.import_module(f"models.systems.{name}.system").System


def system_config(name: str, settings: Mapping[str, Any]) -> Any:
    """Return a system's typed configuration."""
    return importlib.import_module(f"models.systems.{name}.config").Config.model_validate(settings)


def learns_by_steps(settings: Mapping[str, Any]) -> bool:
    """Return whether a system is trained by gradient steps, or by `fit` alone.

    `settings`: content of the system's settings file.
    """
    config = settings["config"]
    return train_config(system_config(config["system"], config["settings"])) is not None


def check_recipes(settings: Mapping[str, Any], trained_on: Mapping[str, str], checkpoint: Path) -> None:
    """Refuse features that are not, but for windows, those the checkpoint was trained on."""
    other = [name for name, recipe in settings["whole_recipes"].items() if trained_on.get(name) != recipe]
    if other:
        raise UserError(
            f"{checkpoint}: was not trained on the features {', '.join(other)} as they are now; use the same features "
            f"({', '.join(trained_on)}) with the same recipes, or train again"
        )
