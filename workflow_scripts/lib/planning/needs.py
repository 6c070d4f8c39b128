"""What has to come from elsewhere: weights of features, files and archives of datasets."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import base_weights, fit_files, published_weights, with_parts
from workflow_scripts.lib.configuration.schema import Published
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import weight_path

TARGET = re.compile(
    r"results/(?P<dataset>[a-z0-9_]+)/(?:(?:features|transcripts)/(?P<feature>[a-z0-9_]+)|(?P<system>[a-z0-9_]+))/.+"
)
COMMAND = "snakemake --cores 1"
ANY_DATASET = "demo"
"""What a dataset says about a feature is left out of the list over all datasets."""


@dataclass(frozen=True)
class Need:
    """One thing that is published elsewhere.

    Attributes
    ----------
    name : str
        What it is called in the configuration.
    place : str
        File or folder where it is, or would be.
    size : int or None
        Bytes of the file, or of the archive that the folder comes from.
    about : str or None
        Rough size where the exact one is not known.
    licence : str
        Terms of its publishers.
    used_by : str
        Features or datasets that need it.
    command : str
        What fetches it, or unpacks what a person fetched; empty if nothing has to be done.
    page : str or None
        Where a person gets it, if no program may.
    put_at : str or None
        Where a person puts it then.
    """

    name: str
    place: str
    size: int | None
    about: str | None
    licence: str
    used_by: str
    command: str = ""
    page: str | None = None
    put_at: str | None = None


def weights_needed(configuration: Configuration) -> list[Need]:
    """Return the registered weights: all, or those of the target `needed_by`.

    Raises
    ------
    UserError
        the target is none of a system or feature
    """
    used: dict[str, list[str]] = {}
    dataset, features = _features_of_target(configuration)
    for name in features:
        for weights in published_weights(configuration, configuration.feature(dataset, name)):
            used.setdefault(weights, []).append(name)
    for system in _systems_of_target(configuration):
        settings = configuration.system(dataset, system)
        named = (*base_weights(settings), *fit_files(configuration, settings).values())
        for weights in with_parts(configuration, named):
            used.setdefault(weights, []).append(system)
    names = used if configuration.root.needed_by else configuration.weight_names()
    return [_weight(configuration, name, used.get(name, [])) for name in sorted(names)]


def data_needed(configuration: Configuration) -> list[Need]:
    """Return what can be fetched: for all datasets, or for that of the target `needed_by`."""
    datasets = [_target(configuration)["dataset"]] if configuration.root.needed_by else configuration.known("datasets")
    return [need for dataset in datasets for need in _downloads(configuration, dataset)]


def _target(configuration: Configuration) -> dict[str, str | None]:
    target = configuration.root.needed_by
    match = TARGET.fullmatch(target)
    if not match:
        example = "results/qvh/img/metrics.json or results/qvh/features/clip_b32/index.parquet"
        raise UserError(f"needed_by: {target!r} is no target of a dataset; expected something like {example}")
    return match.groupdict()


def _features_of_target(configuration: Configuration) -> tuple[str, Iterable[str]]:
    if not configuration.root.needed_by:
        return ANY_DATASET, configuration.known("features")
    target = _target(configuration)
    dataset = target["dataset"]
    if target["feature"]:
        return dataset, [target["feature"]]
    # Annotations, the manifest and the like need no weights.
    systems = [configuration.system(dataset, name) for name in _systems_of_target(configuration)]
    read = {feature for system in systems for stream in system.streams.values() for feature in stream.names}
    return dataset, sorted(read | {system.transcript for system in systems if system.transcript})


def _systems_of_target(configuration: Configuration) -> list[str]:
    """Return the system of the target with those before it in its chain; all systems without a target."""
    known = configuration.known("systems")
    if not configuration.root.needed_by:
        return known
    target = _target(configuration)
    chain, name = [], target["system"]
    while name in known:
        chain.append(name)
        prior = configuration.system(target["dataset"], name).prior
        name = prior and prior.system
    return chain


def _weight(configuration: Configuration, name: str, used_by: list[str]) -> Need:
    weight = configuration.weight(name)
    place = str(weight_path(weight, configuration.root.paths.weights))
    return _need(name, place, weight, ", ".join(used_by), "" if weight.package else f"{COMMAND} {place}")


def _downloads(configuration: Configuration, dataset: str) -> Iterable[Need]:
    found = configuration.dataset(dataset)
    for path in (*found.annotations.files.values(), *found.annotations.items):
        owner = configuration.single_downloads().get(path)
        if owner:
            download = configuration.dataset(owner[0]).downloads[owner[1]]
            yield _need("annotations", path, download, dataset, f"{COMMAND} {path}")
    for name, download in found.downloads.items():
        if download.unpack:
            command = f"{COMMAND} results/{dataset}/fetched/{name}.json"
            yield _need(name, download.to, download, dataset, command, download.archive_place)
    if found.on_youtube:
        command = f"{COMMAND} results/{dataset}/youtube/missing.tsv"
        yield Need("videos", found.videos, None, None, "that of each uploader", dataset, command)


def _need(name: str, place: str, published: Published, used_by: str, command: str, archive: str | None = None) -> Need:
    """Return what is needed; a command that would only refuse is left out."""
    stated = (name, place, published.size, published.about, published.licence, used_by)
    if published.url or not published.page:
        return Need(*stated, command)
    return Need(*stated, command if archive else "", published.page, archive or place)
