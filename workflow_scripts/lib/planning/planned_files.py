"""The small files that are written while the job graph is built, because the graph depends on their content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.listing import bring_up_to_date
from workflow_scripts.lib.store.atomic import json_text

RESULTS = Path("results")


class PlannedFiles:
    """JSON files below the results, each brought up to date at most once per call of Snakemake."""

    def __init__(self) -> None:
        self._written: set[Path] = set()

    def settings(self, folder: str, content: Callable[[], dict[str, Any]]) -> str:
        """Return the file with the resolved settings of a folder's jobs."""
        return self.bring_up_to_date(RESULTS / folder / "settings.json", content)

    def bring_up_to_date(self, path: Path, content: Callable[[], Any]) -> str:
        """Return the path of a file whose content is compared, and changed where needed, on the first call."""
        if path not in self._written:
            bring_up_to_date(path, json_text(content()))
            self._written.add(path)
        return str(path)
