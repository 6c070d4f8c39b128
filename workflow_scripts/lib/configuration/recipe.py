"""What identifies the rows of a feature: its resolved settings, its weights and the version of its encoder's code."""

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from models.systems.interface import captions_of, tasks_of
from workflow_scripts.lib.configuration.compose import NO_WEIGHTS, RANDOM_WEIGHTS, Configuration
from workflow_scripts.lib.configuration.messages import nearest
from workflow_scripts.lib.configuration.schema import ExtractedFeature, FeatureBase, System
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.versions import versions_of

# What only tells people about a feature, and how it is computed.
_DECIDES_NOTHING = {"description", "dim", "used_by", "runtime"}
# Where files are decides nothing, nor how imported ones are called: the keys of their rows hold their content.
_OF_IMPORT_PLACE = {"path", "id_pattern", "queries_of"}


def random_seed(weights: str) -> int | None:
    """Return the seed of `random(SEED)`, None for the name of a registry entry."""
    match = RANDOM_WEIGHTS.fullmatch(weights)
    return int(match[1]) if match else None


def is_published(weights: str) -> bool:
    """Return whether weights are an entry of the registry."""
    return weights != NO_WEIGHTS and random_seed(weights) is None


def published_weights(configuration: Configuration, feature: FeatureBase) -> list[str]:
    """Return the registry entries whose files a feature needs, parts included."""
    if not isinstance(feature, ExtractedFeature):
        return []
    named = [weights for weights in (feature.weights, *feature.more_weights.values()) if is_published(weights)]
    return with_parts(configuration, named)


def with_parts(configuration: Configuration, names: Iterable[str]) -> list[str]:
    """Return registry entries, each before the further files that it consists of."""
    return [entry for name in names for entry in (name, *configuration.weight(name).parts)]


def base_weights(system: System) -> tuple[str, ...]:
    """Return the registry entries that parts of a system's network are filled from."""
    module = importlib.import_module(f"models.systems.{system.system}.config")
    return module.base_weights(_typed(system)) if hasattr(module, "base_weights") else ()


def fit_files(configuration: Configuration, system: System) -> dict[str, str]:
    """Return the registry entries that a system's `fit` reads, by the setting that names each.

    A setting may also hold the path of a file that is there; such a one is left out.

    Raises
    ------
    UserError
        a setting names neither
    """
    found = {}
    for key, value in getattr(_typed(system), "fit_files", {}).items():
        if value in configuration.weight_names():
            found[key] = value
        elif not Path(value).is_file():
            hint = nearest(value, configuration.weight_names())
            raise UserError(f"system {system.title!r}: settings.{key}: neither weights nor a file: {value!r}; {hint}")
    return found


def fits_on(system: System) -> tuple[str, ...]:
    """Return the roles of the splits whose queries a system's `fit` reads: `train`, `test`."""
    return getattr(_typed(system), "fits_on", ())


def captions_described(system: System) -> tuple[str, ...]:
    """Return what a system's captions describe: `videos`, `steps`, both or nothing."""
    typed = _typed(system)
    return captions_of(typed) if "captions" in tasks_of(typed) else ()


def learns(system: System) -> bool:
    """Return whether a system learns anything, so that there has to be a split to learn from."""
    return getattr(_typed(system), "learns", True)


def _typed(system: System) -> Any:
    """Return a system's own settings as the `Config` of its config.py."""
    return importlib.import_module(f"models.systems.{system.system}.config").Config.model_validate(system.settings)


def known_by(configuration: Configuration, weights: str) -> str:
    """Return the checksums of a weights file and its parts, or their names where nobody has verified one."""
    sums = {name: configuration.weight(name).sha256 for name in (weights, *configuration.weight(weights).parts)}
    return "+".join(f"unverified:{name}" if sha256 == "unverified" else sha256 for name, sha256 in sums.items())


def feature_recipe(configuration: Configuration, feature: FeatureBase) -> dict[str, Any]:
    """Return the recipe of a feature: everything that may change its rows and nothing else."""
    if not isinstance(feature, ExtractedFeature):
        return feature.model_dump(mode="json", exclude=_DECIDES_NOTHING | _OF_IMPORT_PLACE)
    encoder = importlib.import_module(f"models.encoders.{feature.encoder}")
    left_out = dict.fromkeys([*_DECIDES_NOTHING, "more_weights"], True)
    settings = feature.model_dump(mode="json", exclude=left_out | {"images": {"path"}})
    if is_published(feature.weights):
        settings["weights_sha256"] = known_by(configuration, feature.weights)
    if feature.more_weights:
        settings["more_weights"] = {
            role: known_by(configuration, weights) if is_published(weights) else weights
            for role, weights in feature.more_weights.items()
        }
    settings["recipe_version"] = encoder.RECIPE_VERSION
    if versions := versions_of(_parts_before_encoder(feature)):
        settings["versions"] = versions
    return settings


def _parts_before_encoder(feature: ExtractedFeature) -> list[str]:
    """Return the parts of the code that make what an encoder gets; words come as they are."""
    if feature.kind != "visual":
        return ["sound"] if feature.kind in ("audio", "speech", "spoken") else []
    parts = [f"sampling/{feature.sampling.rule}", "images" if feature.images else "frames"]
    return parts if feature.resize is None else [*parts, f"resize/{feature.resize.rule}"]


def sampling_name(feature: FeatureBase) -> str:
    """Return the folder name of a visual feature's sampling plan, such as `ffmpeg_fps-rate-2`."""
    sampling = getattr(feature, "sampling", None)
    if sampling is None:
        raise UserError(f"feature of kind {feature.kind!r} has no frame sampling")
    given = sampling.model_dump(mode="json", exclude_defaults=True, exclude={"rule"})
    words = [sampling.rule] + [f"{key}-{value}" for key, value in sorted(given.items())]
    return "-".join(words).replace("/", "_").replace(".", "p")
