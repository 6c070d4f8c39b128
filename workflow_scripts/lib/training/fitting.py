"""Systems that learn from their items alone, without gradient steps: fitted, and ready to be asked."""

from collections.abc import Mapping
from typing import Any

from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.training.checkpoint import Trained, notes_of, system_class, system_config, write_checkpoint
from workflow_scripts.lib.training.data import TrainingData
from workflow_scripts.lib.training.standardiser import Standardiser
from workflow_scripts.lib.training.state import StateFolder


def fit_only(
    settings: Mapping[str, Any], data: TrainingData, state: StateFolder, seed: int, base: Mapping[str, Any]
) -> None:
    """Leave the checkpoint of a system that learns by `fit` alone in the folder of its state.

    Parameters
    ----------
    settings : content of the system's settings file
    base : published weights that parts of the network are filled from, by name
    """
    config = settings["config"]
    typed, kind = system_config(config["system"], config["settings"]), system_class(config["system"])
    standardised = [stream for stream, content in config["streams"].items() if content["standardise"]]
    fitted = kind.fit(typed, [*data.train.items, *data.also_fitted])
    weights = kind(typed, fitted, data.stream_dims).network(base).state_dict()
    notes = notes_of(settings, fitted, data.stream_dims, seed)
    write_checkpoint(state.best, Trained(weights, Standardiser.fit(data.train.items, standardised), notes))
    write_text(state.history, "")
    state.finish()
