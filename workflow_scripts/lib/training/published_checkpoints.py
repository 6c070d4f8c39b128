"""Published checkpoints: read as they were saved, and brought into the form of our own."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.foreign.torch_files import read_safetensors, read_torch, state_of
from workflow_scripts.lib.store.digest import file_sha256
from workflow_scripts.lib.training.checkpoint import Trained, build_system, notes_of
from workflow_scripts.lib.training.standardiser import Standardiser

log = logging.getLogger(__name__)


def warn_of_other_inputs(settings: Mapping[str, Any]) -> None:
    """Warn if a system reads other features, transcripts or annotations than its published checkpoint was trained with.

    Parameters
    ----------
    settings : content of the system's settings file
    """
    config = settings["config"]
    features = [name for content in config["streams"].values() for name in content["names"]]
    read = {*features, config["transcript"], settings["annotations"]}
    others = [name for name in config["published_inputs"] if name not in read]
    if others:
        log.warning(
            "OtherInputs: the published checkpoint was trained with %s, which is not read here (read are %s): its "
            "answers will differ from the published ones",
            ", ".join(others),
            ", ".join(sorted(filter(None, read))),
        )


def read_published(path: Path) -> Mapping[str, Any]:
    """Return what a torch or safetensors file holds: a state dict, or a mapping that has one in it.

    Raises
    ------
    UserError
        the file is damaged, of another form, or holds Python objects besides tensors
    """
    return read_safetensors(path) if path.suffix == ".safetensors" else state_of(read_torch(path), path)


def imported(
    settings: Mapping[str, Any],
    fitted: dict[str, Any],
    stream_dims: Mapping[str, Sequence[int]],
    state: Mapping[str, Any],
    path: Path,
) -> Trained:
    """Return published weights as a checkpoint of the system with these settings.

    Parameters
    ----------
    settings : content of the system's settings file
    fitted : what the system learnt from its queries
    state : content of the published file
    path : where that is, for messages and provenance

    Raises
    ------
    UserError
        the weights are not those of the system with these settings
    """
    config = settings["config"]
    system = build_system(config["system"], config["settings"], fitted, stream_dims)
    try:
        weights = system.import_checkpoint(state)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    notes = notes_of(settings, fitted, stream_dims, seed=None)
    notes["imported"] = {"file": path.name, "sha256": file_sha256(path)}
    return Trained(weights, Standardiser({}), notes)
