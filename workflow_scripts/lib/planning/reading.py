"""What targets are made from that no job makes, found from the settings alone, before there is a job graph."""

import re
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import base_weights, fit_files, learns, published_weights, with_parts
from workflow_scripts.lib.configuration.schema import HELD_OUT, ImportedFeature, ImportedTranscripts, System
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.planned_files import RESULTS

TARGET = re.compile(r"results/(?P<dataset>[a-z0-9_]+)/(?P<place>.+)")


class Reading:
    """Everything that targets read.

    Parameters
    ----------
    skips_finished : whether what is finished is left out, with everything that it was made from

    Attributes
    ----------
    annotations, media : dataset -> who reads its annotations, its videos
    sounds : dataset -> who reads its spoken queries
    weights : entry of config/weights.yaml -> who reads it
    imports, images : (dataset, feature) -> who reads the published files, the folders of images
    checkpoints : (dataset, system) -> published checkpoint
    predictions : (dataset, name) -> file that somebody brings
    computed : (dataset, feature) of what is extracted here
    systems : (dataset, system) of what is trained or asked here
    trained : (dataset, system) of what is trained here; with `skips_finished`, of which no checkpoint is there
    splits : dataset whose videos are read -> the splits that systems read
    """

    def __init__(
        self, configuration: Configuration, datasets: Datasets, features: Features, skips_finished: bool = False
    ) -> None:
        self._configuration, self._datasets, self._features = configuration, datasets, features
        self._skips_finished = skips_finished
        self.annotations: dict[str, dict[str, None]] = {}
        self.media: dict[str, dict[str, None]] = {}
        self.sounds: dict[str, dict[str, None]] = {}
        self.weights: dict[str, dict[str, None]] = {}
        self.imports: dict[tuple[str, str], dict[str, None]] = {}
        self.images: dict[tuple[str, str], dict[str, None]] = {}
        self.checkpoints: dict[tuple[str, str], str] = {}
        self.predictions: dict[tuple[str, str], str] = {}
        self.computed: dict[tuple[str, str], None] = {}
        self.systems: dict[tuple[str, str], None] = {}
        self.trained: dict[tuple[str, str], None] = {}
        self.splits: dict[str, set[str]] = {}

    def add(self, target: str) -> bool:
        """Add what a target reads; return whether it is one of a dataset.

        Raises
        ------
        UserError
            the settings of something that it names are wrong
        """
        match = TARGET.fullmatch(target)
        if not match or match["dataset"] not in self._configuration.known("datasets"):
            return False
        dataset, (room, *rest) = match["dataset"], match["place"].split("/")
        if room in ("features", "transcripts") and len(rest) > 1:
            self._add_feature(dataset, rest[0], rest[0])
        elif room == "compare" and rest:
            for feature in Path(rest[0]).stem.split("__"):
                self._add_feature(dataset, feature, feature)
        elif room == "external" and rest:
            self._add_predictions(dataset, rest[0])
        elif room in ("media", "frames"):
            self._add_media(dataset, room)
        elif room in self._configuration.known("systems"):
            self._add_system(dataset, room)
        elif room == "annotations":
            self._add_annotations(dataset, room)
        return True

    def _add_annotations(self, dataset: str, by: str) -> None:
        self.annotations.setdefault(dataset, {})[by] = None
        if self._datasets.takes_durations_from_videos(dataset):
            self.media.setdefault(dataset, {})["durations"] = None

    def _add_media(self, dataset: str, by: str) -> None:
        self._add_annotations(dataset, by)
        if not self._configuration.dataset(dataset).generate:
            self.media.setdefault(dataset, {})[by] = None

    def _add_feature(self, dataset: str, name: str, by: str) -> None:
        feature = self._configuration.feature(dataset, name)
        self._add_annotations(dataset, by)
        if self._skips_finished and self._features.is_finished(dataset, name):
            return
        if isinstance(feature, ImportedFeature | ImportedTranscripts):
            self._features.require_numbering(dataset, name)
            self.imports.setdefault((dataset, name), {})[by] = None
            return
        self.computed[dataset, name] = None
        for weights in published_weights(self._configuration, feature):
            self._add_weights(weights, by)
        if getattr(feature, "images", None):
            self.images.setdefault((dataset, name), {})[by] = None
        elif feature.kind in ("visual", "audio", "speech"):
            self._add_media(dataset, by)
        elif feature.kind == "spoken":
            self.sounds.setdefault(dataset, {})[by] = None
        elif feature.kind == "transcript":
            self._add_feature(dataset, feature.of, by)

    def _add_weights(self, name: str, by: str) -> None:
        """Add weights, or what they are fitted on if they are not there."""
        weight = self._configuration.weight(name)
        if weight.fitted_on and not weight_path(weight, self._configuration.root.paths.weights).is_file():
            self._add_feature(weight.fitted_on.dataset, weight.fitted_on.feature, name)
        else:
            self.weights.setdefault(name, {})[by] = None

    def _add_predictions(self, dataset: str, name: str) -> None:
        given = self._configuration.dataset(dataset).external
        self._add_annotations(dataset, name)
        if name in given:
            self.predictions[dataset, name] = given[name].file
            self._add_metric_models(given[name].also or self._configuration.dataset(dataset).evaluation.also, name)

    def _add_metric_models(self, metrics: Iterable[str], by: str) -> None:
        for metric in metrics:
            for weights in self._configuration.metric_weights(metric):
                self.weights.setdefault(weights, {})[by] = None

    def _add_system(self, dataset: str, name: str) -> None:
        if (dataset, name) in self.systems:
            return
        self.systems[dataset, name] = None
        configuration, system = self._configuration, self._configuration.system(dataset, name)
        source, videos = system.annotations_on(dataset), system.videos_on(dataset)
        self.splits.setdefault(videos, set()).update(self._checked_splits(source, name, system))
        self._add_annotations(source, name)
        self._add_annotations(videos, name)
        for stream, content in system.streams.items():
            for feature in content.names:
                self._add_feature(source if stream == "text" else videos, feature, name)
        if system.transcript:
            self._add_feature(videos, system.transcript, name)
        for weights in with_parts(configuration, (*base_weights(system), *fit_files(configuration, system).values())):
            self.weights.setdefault(weights, {})[name] = None
        self._add_metric_models(configuration.dataset(source).evaluation.also, name)
        if system.prior:
            self._add_system(dataset, system.prior.system)
        if system.checkpoint_file:
            self.checkpoints[dataset, name] = system.checkpoint_file
        elif not self._is_trained(system.checkpoint_from or dataset, name, system):
            if system.checkpoint_from:
                self._add_system(system.checkpoint_from, name)
            elif learns(system):
                self.trained[dataset, name] = None

    def _is_trained(self, dataset: str, name: str, system: System) -> bool:
        folder = RESULTS / dataset / name
        return self._skips_finished and all(
            (folder / f"seed{seed}/checkpoint.safetensors").is_file() for seed in system.seeds
        )

    def _checked_splits(self, dataset: str, name: str, system: System) -> set[str]:
        """Return the splits that a system reads; one that the annotations lack is refused before anything is extracted.

        Raises
        ------
        UserError
            there is no such split
        """
        known = self._datasets.splits(dataset)
        trains = learns(system) and not (system.checkpoint_file or system.checkpoint_from)
        asked = {"test": system.splits.test, **({"train": (system.splits.train,)} if trains else {})}
        if trains and system.splits.select != HELD_OUT:
            asked["select"] = (system.splits.select,)
        for role, splits in asked.items():
            missing = [split for split in splits if split not in known]
            if missing:
                remedy = f"name another split under systems.{name}.splits.{role}"
                if role != "test":
                    remedy += f", or take a checkpoint that is trained elsewhere (systems.{name}.checkpoint_from)"
                raise UserError(
                    f"config/datasets/{dataset}.yaml: annotations.files: system {name} wants a split {missing[0]!r} as "
                    f"{role}; there are {', '.join(known)}. Add its file, or {remedy}"
                )
        return {split for splits in asked.values() for split in splits}
