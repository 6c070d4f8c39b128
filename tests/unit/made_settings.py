"""Settings files as the plan writes them, and the options by which a job gets them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from workflow_scripts.lib.extraction.settings_file import DECISIVE
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.settings_files import settings_key


def settings_options(path: Path, content: dict[str, Any], decisive: Collection[str] | None = None) -> tuple[str, ...]:
    """Write a settings file; return the options of a job that reads it."""
    write_json(path, content)
    return ("--settings", str(path), "--key", settings_key(content, decisive))


def feature_options(path: Path, content: dict[str, Any]) -> tuple[str, ...]:
    """The same for the settings of a feature."""
    return settings_options(path, content, DECISIVE)
