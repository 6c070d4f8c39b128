"""Load the published or random weights that a recipe names and hand them to its encoder."""

import functools
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.encoders.interface import Encoder, Weights
from workflow_scripts.lib.configuration.messages import nearest
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.gpus import has_gpu_driver, take_gpus
from workflow_scripts.lib.extraction.weight_files import LOADERS
from workflow_scripts.lib.store.digest import UNVERIFIED, verify_sha256, verify_unchanged

_REASON_CHARACTERS = 300


def load_encoder(settings: dict[str, Any]) -> Encoder:
    """Build the encoder of a feature with its weights loaded strictly.

    Parameters
    ----------
    settings : content of a feature's settings file

    Raises
    ------
    UserError
        the weights file is missing, is not the published one or that of another network, or nobody knows how to read
        it
    """
    recipe, weights = settings["recipe"], settings["weights"]
    module = importlib.import_module(f"models.encoders.{recipe['encoder']}")
    config = module.Config.model_validate(recipe["params"])
    if not weights:
        return module.load(config, None, "cpu")
    more = {role: read_weights(found) for role, found in settings.get("more_weights", {}).items()}
    content, device = read_weights(weights), resolve_device(settings["device"])
    try:
        return module.load(config, content, device, **more)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        # A file that is the published one is not to blame, nor is any file for a memory that is full.
        if weights.get("sha256") != UNVERIFIED or "out of memory" in str(error):
            raise
        reason = " ".join(str(error).split())[:_REASON_CHARACTERS]
        raise UserError(
            f"{weights['path']}: these are no weights of the encoder {recipe['encoder']!r} with its `params`: {reason}"
        ) from error


def loaded_once(settings: dict[str, Any]) -> Callable[[], Encoder]:
    """Return what gives the encoder of a feature, loaded on the first call, however many shards a job has."""
    return functools.cache(functools.partial(load_encoder, settings))


def read_weights(weights: dict[str, Any]) -> Weights:
    """Return the weights that a settings file names: a seed, or what the file's loader makes of it.

    Raises
    ------
    UserError
        the file is missing or is not the published one, or nobody knows how to read it
    """
    if "seed" in weights:
        return weights["seed"]
    content = _read_file(weights)
    for part in weights.get("parts", ()):
        content = _with_part(content, _read_file(part))
    return content


def _read_file(weights: dict[str, Any]) -> Any:
    """Check one weights file and read it with the loader that its entry names."""
    path, loader = Path(weights["path"]), LOADERS.get(weights["loader"])
    if loader is None:
        hint = nearest(weights["loader"], LOADERS)
        raise UserError(f"config/weights.yaml: {weights['name']}.loader: unknown loader {weights['loader']!r}; {hint}")
    if not path.is_file():
        raise UserError(missing_weights(weights))
    if weights["sha256"] == UNVERIFIED:
        verify_unchanged(path)
    else:
        verify_sha256(path, weights["sha256"], str(path), "delete the file and download it again")
    return loader(path)


def _with_part(content: Any, part: Any) -> Any:
    """Return one dict for the tensors of two files; a folder is read by its library and has its parts inside."""
    return {**content, **part} if isinstance(content, dict) else content


def missing_weights(weights: dict[str, Any]) -> str:
    """Return what to do about a weights file that is not there."""
    if weights["url"] is None and weights.get("source"):
        return f"weights {weights['name']!r} are not at {weights['path']}. Put the file there: {weights['source']}"
    if weights["url"] is None:
        return f"weights {weights['name']!r}, which a package ships, are not at {weights['path']}; run `make setup`"
    return (
        f"weights {weights['name']!r} are not at {weights['path']}. Download {weights['url']} "
        f"(sha256 {weights['sha256']}) and put the file there, or run "
        f"`snakemake --cores 1 {weights['path']}` on a machine with internet"
    )


def resolve_device(device: str, n_gpus: int = 1) -> str:
    """Return `cuda` or `cpu` for a configured device; of several GPUs this process takes free ones, by default one.

    A process that torchrun started takes none: those that it shares were taken before.

    Raises
    ------
    UserError
        a GPU is asked for and none is visible
    """
    # Torch takes seconds and 300 MB to ask, and recognisers of speech have no other use for it.
    if device == "cpu" or (device == "auto" and "torch" not in sys.modules and not has_gpu_driver()):
        return "cpu"
    if "RANK" not in os.environ:
        take_gpus(n_gpus)
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("config/config.yaml: device: `cuda`, but no GPU is visible; use `auto` or `cpu`")
    return device
