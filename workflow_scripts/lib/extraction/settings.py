"""The resolved settings of one feature on one dataset, as a file that every extraction job reads."""

import importlib.util
from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import NO_WEIGHTS, feature_recipe, random_seed
from workflow_scripts.lib.configuration.schema import ExtractedFeature, FeatureBase, Weight


def feature_settings(configuration: Configuration, dataset: str, name: str) -> dict[str, Any]:
    """Return what an extraction job needs to know: the recipe, which decides the rows, and how to run it."""
    feature = configuration.feature(dataset, name)
    paths = configuration.root.paths
    is_imported = not isinstance(feature, ExtractedFeature)
    return {
        "source": feature.model_dump(include={"path", "id_pattern"}) if is_imported else None,
        "folder": None if is_imported else _input_folder(configuration, dataset, feature),
        "dataset": dataset,
        "feature": name,
        "recipe": feature_recipe(configuration, feature),
        "runtime": feature.runtime.model_dump(mode="json"),
        "weights": weights_settings(configuration, feature.weights),
        "more_weights": {
            role: weights_settings(configuration, weights)
            for role, weights in getattr(feature, "more_weights", {}).items()
        },
        "device": configuration.root.device,
        # Imported rows lie in their source already.
        "feature_cache": None if is_imported else paths.feature_cache,
        "ffmpeg": paths.ffmpeg,
    }


def _input_folder(configuration: Configuration, dataset: str, feature: FeatureBase) -> str | None:
    """Return where the videos, images or sounds are that a feature is made from; None for words."""
    described, images = configuration.dataset(dataset), getattr(feature, "images", None)
    if images:
        return images.path
    videos = dict.fromkeys(("visual", "audio", "speech"), described.videos)
    return {**videos, "spoken": described.query_audio}.get(feature.kind)


def weights_settings(configuration: Configuration, name: str) -> dict[str, Any]:
    """Return what a job needs to know of weights: nothing, a seed, or file, loader and checksum."""
    if name == NO_WEIGHTS:
        return {}
    seed = random_seed(name)
    if seed is not None:
        return {"seed": seed}
    parts = [_weight(configuration, part) for part in configuration.weight(name).parts]
    return {**_weight(configuration, name), "parts": parts}


def _weight(configuration: Configuration, name: str) -> dict[str, Any]:
    weight = configuration.weight(name)
    path = weight_path(weight, configuration.root.paths.weights)
    return {"name": name, "path": str(path), **weight.model_dump(include={"url", "sha256", "loader", "source"})}


def weight_path(weight: Weight, folder: str) -> Path:
    """Return where the weights file is, or would be after downloading."""
    return shipped_path(weight) or Path(folder) / weight.place


def shipped_path(weight: Weight) -> Path | None:
    """Return where an installed Python package has the weights file; None if none has it."""
    # Looked up without importing: the package may pull in torch.
    spec = importlib.util.find_spec(weight.package) if weight.package else None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / weight.file
