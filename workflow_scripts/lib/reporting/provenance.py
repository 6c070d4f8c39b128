"""Where numbers come from: code, settings, features, weights, machine."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.versions import code_revision

PACKAGES = ("torch", "accelerate", "open_clip_torch", "sentence-transformers", "av", "zarr", "numpy", "snakemake")


def inputs_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a system read: whose annotations, whose words of the videos, features by stream."""
    config = settings["config"]
    return {
        "annotations": settings["annotations"],
        "transcript": config["transcript"],
        "features": {stream: list(content["names"]) for stream, content in config["streams"].items()},
    }


def provenance(settings: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader needs to reproduce a metrics file.

    `code_revision` is that of the evaluation; the checkpoint has its own, and those that made the features' rows stand
    beside it.
    """
    return {
        "code_revision": code_revision(),
        "config_digest": digest_json(settings["config"]),
        "feature_recipes": summary["recipes"],
        # Predictions of earlier versions do not say.
        "feature_revisions": summary.get("feature_revisions", {}),
        "weights": summary["weights"],
        "checkpoint": summary["checkpoint"],
        "packages": {package: version(package) for package in PACKAGES},
        "device": summary["device"],
        "wall_seconds": summary["seconds"],
    }
