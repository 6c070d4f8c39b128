"""Find, merge and validate the configuration files.

One order everywhere: the file's own `extends` chain, then the overrides of this dataset, then
`config/config.yaml`, then `--config`. Later layers win; mappings merge key by key, everything else is replaced whole.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from workflow_scripts.configuration.schema import (
    AudioFeature,
    Dataset,
    FeatureBase,
    ImportedFeature,
    Root,
    System,
    TextFeature,
    VisualFeature,
    Weight,
)
from workflow_scripts.errors import UserError

FEATURE_KINDS = {"visual": VisualFeature, "audio": AudioFeature, "text": TextFeature}

Layer = tuple[str, Mapping[str, Any]]
"""Where settings come from, as a person would look for them, and the settings."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"? Known: ...` for a name that is not known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}Known: {', '.join(known) or 'none'}."


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping; an empty file is an empty mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected `key: value` lines, found {type(content).__name__}")
    return content


def validate(model: type[BaseModel], layers: list[Layer], prefix: tuple[str, ...] = ()) -> BaseModel:
    """Merge `layers` and validate the result; the first problem becomes one readable `UserError`.

    Parameters
    ----------
    prefix : keys under which the settings stand in their files, for messages only
    """
    merged: dict[str, Any] = {}
    for _, content in layers:
        merged = merge(merged, content)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise UserError("\n".join(_explain(model, layers, prefix, e) for e in error.errors())) from None


def _explain(model: type[BaseModel], layers: list[Layer], prefix: tuple[str, ...], error: Mapping[str, Any]) -> str:
    loc = tuple(error["loc"])
    where = f"{_source(layers, loc)}: {'.'.join(str(k) for k in (*prefix, *loc))}"
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown key; {nearest(str(loc[-1]), _fields_at(model, loc[:-1]))}"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{where}: {message}, found {error['input']!r}"


def _source(layers: list[Layer], loc: tuple[Any, ...]) -> str:
    """Return the layer that set the key at `loc`, or the one that set the section it is missing from."""
    for depth in range(len(loc), 0, -1):
        for label, content in reversed(layers):
            found: Any = content
            for key in loc[:depth]:
                if not isinstance(found, Mapping) or key not in found:
                    break
                found = found[key]
            else:
                return label
    return layers[0][0]


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """Return the keys allowed in the section at `loc`."""
    current: Any = model
    for key in loc:
        field = current.model_fields.get(key) if _is_model(current) else None
        if field is not None:
            current = _model_in(field.annotation)
        elif not _is_model(current):
            return []
    return list(current.model_fields) if _is_model(current) else []


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _model_in(annotation: Any) -> Any:
    """Return the model inside an annotation such as `X | None` or `dict[str, X]`, else the annotation."""
    if _is_model(annotation):
        return annotation
    return next(
        (found for arg in getattr(annotation, "__args__", ()) if _is_model(found := _model_in(arg))), annotation
    )


@cache
def module_names(package: str) -> tuple[str, ...]:
    """Return the registered members of a package of `models`: its modules or sub-packages, interface apart."""
    path = importlib.import_module(package).__path__
    return tuple(m.name for m in pkgutil.iter_modules(path) if m.name not in ("interface", "networks"))


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
        for kind in ("datasets", "features", "systems"):
            for name in getattr(self.root, kind):
                if name not in self.known(kind):
                    where = _source(self._root_layers, (kind, name))
                    raise UserError(f"{where}: {kind}.{name}: unknown name; {nearest(name, self.known(kind))}")

    def _split_root(self, root: Mapping[str, Any]) -> list[Layer]:
        path = self.folder / "config.yaml"
        on_disk = read_yaml(path) if path.exists() else {}
        given = {key: value for key, value in root.items() if on_disk.get(key) != value}
        return [(str(path), on_disk), ("--config", given)]

    def known(self, kind: str) -> list[str]:
        """Return the names of all `datasets`, `features` or `systems`."""
        return self._memo(("names", kind), lambda: sorted(p.stem for p in (self.folder / kind).glob("*.yaml")))

    def _file(self, path: Path) -> Mapping[str, Any]:
        """Return the content of a file, read once: the rules ask for it once per job."""
        return self._memo(("file", str(path)), lambda: read_yaml(path))

    def dataset(self, name: str) -> Dataset:
        """Return one dataset's settings."""
        return self._memo(("datasets", name), lambda: validate(Dataset, self._layers("datasets", name)))

    def feature(self, dataset: str, name: str) -> FeatureBase:
        """Return one feature's settings on one dataset, its encoder's parameters completed by their defaults."""
        return self._memo(("features", dataset, name), lambda: self._read_feature(dataset, name))

    def system(self, dataset: str, name: str) -> System:
        """Return one system's settings on one dataset, its own settings completed by their defaults."""
        return self._memo(("systems", dataset, name), lambda: self._read_system(dataset, name))

    def weight_names(self) -> list[str]:
        """Return the names in the weights registry."""
        return sorted(self._file(self.folder / "weights.yaml"))

    def weight(self, name: str) -> Weight:
        """Return one entry of the weights registry."""
        path = self.folder / "weights.yaml"
        registry = self._file(path)
        if name not in registry:
            raise UserError(f"{path}: no entry {name!r}; {nearest(name, registry)}")
        return validate(Weight, [(str(path), registry[name])], (name,))

    def feature_kind(self, name: str) -> str:
        """Return `visual`, `audio` or `text` without validating the rest of the feature file."""
        kind = {}
        for _, content in self._chain("features", name):
            kind = merge(kind, content)
        return kind.get("kind", "")

    def is_imported(self, name: str) -> bool:
        """Return whether a feature's file says `source: import`."""
        return any(content.get("source") == "import" for _, content in self._chain("features", name))

    def _memo(self, key: tuple[str, ...], make: Any) -> Any:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def _chain(self, kind: str, name: str, seen: tuple[str, ...] = ()) -> list[Layer]:
        """Return the file of `name` after the files it extends."""
        if name not in self.known(kind):
            where = f"{self.folder / kind / seen[-1]}.yaml: extends: " if seen else ""
            raise UserError(f"{where}unknown {kind[:-1]} {name!r}; {nearest(name, self.known(kind))}")
        path = self.folder / kind / f"{name}.yaml"
        if name in seen:
            raise UserError(f"{path}: extends: goes round in a circle: {' -> '.join((*seen, name))}")
        content = dict(self._file(path))
        base = content.pop("extends", None)
        below = self._chain(kind, base, (*seen, name)) if base else []
        return [*below, (str(path), content)]

    def _layers(self, kind: str, name: str, dataset: str | None = None) -> list[Layer]:
        layers = self._chain(kind, name)
        if dataset is not None:
            layers += self._dataset_layers(kind, name, dataset)
        for label, content in self._root_layers:
            layers.append((f"{label}: {kind}.{name}", (content.get(kind) or {}).get(name) or {}))
        return [layer for layer in layers if layer[1]]

    def _dataset_layers(self, kind: str, name: str, dataset: str) -> list[Layer]:
        """Return what a dataset says about a feature or system, after what the dataset its checkpoint is from says."""
        own = [
            (f"{label}: {kind}.{name}", (content.get(kind) or {}).get(name) or {})
            for label, content in self._layers("datasets", dataset)
        ]
        source = next((c["checkpoint_from"] for _, c in reversed(own) if c.get("checkpoint_from")), None)
        return (self._dataset_layers(kind, name, source) if source else []) + own

    def _read_feature(self, dataset: str, name: str) -> FeatureBase:
        layers = self._layers("features", name, dataset)
        kind = self.feature_kind(name)
        if kind not in FEATURE_KINDS:
            raise UserError(f"{layers[0][0]}: kind: unknown kind {kind!r}; {nearest(str(kind), FEATURE_KINDS)}")
        if self.is_imported(name):
            return validate(ImportedFeature, layers)
        feature = validate(FEATURE_KINDS[kind], layers)
        encoder = self._member("models.encoders", feature.encoder, layers, "encoder")
        if kind != encoder.KIND:
            raise UserError(
                f"{_source(layers, ('encoder',))}: encoder: {feature.encoder!r} is for {encoder.KIND}, not {kind}"
            )
        params = _complete(encoder.Config, layers, "params")
        return feature.model_copy(update={"params": params})

    def _read_system(self, dataset: str, name: str) -> System:
        layers = self._layers("systems", name, dataset)
        system: System = validate(System, layers)
        self._member("models.systems", system.system, layers, "system")
        config = importlib.import_module(f"models.systems.{system.system}.config")
        for stream, content in system.streams.items():
            for i, feature in enumerate(content.names):
                if feature not in self.known("features"):
                    where = _source(layers, ("streams", stream, "names"))
                    hint = nearest(feature, self.known("features"))
                    raise UserError(f"{where}: streams.{stream}.names[{i}]: unknown feature {feature!r}; {hint}")
        for stream in system.evaluation.zero_streams:
            if stream not in system.streams:
                where = _source(layers, ("evaluation", "zero_streams"))
                raise UserError(
                    f"{where}: evaluation.zero_streams: unknown stream {stream!r}; {nearest(stream, system.streams)}"
                )
        settings = _complete(config.Config, layers, "settings")
        return system.model_copy(update={"settings": settings})

    @staticmethod
    def _member(package: str, name: str, layers: list[Layer], key: str) -> Any:
        if name not in module_names(package):
            where = _source(layers, (key,))
            raise UserError(f"{where}: {key}: unknown {key} {name!r}; {nearest(name, module_names(package))}")
        return importlib.import_module(f"{package}.{name}")


def _complete(model: type[BaseModel], layers: list[Layer], key: str) -> dict[str, Any]:
    """Validate the open section `key` against the model of its owner and fill in the defaults."""
    inner = [(label, content[key]) for label, content in layers if content.get(key)]
    complete = validate(model, inner or [(layers[0][0], {})], (key,))
    return complete.model_dump(mode="json")
