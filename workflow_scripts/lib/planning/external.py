"""What the rules ask about prediction files that somebody brings, or published."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.messages import nearest
from workflow_scripts.lib.configuration.schema import ExternalPredictions
from workflow_scripts.lib.datasets.source_files import stored_path
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning import missing_files
from workflow_scripts.lib.planning.benchmarks import published_rows, scoring
from workflow_scripts.lib.planning.future_dates import refuse_future_dates
from workflow_scripts.lib.planning.planned_files import PlannedFiles
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.versions import versions_of

OPTIONS = {"empty_windows", "reversed", "match_number", "also"}
"""Fields of a prediction file that stand for those of the dataset's `evaluation`."""


class External:
    """The prediction files that datasets name under `external`."""

    def __init__(self, configuration: Configuration, files: PlannedFiles) -> None:
        self._configuration, self._files = configuration, files

    def file(self, dataset: str, name: str) -> str:
        """Return the path of a prediction file, as it is kept: plain or `.gz`; it may have to be fetched.

        Raises
        ------
        UserError
            the dataset names no such file, it is not there and has no address, or is dated in the future
        """
        file = self._given(dataset, name).file
        path = stored_path(Path(file))
        if not path.is_file() and file not in self._configuration.single_downloads():
            raise UserError(missing_files.prediction_file(dataset, name, path))
        refuse_future_dates([path], "metrics")
        return str(path)

    def settings(self, dataset: str, name: str) -> str:
        """Return the file with everything that scores a prediction file, brought up to date."""
        return self._files.settings(f"{dataset}/external/{name}/settings.json", lambda: self._content(dataset, name))

    def models(self, dataset: str, name: str) -> list[str]:
        """Return the files of the models that the metrics of a prediction file need."""
        return [path for paths in self._content(dataset, name)["models"].values() for path in paths]

    def key(self, dataset: str, name: str) -> str:
        """Return the digest of what scores a prediction file."""
        return digest_json(self._content(dataset, name) | {"versions": versions_of(["scoring"])})

    def _content(self, dataset: str, name: str) -> dict[str, Any]:
        given = self._given(dataset, name)
        options = given.model_dump(include=OPTIONS)
        scored = scoring(self._configuration, dataset, given.rules, **options)
        return {
            "dataset": dataset,
            "name": name,
            **given.model_dump(mode="json", exclude=OPTIONS),
            "title": given.title or name,
            **scored,
            "published": published_rows(self._configuration, dataset, given.split, scored["rules"]),
        }

    def _given(self, dataset: str, name: str) -> ExternalPredictions:
        known = self._configuration.dataset(dataset).external
        if name not in known:
            example = f"external: {{{name}: {{file: path/to/predictions.jsonl, split: val}}}}"
            raise UserError(
                f"config/datasets/{dataset}.yaml: external: no prediction file is called {name!r} "
                f"({nearest(name, known)}) Say where it is: {example}"
            )
        return known[name]
