"""The settings file of a feature as its jobs read it, apart from what writes it and knows the whole configuration."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.settings_files import read_settings

DECISIVE = ("recipe", "folder")
"""What of a feature's settings its jobs are started for: what the rows are made from, and how."""


def read_feature_settings(path: Path, key: str) -> dict[str, Any]:
    """Read a feature's settings file; see `read_settings` of settings_files.py."""
    return read_settings(path, key, DECISIVE)
