"""Which features are made together, in one pass over the videos, and what the jobs of a pass ask."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import published_weights
from workflow_scripts.lib.configuration.schema import FeatureBase, VisualFeature
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.feature_costs import decoding_hours, is_bound_by_decoding
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.pass_records import PassRecords
from workflow_scripts.lib.planning.planned_files import RESULTS
from workflow_scripts.lib.planning.reading import Reading
from workflow_scripts.lib.store.pass_file import Pass

WORTH_HOURS = 0.1
"""Of decoding on one core that a pass saves at least; for less the features are not tied together."""


class Passes:
    """The passes of all datasets."""

    def __init__(
        self, configuration: Configuration, datasets: Datasets, features: Features, records: PassRecords
    ) -> None:
        self._configuration, self._datasets, self._features = configuration, datasets, features
        self._records = records

    # Before the job graph is built

    def form(self, targets: Iterable[str], is_dry: bool = False) -> list[str]:
        """Let passes be formed that are of use for targets, and features leave those that are not theirs any more.

        A dataset whose annotations are fetched first is looked at when they are there.

        Parameters
        ----------
        is_dry : whether nothing will be made

        Returns
        -------
        list of str
            A line about every pass that has something to do, of the datasets whose annotations are there.
        """
        reading = Reading(self._configuration, self._datasets, self._features, skips_finished=True)
        for target in targets:
            reading.add(target)
        wanted: dict[str, list[str]] = {}
        for dataset, feature in reading.computed:
            wanted.setdefault(dataset, []).append(feature)
        self._records.writes = not is_dry
        self._records.decide = lambda dataset, recorded: self._decided(dataset, recorded, wanted.get(dataset, []))
        # Of these alone: what another call says of another dataset is not known here.
        return [
            f"one pass over the videos of {dataset}: each is decoded once for {_names(each)}"
            for dataset in sorted(reading.annotations)
            for each in self._records.of_dataset(dataset)
            if set(each.members) & set(wanted.get(dataset, ()))
        ]

    def _decided(self, dataset: str, recorded: list[Pass], wanted: list[str]) -> list[Pass] | None:
        """Return the passes of a dataset for this call: what is begun is kept, what is not is formed anew."""
        if not self._datasets.has_annotations(dataset):
            return None
        begun = [self._present(dataset, each) for each in recorded if each.has_begun(RESULTS / dataset)]
        taken = {feature for each in begun for feature in each.keys}
        return [*begun, *self._formed(dataset, [each for each in wanted if each not in taken])]

    def _present(self, dataset: str, formed: Pass) -> Pass:
        """Return a pass without the features that have other settings now, or that lack shards which it has made."""
        folder, never = RESULTS / dataset, self._configuration.root.one_pass == "never"
        finished = formed.finished_shards(folder)
        leaving = []
        for feature in formed.members:
            stores = (folder / "features" / feature / f"{shard}.zarr/zarr.json" for shard in finished)
            if (
                not self._has_key(dataset, feature, formed.keys[feature])
                or not all(map(Path.is_file, stores))
                or (never and not self._features.is_finished(dataset, feature))
            ):
                leaving.append(feature)
        return formed.without(leaving)

    def _has_key(self, dataset: str, feature: str, key: str) -> bool:
        try:
            return self._features.key(dataset, feature) == key
        except UserError:
            # Not of this call, or it is said elsewhere.
            return False

    def _formed(self, dataset: str, names: list[str]) -> list[Pass]:
        """Return the passes for features that are begun now, those for a GPU apart from the others."""
        found = []
        for on_gpu in (True, False):
            group = [name for name in sorted(names) if self._may_share(dataset, name, on_gpu)]
            if self._is_worth(dataset, group):
                size = min(self._features.shards_per_job(dataset, name) for name in group)
                keys = {name: self._features.key(dataset, name) for name in group}
                found.append(Pass(_free_name(dataset, group), keys, size))
        return found

    def _may_share(self, dataset: str, name: str, on_gpu: bool) -> bool:
        feature = self._feature(dataset, name)
        return (
            isinstance(feature, VisualFeature)
            and not feature.images
            and bool(feature.runtime.gpu) == on_gpu
            and feature.runtime.decoder in ("auto", "pyav")
            # Weights that are fitted on rows come after these.
            and not any(
                self._configuration.weight(each).fitted_on for each in published_weights(self._configuration, feature)
            )
            and not (RESULTS / dataset / "features" / name / "index.parquet").is_file()
            and (self._configuration.root.one_pass == "always" or self._waits_for_decoder(dataset, feature, on_gpu))
        )

    def _waits_for_decoder(self, dataset: str, feature: VisualFeature, on_gpu: bool) -> bool:
        hours = self._features.hours(dataset)
        return hours > 0 and is_bound_by_decoding(feature, hours, len(self._datasets.video_ids(dataset)), on_gpu)

    def _is_worth(self, dataset: str, group: list[str]) -> bool:
        option = self._configuration.root.one_pass
        if len(group) < 2 or option == "never":
            return False
        hours = self._features.hours(dataset)
        saved = sorted(decoding_hours(self._feature(dataset, name), hours) for name in group)[:-1]
        return option == "always" or sum(saved) >= WORTH_HOURS

    # What a job of a pass needs

    def settings(self, dataset: str, name: str) -> list[str]:
        """Return the settings files of all features."""
        return self._each(dataset, name, lambda feature: [self._features.settings(dataset, feature)])

    def keys(self, dataset: str, name: str) -> list[str]:
        """Return what decided the features' jobs when the pass was formed."""
        return list(self._records.named(dataset, name).keys.values())

    def manifest(self, dataset: str, name: str) -> list[str]:
        """Return the manifest of the media."""
        return self._features.manifest(dataset, self._first(dataset, name))

    def weights(self, dataset: str, name: str) -> list[str]:
        """Return the weights files of all features."""
        return self._each(dataset, name, lambda feature: self._features.weights(dataset, feature))

    def media(self, dataset: str, name: str, batch: str) -> list[str]:
        """Return the tables of the media of the shards of a batch."""
        return self._features.media(dataset, self._first(dataset, name), batch)

    def threads(self, dataset: str, name: str) -> int:
        """Return the threads of a job: one network computes at a time."""
        return max(each.runtime.threads for each in self._described(dataset, name))

    def memory_mb(self, dataset: str, name: str) -> int:
        """Return the memory of a job, in which all networks are."""
        return sum(self._features.memory_mb(dataset, each) for each in self._records.named(dataset, name).keys)

    def gpus(self, dataset: str, name: str) -> int:
        """Return the GPUs of a job."""
        return max(each.runtime.gpu for each in self._described(dataset, name))

    def runtime_min(self, dataset: str, name: str) -> int:
        """Return the time limit of a job, minutes."""
        return sum(each.runtime.runtime_min for each in self._described(dataset, name))

    def _each(self, dataset: str, name: str, ask: Callable[[str], list[str]]) -> list[str]:
        return [answer for feature in self._records.named(dataset, name).keys for answer in ask(feature)]

    def _first(self, dataset: str, name: str) -> str:
        return next(iter(self._records.named(dataset, name).keys))

    def _described(self, dataset: str, name: str) -> list[FeatureBase]:
        return [self._feature(dataset, each) for each in self._records.named(dataset, name).keys]

    def _feature(self, dataset: str, name: str) -> FeatureBase:
        return self._configuration.feature(dataset, name)


def _free_name(dataset: str, features: list[str]) -> str:
    """Return a name that no pass of former days has left markers under."""
    name = "+".join(features)
    numbers = itertools.chain([name], (f"{name}+{number}" for number in itertools.count(2)))
    return next(each for each in numbers if not (RESULTS / dataset / "passes" / each).is_dir())


def _names(formed: Pass) -> str:
    *others, last = formed.members
    return f"{', '.join(others)} and {last}" if others else last
