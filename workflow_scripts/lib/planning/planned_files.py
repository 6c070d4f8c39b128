"""The small files that are written while the job graph is built, because the graph depends on their content."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.atomic import json_text, write_if_changed

log = logging.getLogger(__name__)

RESULTS = Path("results")
LOCKS = Path(".snakemake/locks")
"""Where a running Snakemake leaves its locks, below the working folder."""


class PlannedFiles:
    """Files below the results, brought up to date when they are asked for."""

    def __init__(self) -> None:
        self._written: set[Path] = set()
        # Asked once, before the call that this belongs to has locks of its own.
        self._is_another_running = any(LOCKS.glob("*.lock"))

    def settings(self, place: str, content: Callable[[], dict[str, Any]]) -> str:
        """Return the settings file at a place below the results, brought up to date on the first call."""
        return self.json(RESULTS / place, content)

    def json(self, path: Path, content: Callable[[], Any]) -> str:
        """Return the path of a JSON file whose content is compared, and changed where needed, on the first call."""
        if path not in self._written:
            self.bring_up_to_date(path, json_text(content()))
            self._written.add(path)
        return str(path)

    def bring_up_to_date(self, path: Path, text: str) -> None:
        """Write a file that jobs read, if it changed.

        What the jobs of a workflow that is running in this folder read stays as it was when they were planned.
        """
        if self._is_another_running and path.is_file() and path.read_text(encoding="utf-8") != text:
            log.warning("%s: not brought up to date, because another workflow is running in this folder", path)
        else:
            # Every call of the workflow compares them: one that a loss of power damaged is written again.
            write_if_changed(path, text, is_durable=False)
