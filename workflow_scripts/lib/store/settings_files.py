"""Settings files: what the plan tells a job, and the check that it still is what the job was started for."""

import argparse
import json
from collections.abc import Collection, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_json


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which a job gets its settings."""
    parser.add_argument(
        "--settings", required=True, type=Path, metavar="JSON", help="settings file that the workflow wrote"
    )
    parser.add_argument("--key", required=True, help="digest of those of its settings that decide the output")


def settings_key(settings: dict[str, Any], decisive: Collection[str] | None = None) -> str:
    """Return the digest of the settings that decide the output of a job.

    Parameters
    ----------
    settings : dict
        Content of a settings file.
    decisive : names in it that count; None: all
    """
    return digest_json(settings if decisive is None else {name: settings[name] for name in decisive})


def read_settings(path: Path, key: str, decisive: Collection[str] | None = None) -> dict[str, Any]:
    """Read a settings file.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        `settings_key` when the job was planned.
    decisive : as of `settings_key`

    Raises
    ------
    UserError
        The file is not there, or the configuration was changed since the job was planned.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such settings file; `snakemake -n` for the target of this job writes it") from None
    if settings_key(settings, decisive) != key:
        raise UserError(
            f"{path}: these are no longer the settings that this job was started for (key {key}); "
            "start the workflow again"
        )
    return settings


def window_seconds(settings: Mapping[str, Any]) -> float | None:
    """Return the length of the windows that a system's settings file asks for, in seconds; None for whole videos."""
    return None if settings["window_s"] is None else float(Fraction(settings["window_s"]))
