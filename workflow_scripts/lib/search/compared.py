"""What a query is compared with: the features and settings of a system that answers without training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.systems.zero_shot.config import Config
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import published_weights
from workflow_scripts.lib.configuration.schema import TranscriptFeature
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import feature_settings, shipped_path, weight_path

OFFLINE = {"zero_shot_labels": "things in the picture by name", "zero_shot_speech_tiny": "what is said"}
"""Systems whose weights come with the packages, and what they compare."""


@dataclass(frozen=True)
class Compared:
    """A system's side of the videos and of the query.

    Attributes
    ----------
    system : str
    stream : str
        What the videos are known by: `visual`, `captions`, `speech`.
    feature : str
        Its feature.
    text : dict
        Settings of the jobs that encode queries.
    recipes : list
        Everything that decides rows of videos and queries.
    missing : list of str
        Weights files that have to be fetched.
    config : Config
        Settings of the system.
    """

    system: str
    stream: str
    feature: str
    text: dict[str, Any]
    recipes: list[Any]
    missing: list[str]
    config: Config

    def without_weights(self) -> str:
        """Return what to do if weights could not be fetched; nothing if all are there."""
        lost = [file for file in self.missing if not Path(file).is_file()]
        instead = " or ".join(f"--system {name} ({what})" for name, what in OFFLINE.items())
        return f"; {', '.join(lost)} cannot be had. Without any download: {instead}" if lost else ""


def compared_by(configuration: Configuration, dataset: str, system: str, localiser: str | None = None) -> Compared:
    """Return what a system compares on a dataset.

    Parameters
    ----------
    localiser : instead of the system's own

    Raises
    ------
    UserError
        there is no such system, or it is none that finds moments without training
    """
    described = configuration.system(dataset, system)
    config = Config.model_validate(described.settings) if described.system == "zero_shot" else None
    if config is None or "moments" not in config.tasks:
        raise UserError(
            f"--system {system}: does not find moments without training; take zero_shot, {' or '.join(OFFLINE)}"
        )
    streams = {stream: content.names[0] for stream, content in described.streams.items()}
    text = streams.pop("text")
    if len(streams) > 1:
        raise UserError(
            f"--system {system}: compares {' and '.join(streams)}; a search fuses systems of one of them each, by "
            f"several options: --system {' --system '.join(OFFLINE)}"
        )
    [(stream, feature)] = streams.items()
    named = configuration.feature(dataset, feature)
    features = [feature, text, *([named.of] if isinstance(named, TranscriptFeature) else [])]
    settings = {name: feature_settings(configuration, dataset, name) for name in features}
    entries = [
        configuration.weight(weights)
        for name in features
        for weights in published_weights(configuration, configuration.feature(dataset, name))
    ]
    files = {weight_path(entry, configuration.root.paths.weights): None for entry in entries if not shipped_path(entry)}
    missing = [str(file) for file in files if not file.is_file()]
    recipes = [settings[name]["recipe"] for name in features]
    own = config if localiser is None else config.model_copy(update={"localiser": localiser})
    return Compared(system, stream, feature, settings[text], recipes, missing, own)
