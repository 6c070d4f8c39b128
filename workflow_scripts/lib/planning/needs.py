"""What has to come from elsewhere, and what of it is here: annotations, videos, published features, weights."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import Download, Published
from workflow_scripts.lib.datasets.source_files import stored_path
from workflow_scripts.lib.datasets.video_folder import no_annotation_file
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import shipped_path, weight_path
from workflow_scripts.lib.fetching.misplaced import misplaced
from workflow_scripts.lib.planning import missing_files
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.downloads import COMMAND, Downloads
from workflow_scripts.lib.planning.planned_files import RESULTS
from workflow_scripts.lib.planning.reading import Reading
from workflow_scripts.lib.store.id_patterns import called_otherwise, pattern_fields


@dataclass(frozen=True)
class Need:
    """One thing that is published elsewhere, or that a person brings.

    Attributes
    ----------
    name : str
        What it is, for people.
    place : str
        File or folder where it is, or would be.
    size : int or None
        Bytes of the file, or of the archive that the folder comes from.
    about : str or None
        Rough size where the exact one is not known.
    licence : str
        Terms of its publishers; empty where a person brings it.
    used_by : str
        What needs it.
    n_here, n_all : int, int or None
        How many of how many files are here; None: nobody knows how many there are.
    is_fetched : bool
        Whether a call that needs it fetches it by itself.
    ways : tuple of str
        What a person does about it, any of these; empty if nothing has to be done.
    wrong : str
        What is wrong with what is here.
    """

    name: str
    place: str
    size: int | None = None
    about: str | None = None
    licence: str = ""
    used_by: str = ""
    n_here: int = 0
    n_all: int | None = 1
    is_fetched: bool = False
    ways: tuple[str, ...] = ()
    wrong: str = ""

    @property
    def is_here(self) -> bool:
        """Return whether all of it is here."""
        return not self.wrong and self.n_here > 0 and self.n_here >= (self.n_all or 1)

    @property
    def blocks(self) -> bool:
        """Return whether no job that needs it can succeed: nothing of it is here, and no job fetches it."""
        return bool(self.wrong) or (self.n_here == 0 and not self.is_fetched)


class Needs:
    """Everything that can be needed, or what targets need.

    Parameters
    ----------
    reading : what targets read; None: everything that is published for any dataset or feature
    """

    def __init__(
        self,
        configuration: Configuration,
        downloads: Downloads,
        datasets: Datasets,
        reading: Reading | None,
    ) -> None:
        self._configuration, self._downloads, self._datasets = configuration, downloads, datasets
        self._reading = reading

    def weights(self) -> list[Need]:
        """Return the weights."""
        if self._reading is None:
            return [self._weight(name, ()) for name in self._configuration.weight_names()]
        return [self._weight(name, by) for name, by in sorted(self._reading.weights.items())]

    def data(self) -> list[Need]:
        """Return everything else."""
        if self._reading is None:
            return [need for name in self._configuration.known("datasets") for need in self._published_for(name)]
        found, seen = [], set()
        for need in self._of_reading(self._reading):
            if need.place not in seen:
                seen.add(need.place)
                found.append(need)
        return found

    def _of_reading(self, reading: Reading) -> Iterator[Need]:
        for dataset, by in reading.annotations.items():
            yield from self._annotations(dataset, by)
        for dataset, by in reading.media.items():
            yield self._videos(dataset, by)
        for dataset, by in reading.sounds.items():
            yield self._sounds(dataset, by)
        for (dataset, feature), by in reading.imports.items():
            yield self._published_rows(dataset, feature, by)
        for (dataset, feature), by in reading.images.items():
            yield self._images(dataset, feature, by)
        for (dataset, system), file in reading.checkpoints.items():
            say = missing_files.published_checkpoint(dataset, system, file)
            yield _brought("published checkpoint", Path(file), (system,), say)
        for (dataset, name), file in reading.predictions.items():
            yield self._predictions(dataset, name, file, name)

    def _weight(self, name: str, by: Iterable[str]) -> Need:
        weight = self._configuration.weight(name)
        place = weight_path(weight, self._configuration.root.paths.weights)
        is_fetched = bool(weight.url or weight.fitted_on or shipped_path(weight))
        ways = (f"{COMMAND} {place}",) if is_fetched else (f"put the file at {place}: {weight.source or weight.page}",)
        return _file(f"weights {name}", place, weight, by, is_fetched, ways)

    def _annotations(self, dataset: str, by: Iterable[str]) -> Iterator[Need]:
        found = self._configuration.dataset(dataset)
        if found.generate:
            return
        for path in (*found.annotations.files.values(), *found.annotations.items):
            owner = self._configuration.single_downloads().get(path)
            if owner:
                yield self._single_file(f"annotations of {dataset}", path, owner, by)
            else:
                yield _brought(f"annotations of {dataset}", stored_path(Path(path)), by, no_annotation_file(path))

    def _predictions(self, dataset: str, name: str, file: str, by: str) -> Need:
        owner = self._configuration.single_downloads().get(file)
        if owner:
            return self._single_file(f"predictions {name}", file, owner, (by,))
        path = stored_path(Path(file))
        return _brought("predictions", path, (by,), missing_files.prediction_file(dataset, name, path))

    def _single_file(self, name: str, path: str, owner: tuple[str, str], by: Iterable[str]) -> Need:
        download = self._configuration.dataset(owner[0]).downloads[owner[1]]
        ways = (f"{COMMAND} {path}",) if download.url else (f"get it from {download.page} and put it at {path}",)
        return _file(name, stored_path(Path(path)), download, by, bool(download.url), ways)

    def _videos(self, dataset: str, by: Iterable[str]) -> Need:
        place = self._configuration.dataset(dataset).videos
        what = "none of the annotated videos is there" if Path(place).is_dir() else "no such folder"
        put = f"{place}: {what}. Put the videos there, or change `videos` in the dataset's YAML file"
        counts = self._datasets.found_videos(dataset) if self._datasets.has_annotations(dataset) else None
        return self._folder(f"videos of {dataset}", dataset, place, by, counts, put)

    def _sounds(self, dataset: str, by: Iterable[str]) -> Need:
        folder = self._configuration.dataset(dataset).query_audio
        put = missing_files.query_sounds(dataset, folder)
        if folder is None:
            raise UserError(put)
        return self._folder(f"spoken queries of {dataset}", dataset, folder, by, None, put)

    def _published_rows(self, dataset: str, feature: str, by: Iterable[str]) -> Need:
        described = self._configuration.feature(dataset, feature)
        path, pattern, counts = Path(described.path), described.id_pattern, None
        put = missing_files.feature_files(feature, path)
        if path.is_dir() and pattern_fields(pattern) == {"video_id"} and self._datasets.has_annotations(dataset):
            names = [pattern.format(video_id=video_id) for video_id in self._datasets.video_ids(dataset)]
            counts = sum((path / name).exists() for name in names), len(names)
            example = min((each.name for each in path.iterdir()), default=None)
            if names and example:
                put = called_otherwise(path, pattern, names, example)
        return self._folder(f"{feature} of {dataset}", dataset, described.path, by, counts, put)

    def _images(self, dataset: str, feature: str, by: Iterable[str]) -> Need:
        path, counts = Path(self._configuration.feature(dataset, feature).images.path), None
        if path.is_dir() and self._datasets.has_annotations(dataset):
            ids = self._datasets.video_ids(dataset)
            counts = sum((path / each).is_dir() for each in ids), len(ids)
        put = missing_files.image_folders(feature, path)
        return self._folder(f"images for {feature} of {dataset}", dataset, str(path), by, counts, put)

    def _folder(
        self, name: str, dataset: str, place: str, by: Iterable[str], counts: tuple[int, int] | None, put: str
    ) -> Need:
        """Return something that lies in a folder; `put` says what to do if nothing of it is there."""
        n_here, n_all = counts or (_files_in(place), None)
        archive = next((archive for *_, archive in self._downloads.archives_for(dataset, place)), None)
        return Need(
            name,
            place,
            archive and archive.size,
            archive and archive.about,
            archive.licence if archive else "",
            ", ".join(by),
            n_here,
            n_all,
            ways=(*(() if n_here else (put,)), *self._downloads.ways_to_fetch(dataset, place)),
        )

    def _published_for(self, dataset: str) -> Iterator[Need]:
        """Return everything that the publishers of a dataset offer."""
        found = self._configuration.dataset(dataset)
        yield from (need for need in self._annotations(dataset, (dataset,)) if need.licence)
        for name, download in found.downloads.items():
            if download.unpack:
                yield self._archive(dataset, name, download)
        for name, given in found.external.items():
            if given.file in self._configuration.single_downloads():
                yield self._predictions(dataset, name, given.file, dataset)
        if found.on_youtube:
            command = f"{COMMAND} {RESULTS}/{dataset}/youtube/missing.tsv"
            n_here = _files_in(found.videos)
            yield Need(
                "videos", found.videos, None, None, "that of each uploader", dataset, n_here, None, ways=(command,)
            )

    def _archive(self, dataset: str, name: str, download: Download) -> Need:
        command = f"{COMMAND} {RESULTS}/{dataset}/fetched/{name}.json"
        ways = (command,)
        if not download.url:
            ways = (f"get it from {download.page}, put it at {download.archive_place}, then {command}",)
        stated = (download.size, download.about, download.licence)
        return Need(name, download.to, *stated, dataset, _files_in(download.to), None, ways=ways)


def _file(
    name: str, place: Path, published: Published, by: Iterable[str], is_fetched: bool, ways: tuple[str, ...]
) -> Need:
    n_here, wrong = int(place.is_file()), ""
    if n_here and place.suffix != ".gz" and published.size not in (None, place.stat().st_size):
        wrong = f"{place} has {place.stat().st_size:,} bytes instead of {published.size:,}; delete it"
    stated = (published.size, published.about, published.licence)
    if n_here and not wrong:
        ways = ()
    elif not is_fetched:
        ways = (ways[0] + misplaced(place, published.size), *ways[1:])
    return Need(name, str(place), *stated, ", ".join(by), n_here, 1, is_fetched, ways, wrong)


def _brought(name: str, file: Path, by: Iterable[str], say: str) -> Need:
    is_here = file.is_file()
    ways = () if is_here else (say,)
    return Need(name, str(file), used_by=", ".join(by), n_here=int(is_here), ways=ways)


def _files_in(folder: str) -> int:
    """Return how many entries a folder has; 1 for a file."""
    path = Path(folder)
    return sum(1 for _ in path.iterdir()) if path.is_dir() else int(path.is_file())
