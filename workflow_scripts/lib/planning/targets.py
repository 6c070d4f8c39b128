"""What a call may be asked for, to answer a target that nobody makes with the nearest one that somebody does."""

import difflib
from collections.abc import Iterator
from pathlib import PurePath

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.planned_files import RESULTS

EXAMPLE = f"{RESULTS}/demo/img/metrics.json"


class Targets:
    """The files that people ask for."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    def hint(self, target: str) -> str:
        """Return what a person may have meant by a target that no rule makes."""
        configuration, parts = self._configuration, PurePath(target).parts
        dataset, name = next(filter(configuration.known("datasets").__contains__, parts), "<dataset>"), parts[-1]
        if name in configuration.known("features"):
            return f"the target of a feature is {self._feature(dataset, name)}"
        if name in configuration.known("systems"):
            return f"the target of a system is {RESULTS}/{dataset}/{name}/metrics.json"
        if name == dataset:
            return f"a target is a file, such as {RESULTS}/{name}/<system>/metrics.json"
        close = difflib.get_close_matches(target, self._known(), n=1, cutoff=0.7)
        return f"did you mean {close[0]}?" if close else f"a target is a file, such as {EXAMPLE}"

    def _known(self) -> Iterator[str]:
        """Yield what people ask for, whatever of it makes sense together."""
        configuration = self._configuration
        yield from ("all", "data", "weights")
        for dataset in configuration.known("datasets"):
            folder = f"{RESULTS}/{dataset}"
            for system in configuration.known("systems"):
                yield from (f"{folder}/{system}/{file}" for file in ("metrics.json", "report.html", "captions.csv"))
            for feature in configuration.known("features"):
                yield self._feature(dataset, feature)
            yield from (f"{folder}/annotations/queries.parquet", f"{folder}/media/manifest.parquet")
            yield f"{folder}/youtube/missing.tsv"
        yield from configuration.single_downloads()

    def _feature(self, dataset: str, name: str) -> str:
        kind = "transcripts" if self._configuration.feature_kind(name) == "speech" else "features"
        return f"{RESULTS}/{dataset}/{kind}/{name}/index.parquet"
