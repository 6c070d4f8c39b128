"""Find, merge and validate the configuration files.

One order everywhere: the file itself, then the overrides of this dataset, then `config/config.yaml`, then `--config`. A
file that `extends` another begins with all of that about the other one, so a variant is its base as it is on this
dataset, and what the variant changes. Later layers win; mappings merge key by key, everything else is replaced whole.
"""

import importlib
import logging
import pkgutil
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from models.systems.interface import tasks_of
from workflow_scripts.lib.configuration.feature_windows import windowed
from workflow_scripts.lib.configuration.layers import merge, nested, read_yaml, validate, with_nulls
from workflow_scripts.lib.configuration.messages import Layer, nearest, source_of
from workflow_scripts.lib.configuration.schema import (
    HELD_OUT,
    AudioFeature,
    Dataset,
    Download,
    ExtractedFeature,
    FeatureBase,
    ImportedFeature,
    ImportedTranscripts,
    PublishedResults,
    PublishedRow,
    Root,
    SpeechFeature,
    SpokenFeature,
    System,
    TextFeature,
    TranscriptFeature,
    VisualFeature,
    Weight,
)
from workflow_scripts.lib.configuration.system_checks import check_checkpoint, check_clean, check_given, check_selection
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.optional_captions import WEIGHTS_OF
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS

log = logging.getLogger(__name__)

FEATURE_KINDS = {
    "visual": VisualFeature,
    "audio": AudioFeature,
    "speech": SpeechFeature,
    "text": TextFeature,
    "transcript": TranscriptFeature,
    "spoken": SpokenFeature,
}
ENCODER_KINDS = {"transcript": "text"}
"""Kind of a feature -> kind of the encoders that compute it, where these differ."""
SPLITS_OF_DATASET = ": splits of all systems"
"""Ends the name of a layer that holds them."""
RANDOM_WEIGHTS = re.compile(r"random\((\d+)\)")
NO_WEIGHTS = "none"


@cache
def module_names(package: str) -> tuple[str, ...]:
    """Return the registered members of a package of `models`: its modules or sub-packages, interface apart."""
    path = importlib.import_module(package).__path__
    return tuple(m.name for m in pkgutil.iter_modules(path) if m.name not in ("interface", "networks", "with_torch"))


class Configuration:
    """All settings of this run, composed and validated on demand.

    Parameters
    ----------
    root : the content of `config/config.yaml` with `--config` laid over it
    folder : the `config` folder
    """

    def __init__(self, root: Mapping[str, Any], folder: Path) -> None:
        self.folder = folder
        self._cache: dict[tuple[str, ...], Any] = {}
        self._root_layers = self._split_root(root)
        self.root: Root = validate(Root, self._root_layers)
        self._check_names(self.root, ("datasets", "features", "systems"), self._root_layers)

    def _check_names(self, settings: Root | Dataset, kinds: Iterable[str], layers: list[Layer]) -> None:
        """Refuse overrides of what does not exist."""
        for kind in kinds:
            for name in getattr(settings, kind):
                if name not in self.known(kind):
                    where = source_of(layers, (kind, name))
                    raise UserError(f"{where}: {kind}.{name}: unknown name; {nearest(name, self.known(kind))}")

    def _split_root(self, root: Mapping[str, Any]) -> list[Layer]:
        path = self.folder / "config.yaml"
        on_disk = read_yaml(path) if path.exists() else {}
        given = {key: with_nulls(value) for key, value in root.items() if on_disk.get(key) != value}
        return [(str(path), on_disk), ("--config", given)]

    def known(self, kind: str) -> list[str]:
        """Return the names of all `datasets`, `features` or `systems`."""
        return self._memo(("names", kind), lambda: sorted(p.stem for p in (self.folder / kind).glob("*.yaml")))

    def _file(self, path: Path) -> Mapping[str, Any]:
        """Return the content of a file, read once: the rules ask for it once per job."""
        return self._memo(("file", str(path)), lambda: read_yaml(path))

    def dataset(self, name: str) -> Dataset:
        """Return one dataset's settings."""
        return self._memo(("datasets", name), lambda: self._read_dataset(name))

    def single_downloads(self) -> dict[str, tuple[str, str]]:
        """Return place -> (dataset, download) of all single files that can be fetched, without validating the rest."""
        return self._memo(("downloads",), self._find_single_downloads)

    def _find_single_downloads(self) -> dict[str, tuple[str, str]]:
        found = {}
        for dataset in self.known("datasets"):
            for name, download in self.downloads_of(dataset).items():
                if not download.unpack:
                    found.setdefault(download.to, (dataset, name))
        return found

    def downloads_of(self, dataset: str) -> dict[str, Download]:
        """Return what can be fetched of a dataset; a mistake in its file is a warning here, for others are asked too.

        Whoever asks for the dataset itself gets the error.
        """
        return self._memo(("downloads", dataset), lambda: self._read_downloads(dataset))

    def _read_downloads(self, dataset: str) -> dict[str, Download]:
        try:
            downloads: dict[str, Any] = {}
            for _, content in self._layers("datasets", dataset):
                downloads = merge(downloads, content.get("downloads") or {})
            path = str(self.folder / "datasets" / f"{dataset}.yaml")
            return {
                name: validate(Download, [(path, download)], ("downloads", name))
                for name, download in downloads.items()
            }
        except UserError as error:
            log.warning("%s\n  What dataset %s offers is left out of this call.", error, dataset)
            return {}

    def base(self, kind: str, name: str) -> str:
        """Return what a dataset, feature or system extends in the end; its own name if nothing."""
        return self._chain(kind, name)[0][0]

    def feature(self, dataset: str, name: str) -> FeatureBase:
        """Return one feature's settings on one dataset, its encoder's parameters completed by their defaults."""
        return self._memo(
            ("features", dataset, name),
            lambda: windowed(self.whole_feature(dataset, name), self.dataset(dataset).window_s),
        )

    def whole_feature(self, dataset: str, name: str) -> FeatureBase:
        """Return one feature's settings on one dataset as they are without the dataset's `window_s`."""
        return self._memo(("whole features", dataset, name), lambda: self._read_feature(dataset, name))

    def system(self, dataset: str, name: str) -> System:
        """Return one system's settings on one dataset, its own settings completed by their defaults."""
        return self._memo(("systems", dataset, name), lambda: self._read_system(dataset, name))

    def weight_names(self) -> list[str]:
        """Return the names in the weights registry."""
        return sorted(self._file(self.folder / "weights.yaml"))

    def weight(self, name: str) -> Weight:
        """Return one entry of the weights registry."""
        return self._memo(("weights", name), lambda: self._read_weight(name))

    def _read_weight(self, name: str) -> Weight:
        path = self.folder / "weights.yaml"
        registry = self._file(path)
        if name not in registry:
            raise UserError(f"{path}: no entry {name!r}; {nearest(name, registry)}")
        return validate(Weight, [(str(path), registry[name])], (name,))

    def metric_weights(self, metric: str) -> tuple[str, ...]:
        """Return the entries of the weights registry that an optional metric of captions needs."""
        return WEIGHTS_OF[metric]

    def published(self, dataset: str, split: str, rules: Iterable[str]) -> list[PublishedRow]:
        """Return the published rows about a split of a dataset that follow one of these rule sets."""
        wanted = set(rules)
        return [
            row
            for row in self._memo(("published",), self._read_published)
            if dataset in row.datasets and row.split == split and row.rules in wanted
        ]

    def _read_published(self) -> tuple[PublishedRow, ...]:
        path = self.folder / "published.yaml"
        layers: list[Layer] = [(str(path), self._file(path) if path.is_file() else {"rows": []})]
        rows = validate(PublishedResults, layers).rows
        for i, row in enumerate(rows):
            _check_rules(() if row.rules is None else (row.rules,), f"{path}: rows[{i}].rules")
        return rows

    def feature_kind(self, name: str) -> str:
        """Return the kind of a feature (a key of `FEATURE_KINDS`) without validating the rest of the feature file."""
        return self._memo(("kind", name), lambda: self._find_kind(name))

    def _find_kind(self, name: str) -> str:
        kind = {}
        for _, (_, content) in self._chain("features", name):
            kind = merge(kind, content)
        return kind.get("kind", "")

    def is_imported(self, name: str) -> bool:
        """Return whether a feature's file says `source: import`."""
        return self._memo(("imported", name), lambda: self._says_import(name))

    def _says_import(self, name: str) -> bool:
        return any(content.get("source") == "import" for _, (_, content) in self._chain("features", name))

    def _memo(self, key: tuple[str, ...], make: Any) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _chain(self, kind: str, name: str, seen: tuple[str, ...] = ()) -> list[tuple[str, Layer]]:
        """Return name and file of everything that `name` extends, the most basic first, and of itself."""
        if name not in self.known(kind):
            where = f"{self.folder / kind / seen[-1]}.yaml: extends: " if seen else ""
            raise UserError(f"{where}unknown {kind[:-1]} {name!r}; {nearest(str(name), self.known(kind))}")
        path = self.folder / kind / f"{name}.yaml"
        if name in seen:
            raise UserError(f"{path}: extends: goes round in a circle: {' -> '.join((*seen, name))}")
        content = dict(self._file(path))
        base = content.pop("extends", None)
        below = self._chain(kind, base, (*seen, name)) if base else []
        return [*below, (name, (str(path), content))]

    def _layers(self, kind: str, name: str, dataset: str | None = None) -> list[Layer]:
        datasets = () if dataset is None else self._dataset_and_sources(kind, name, dataset)
        return self._laid(kind, name, datasets)

    def _laid(self, kind: str, name: str, datasets: tuple[str, ...]) -> list[Layer]:
        """Return the layers of every link of the chain in turn: its file, what the datasets say of it, the root."""
        layers = []
        for number, (link, file) in enumerate(self._chain(kind, name)):
            layers.append(file)
            if kind == "systems" and number == 0:
                layers += [split for dataset in datasets for split in _splits(self._layers("datasets", dataset))]
            for dataset in datasets:
                layers += _sections(self._layers("datasets", dataset), kind, link)
            layers += _sections(self._root_layers, kind, link)
        return [layer for layer in layers if layer[1]]

    def _dataset_and_sources(self, kind: str, name: str, dataset: str) -> tuple[str, ...]:
        """Return the dataset after the one that its checkpoint is from, if any, and so on: later ones win."""
        found = [dataset]
        while True:
            self.dataset(found[0])
            saying = [layer for layer in self._laid(kind, name, (found[0],)) if "checkpoint_from" in layer[1]]
            label, source = (saying[-1][0], saying[-1][1]["checkpoint_from"]) if saying else ("", None)
            if source is None or source == found[0]:
                return tuple(found)
            if source not in self.known("datasets"):
                hint = nearest(str(source), self.known("datasets"))
                raise UserError(f"{label}: checkpoint_from: unknown dataset {source!r}; {hint}")
            if source in found:
                circle = " -> ".join((*found[::-1], source))
                raise UserError(f"{label}: checkpoint_from: goes round in a circle: {circle}")
            found.insert(0, source)

    def _read_dataset(self, name: str) -> Dataset:
        layers = self._layers("datasets", name)
        dataset = validate(Dataset, layers)
        self._check_names(dataset, ("features", "systems"), layers)
        rules = dataset.evaluation.rules
        _check_rules(rules, f"{source_of(layers, ('evaluation', 'rules'))}: evaluation.rules")
        _check_rules(
            dataset.evaluation.nms_thresholds,
            f"{source_of(layers, ('evaluation', 'nms_thresholds'))}: evaluation.nms_thresholds",
        )
        for external, given in dataset.external.items():
            where = source_of(layers, ("external", external))
            chosen = given.rules or rules
            _check_rules(chosen, f"{where}: external.{external}.rules")
            tasks = sorted({_asked(name) for name in chosen})
            if len(tasks) > 1:
                raise UserError(
                    f"{where}: external.{external}.rules: one file answers one task, these are of several: "
                    f"{', '.join(tasks)}"
                )
            if given.also and "CLIPScore" in given.also and dataset.evaluation.pictures is None:
                raise UserError(
                    f"{where}: external.{external}.also: CLIPScore needs `evaluation.pictures` of the dataset, the "
                    "folder with the pictures of the videos"
                )
        return dataset

    def _read_feature(self, dataset: str, name: str) -> FeatureBase:
        layers = self._layers("features", name, dataset)
        kind = self.feature_kind(name)
        if kind not in FEATURE_KINDS:
            raise UserError(f"{layers[0][0]}: kind: unknown kind {kind!r}; {nearest(str(kind), FEATURE_KINDS)}")
        if self.is_imported(name):
            return validate(ImportedTranscripts if kind == "speech" else ImportedFeature, layers)
        if any("source" in content for _, content in layers):
            where = source_of(layers, ("source",))
            raise UserError(
                f"{where}: source: the only known source is `import`; leave the key out to compute the rows"
            )
        feature = validate(FEATURE_KINDS[kind], layers)
        encoder = self._member("models.encoders", feature.encoder, layers, "encoder")
        if ENCODER_KINDS.get(kind, kind) != encoder.KIND:
            raise UserError(
                f"{source_of(layers, ('encoder',))}: encoder: {feature.encoder!r} is for {encoder.KIND}, not {kind}"
            )
        self._check_weights(feature, getattr(encoder, "TAKES_WEIGHTS", True), source_of(layers, ("weights",)))
        self._check_more_weights(feature, getattr(encoder, "MORE_WEIGHTS", ()), layers)
        if getattr(feature, "channels", "mono") == "all" and not getattr(encoder, "TAKES_CHANNELS", False):
            raise UserError(
                f"{source_of(layers, ('channels',))}: channels: encoder {feature.encoder!r} takes only mono"
            )
        if isinstance(feature, TranscriptFeature):
            self._check_transcripts(feature.of, source_of(layers, ("of",)), "of")
        params = _complete(encoder.Config, layers, "params")
        return feature.model_copy(update={"params": params})

    def _check_transcripts(self, name: str, where: str, key: str) -> None:
        """Refuse a source of transcripts that makes none."""
        known = [feature for feature in self.known("features") if self.feature_kind(feature) == "speech"]
        if name not in known:
            raise UserError(f"{where}: {key}: no speech feature {name!r}; {nearest(name, known)}")

    def _check_weights(self, feature: ExtractedFeature, takes_weights: bool, where: str) -> None:
        """Refuse weights where the encoder has none, none where it has some, and names that nobody knows."""
        weights = feature.weights
        if takes_weights and weights == NO_WEIGHTS:
            raise UserError(f"{where}: weights: encoder {feature.encoder!r} needs weights, found {weights!r}")
        if not takes_weights and weights != NO_WEIGHTS:
            remedy = f"takes no weights; write `weights: {NO_WEIGHTS}`"
            raise UserError(f"{where}: weights: encoder {feature.encoder!r} {remedy}, found {weights!r}")
        known = [*self.weight_names(), "random(0)"]
        if takes_weights and not RANDOM_WEIGHTS.fullmatch(weights) and weights not in known:
            raise UserError(f"{where}: weights: unknown weights {weights!r}; {nearest(weights, known)}")

    def _check_more_weights(self, feature: ExtractedFeature, roles: tuple[str, ...], layers: list[Layer]) -> None:
        """Refuse further networks that the encoder does not know, and weights that nobody knows."""
        known = [*self.weight_names(), "random(0)"]
        for role, weights in feature.more_weights.items():
            where = f"{source_of(layers, ('more_weights', role))}: more_weights.{role}"
            if role not in roles:
                hint = nearest(role, roles) if roles else "it has one network"
                raise UserError(f"{where}: encoder {feature.encoder!r} has no such network; {hint}")
            if not RANDOM_WEIGHTS.fullmatch(weights) and weights not in known:
                raise UserError(f"{where}: unknown weights {weights!r}; {nearest(weights, known)}")

    def _read_system(self, dataset: str, name: str) -> System:
        layers = self._layers("systems", name, dataset)
        system: System = validate(System, layers)
        # What a dataset says of all systems is about published ones.
        is_of_all = source_of(layers, ("splits", "select")).endswith(SPLITS_OF_DATASET)
        if is_of_all and system.protocol == "clean" and system.splits.select in system.splits.test:
            system = system.model_copy(update={"splits": system.splits.model_copy(update={"select": HELD_OUT})})
        self._member("models.systems", system.system, layers, "system")
        config = importlib.import_module(f"models.systems.{system.system}.config")
        for stream, content in system.streams.items():
            for i, feature in enumerate(content.names):
                if feature not in self.known("features"):
                    where = source_of(layers, ("streams", stream, "names"))
                    hint = nearest(feature, self.known("features"))
                    raise UserError(f"{where}: streams.{stream}.names[{i}]: unknown feature {feature!r}; {hint}")
        where = source_of(layers, ("evaluation", "rules"))
        _check_rules(system.evaluation.rules or (), f"{where}: evaluation.rules")
        for stream in system.evaluation.zero_streams:
            if stream not in system.streams:
                where = source_of(layers, ("evaluation", "zero_streams"))
                raise UserError(
                    f"{where}: evaluation.zero_streams: unknown stream {stream!r}; {nearest(stream, system.streams)}"
                )
        self._check_annotations(dataset, system, layers)
        self._check_chain(dataset, system, name, layers)
        check_checkpoint(system, layers)
        is_clean = system.protocol == "clean"
        clean: Mapping[str, tuple[Any, ...]] = getattr(config, "CLEAN", {}) if is_clean else {}
        preset = {"settings": nested({key: admitted[0] for key, admitted in clean.items()})}
        settings = _complete(config.Config, [(f"protocol clean of {system.system}", preset), *layers], "settings")
        if is_clean:
            check_clean(system, settings, clean, layers)
        typed = config.Config.model_validate(settings)
        check_given(system, tasks_of(typed), layers)
        if hasattr(typed, "train"):
            where = source_of(layers, ("selection", "rules"))
            _check_rules(filter(None, [system.selection.rules]), f"{where}: selection.rules")
            check_selection(system, tasks_of(typed), self.dataset(dataset).evaluation, layers)
        varied = _variations(config.Config, system, settings, layers)
        evaluation = system.evaluation.model_copy(update={"variations": varied})
        return system.model_copy(update={"settings": settings, "evaluation": evaluation})

    def _check_annotations(self, dataset: str, system: System, layers: list[Layer]) -> None:
        """Refuse datasets that nobody knows, and annotations of other videos than this dataset's."""
        for name, wanted in system.datasets.items():
            where = source_of(layers, ("datasets", name))
            if name not in self.known("datasets"):
                hint = nearest(name, self.known("datasets"))
                raise UserError(f"{where}: datasets.{name}: unknown dataset; {hint}")
            for key in ("annotations", "corpus"):
                other = getattr(wanted, key)
                if other not in (None, *self.known("datasets")):
                    hint = nearest(other, self.known("datasets"))
                    raise UserError(f"{where}: datasets.{name}.{key}: unknown dataset {other!r}; {hint}")
        source = system.annotations_on(dataset)
        here, there = self.dataset(dataset).videos, self.dataset(source).videos
        if here != there:
            where = source_of(layers, ("datasets", dataset))
            raise UserError(
                f"{where}: datasets.{dataset}.annotations: {source} has its videos in {there}, {dataset} in {here}; "
                "name a dataset that annotates the same videos"
            )

    def _check_chain(self, dataset: str, system: System, name: str, layers: list[Layer]) -> None:
        """Refuse transcripts that nobody makes and priors that do not exist, go round, or lack a seed."""
        if system.transcript is not None:
            self._check_transcripts(system.transcript, source_of(layers, ("transcript",)), "transcript")
        if system.prior is None:
            return
        where, prior = f"{source_of(layers, ('prior',))}: prior.system", system.prior.system
        if prior not in self.known("systems"):
            raise UserError(f"{where}: unknown system {prior!r}; {nearest(prior, self.known('systems'))}")
        chain = [name]
        while prior is not None:
            if prior in chain:
                raise UserError(f"{where}: goes round in a circle: {' -> '.join((*chain, prior))}")
            chain.append(prior)
            content: Mapping[str, Any] = {}
            for _, layer in self._layers("systems", prior, dataset):
                content = merge(content, layer)
            prior = (content.get("prior") or {}).get("system")

    @staticmethod
    def _member(package: str, name: str, layers: list[Layer], key: str) -> Any:
        if name not in module_names(package):
            where = source_of(layers, (key,))
            raise UserError(f"{where}: {key}: unknown {key} {name!r}; {nearest(name, module_names(package))}")
        return importlib.import_module(f"{package}.{name}")


def _variations(
    model: type[BaseModel], system: System, settings: Mapping[str, Any], layers: list[Layer]
) -> dict[str, Mapping[str, Any]]:
    """Return the variations that vary something, validated."""
    found = {}
    for name, change in system.evaluation.variations.items():
        place = ("evaluation", "variations", name)
        layer = (source_of(layers, place), change or {})
        if validate(model, [("settings", settings), layer], place).model_dump(mode="json") != settings:
            found[name] = change
    return found


def _check_rules(names: Iterable[str], where: str) -> None:
    """Refuse rule sets that nobody knows."""
    for name in names:
        if name not in RULE_SETS:
            raise UserError(f"{where}: unknown rule set {name!r}; {nearest(name, RULE_SETS)}")


def _asked(rules: str) -> str:
    """Return what a rule set asks a prediction file for."""
    rule_set = RULE_SETS[rules]
    return f"{rule_set.task} of steps" if rule_set.about_steps else rule_set.task


def _sections(layers: list[Layer], kind: str, name: str) -> list[Layer]:
    """Return what layers say about one dataset, feature or system; nothing is an empty mapping."""
    return [(f"{label}: {kind}.{name}", (content.get(kind) or {}).get(name) or {}) for label, content in layers]


def _splits(layers: list[Layer]) -> list[Layer]:
    """Return what layers say about the splits of a dataset, as layers of a system."""
    stated = [(label, content["splits"]) for label, content in layers if content.get("splits")]
    return [(f"{label}{SPLITS_OF_DATASET}", {"splits": splits}) for label, splits in stated]


def _complete(model: type[BaseModel], layers: list[Layer], key: str) -> dict[str, Any]:
    """Validate the open section `key` against the model of its owner and fill in the defaults."""
    inner = [(label, content[key]) for label, content in layers if content.get(key)]
    complete = validate(model, inner or [(layers[0][0], {})], (key,))
    return complete.model_dump(mode="json")
