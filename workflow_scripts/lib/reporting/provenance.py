"""Where numbers come from: code, settings, features, weights, machine."""

import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.digest import digest_json

PACKAGES = ("torch", "accelerate", "open_clip_torch", "sentence-transformers", "av", "zarr", "numpy", "snakemake")


def code_revision() -> str:
    """Return the git revision of the code, `+changes` if it differs from it, or `unknown`."""
    root = Path(__file__).resolve().parents[3]
    git = ["git", "-C", str(root)]
    try:
        revision = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{revision}+changes" if changed.strip() else revision


def inputs_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a system read: whose annotations, whose words of the videos, features by stream."""
    config = settings["config"]
    return {
        "annotations": settings["annotations"],
        "transcript": config["transcript"],
        "features": {stream: list(content["names"]) for stream, content in config["streams"].items()},
    }


def provenance(settings: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a reader needs to reproduce a metrics file."""
    return {
        "code_revision": code_revision(),
        "config_digest": digest_json(settings["config"]),
        "feature_recipes": summary["recipes"],
        "weights": summary["weights"],
        "checkpoint": summary["checkpoint"],
        "packages": {package: version(package) for package in PACKAGES},
        "device": summary["device"],
        "wall_seconds": summary["seconds"],
    }
