"""What the rules ask about a dataset: its shards, its annotation files, how they are read."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import Dataset, ImportedFeature
from workflow_scripts.lib.datasets.demo.event_plan import plan_demo, plan_digest
from workflow_scripts.lib.datasets.demo.sentences import WORDS_VERSION
from workflow_scripts.lib.datasets.readers import importer_name, read_annotations, splits_named
from workflow_scripts.lib.datasets.source_files import stored_path
from workflow_scripts.lib.datasets.video_folder import (
    MISSING,
    AnnotatedVideos,
    annotated_videos,
    is_missing,
    list_videos,
    stat_signature,
    videos_in,
)
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning import missing_files
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.future_dates import refuse_future_dates
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shards import (
    all_shards,
    frozen_shard_count,
    read_shard_list,
    shard_list_text,
    split_into_shards,
)
from workflow_scripts.lib.store.tables import read_table
from workflow_scripts.lib.versions import version_of, versions_of


class Datasets:
    """The datasets, with the shards of their listed videos.

    Parameters
    ----------
    trusts_lists : take the shard lists that are there for true and look at no folder of videos: a job on a cluster
        plans anew what its main process has planned
    """

    def __init__(
        self, configuration: Configuration, files: PlannedFiles, downloads: Downloads, trusts_lists: bool = False
    ) -> None:
        self._configuration, self._files, self._downloads = configuration, files, downloads
        self._trusts_lists = trusts_lists
        self._shards: dict[str, list[str]] = {}
        self._annotated: dict[str, AnnotatedVideos] = {}
        self._there: dict[str, dict[str, str]] = {}
        self._sounds: dict[str, str] = {}

    # Videos

    def video_files(self, dataset: str) -> dict[str, Any]:
        """Return where a dataset's videos are, the extensions of their names, and what is believed of them."""
        described = self._dataset(dataset)
        settings = {"videos": described.videos, "extensions": list(described.extensions)}
        return settings | {"plausible": described.plausible.model_dump(), "version": version_of("probe")}

    def on_bad_video(self, dataset: str) -> str:
        """Return `fail` or `skip`."""
        return self._dataset(dataset).on_bad_video or self._configuration.root.on_bad_video

    def query_audio(self, dataset: str) -> str:
        """Return the folder of the spoken queries' sound files.

        Raises
        ------
        UserError
            the dataset does not say where they are, or the folder is not there
        """
        folder = self._dataset(dataset).query_audio
        if folder is None:
            raise UserError(missing_files.query_sounds(dataset, None))
        if not Path(folder).is_dir():
            raise UserError(missing_files.query_sounds(dataset, folder))
        return folder

    def query_sounds(self, dataset: str) -> str:
        """Return what `stat` tells of the spoken queries' sound files, as a digest."""
        if dataset not in self._sounds:
            files = sorted(path for path in Path(self.query_audio(dataset)).rglob("*") if path.is_file())
            self._sounds[dataset] = digest_json([[str(path), stat_signature(path)] for path in files])
        return self._sounds[dataset]

    # Shards

    def shards(self, dataset: str) -> list[str]:
        """Return the shard names of a dataset; its shard lists are brought up to date on the first call."""
        if dataset not in self._shards:
            self._shards[dataset] = self._list_shards(dataset)
        return self._shards[dataset]

    def shard_list(self, dataset: str, shard: str) -> str:
        """Return the list of a shard's videos.

        Raises
        ------
        UserError
            the dataset has no such shard
        """
        if shard not in self.shards(dataset):
            raise UserError(f"dataset {dataset!r} has no shard {shard!r}; it has {len(self.shards(dataset))}")
        return f"{RESULTS}/{dataset}/shards/{shard}.tsv"

    def per_shard(self, dataset: str, pattern: str) -> list[str]:
        """Return one path per shard; `pattern` is below the dataset's results and holds `{shard}`."""
        return [f"{RESULTS}/{dataset}/{pattern.format(shard=shard)}" for shard in self.shards(dataset)]

    def _list_shards(self, name: str) -> list[str]:
        dataset, folder = self._dataset(name), RESULTS / name
        if self._trusts_lists and (shards := _listed_shards(folder, dataset.n_shards)):
            return shards
        listed = _generated(dataset) if dataset.generate else self._found(name, dataset)
        n_shards = dataset.n_shards or frozen_shard_count(
            folder / "shards.json", lambda: len(listed), self._configuration.root.videos_per_shard
        )
        for shard, entries in split_into_shards(listed, n_shards).items():
            self._files.bring_up_to_date(folder / f"shards/{shard}.tsv", shard_list_text(entries))
        return all_shards(n_shards)

    def _found(self, name: str, dataset: Dataset) -> dict[str, str]:
        if not Path(dataset.videos).is_dir():
            return self._listed_before(name, self._annotated_videos(name).ids)
        return self._videos_listed(name)

    def _videos_listed(self, name: str) -> dict[str, str]:
        """Return what `stat` tells of every annotated video, asked once."""
        if name not in self._there:
            dataset, annotated = self._dataset(name), self._annotated_videos(name)
            folder = Path(dataset.videos)
            self._there[name] = list_videos(folder, dataset.extensions, annotated.ids, annotated.named)
        return self._there[name]

    def _listed_before(self, name: str, ids: list[str]) -> dict[str, str]:
        """Return what the shard lists say of videos whose folder is not there now.

        What was made from videos stays valid when their disk is taken away, and features that somebody published need
        none. A job that does read videos is refused before it starts (preflight.py).
        """
        known = self._lists(name)
        return {video_id: known.get(video_id, MISSING) for video_id in ids}

    def _lists(self, name: str) -> dict[str, str]:
        """Return all entries of the shard lists that are there."""
        known: dict[str, str] = {}
        for path in (RESULTS / name / "shards").glob("*.tsv"):
            known |= read_shard_list(path)
        return known

    def _annotated_videos(self, name: str) -> AnnotatedVideos:
        source = self._dataset(name).annotations
        if name not in self._annotated and source.is_listing:
            self._annotated[name] = self._videos_there(name)
        elif name not in self._annotated:
            files = {split: stored_path(Path(path)) for split, path in source.files.items()}
            for path in files.values():
                self._downloads.require(path)
            refuse_future_dates([*files.values(), *map(Path, self.item_files(name))], "tables")
            cache = RESULTS / name / "shards" / "annotated.json"
            self._annotated[name] = annotated_videos(
                files.values(),
                importer_name(source.format),
                lambda: read_annotations(source.format, files, name),
                cache,
                source.only_splits,
            )
        return self._annotated[name]

    def _videos_there(self, name: str) -> AnnotatedVideos:
        """Return the videos of a folder without annotations, or what was known of them if it is not there now."""
        dataset, manifest = self._dataset(name), Path(_manifest(name))
        is_looked_at = Path(dataset.videos).is_dir() and not self._trusts_lists
        known = [] if is_looked_at else sorted(self._lists(name))
        ids = known or videos_in(Path(dataset.videos), dataset.extensions)
        seconds = read_table(manifest, ["duration_s"])["duration_s"].to_pylist() if manifest.is_file() else []
        return AnnotatedVideos(
            ids, [None] * len(ids), False, sum(filter(None, seconds)), [dataset.annotations.split], {}
        )

    def has_annotations(self, dataset: str) -> bool:
        """Return whether all annotation files of a dataset are there, or made here."""
        found = self._dataset(dataset)
        return bool(found.generate or found.annotations.is_listing) or all(
            Path(path).is_file() for path in self.annotation_files(dataset)
        )

    def splits(self, dataset: str) -> list[str]:
        """Return the splits of a dataset; before its annotations are there, those that its files are named after."""
        found, source = self._dataset(dataset), self._dataset(dataset).annotations
        if found.generate or not self.has_annotations(dataset):
            named = splits_named(source.format, source.files)
            return [split for split in named if source.only_splits is None or split in source.only_splits]
        return self._annotated_videos(dataset).splits

    def hours(self, dataset: str) -> float:
        """Return the hours of video that the annotation files state."""
        return self._annotated_videos(dataset).total_s / 3600

    def query_counts(self, dataset: str) -> dict[str, int]:
        """Return how many queries the annotation files have of every split; of generated videos, none are known."""
        return {} if self._dataset(dataset).generate else self._annotated_videos(dataset).queries

    def video_ids(self, dataset: str) -> list[str]:
        """Return the annotated videos."""
        return self._annotated_videos(dataset).ids

    def found_videos(self, dataset: str) -> tuple[int, int]:
        """Return how many of the annotated videos are there, and how many are annotated."""
        annotated = self._annotated_videos(dataset)
        if not Path(self._dataset(dataset).videos).is_dir():
            return 0, len(annotated.ids)
        there = sum(not is_missing(entry) for entry in self._videos_listed(dataset).values())
        return there, len(annotated.ids)

    # Annotations

    def annotation_files(self, dataset: str) -> list[str]:
        """Return the source annotation files of a dataset, as they are kept: plain or `.gz`."""
        return [str(stored_path(Path(path))) for path in self._files_by_split(dataset).values()]

    def item_files(self, dataset: str) -> list[str]:
        """Return the files with items of the queries, as they are kept: plain or `.gz`."""
        return [str(stored_path(Path(path))) for path in self._dataset(dataset).annotations.items]

    def durations_from(self, dataset: str) -> list[str]:
        """Return the media manifest if nothing else tells the durations of all videos, else nothing."""
        if self._dataset(dataset).generate or self._dataset(dataset).annotations.durations_of:
            return []
        if self._annotated_videos(dataset).have_durations:
            return []
        return [_manifest(dataset)]

    def takes_durations_from_videos(self, dataset: str) -> bool:
        """Return whether the videos have to be read for durations alone, as far as that is known."""
        missing = self.has_annotations(dataset) and self.durations_from(dataset)
        return bool(missing) and not all(Path(path).is_file() for path in missing)

    def annotation_files_by_split(self, dataset: str) -> dict[str, Any]:
        """Return the format of a dataset's annotations, every split's file, in order, and the readers' versions."""
        # The tables have this order, which a mapping in a settings file does not keep.
        files = [list(pair) for pair in self._files_by_split(dataset).items()]
        source_format = self._dataset(dataset).annotations.format
        versions = versions_of([f"reader/{source_format}", "annotations"])
        return {"format": source_format, "files": files, "versions": versions}

    def _files_by_split(self, dataset: str) -> dict[str, str]:
        """Return the files that a dataset's annotations are read from: of a folder without any, the media manifest."""
        source = self._dataset(dataset).annotations
        return {source.split: _manifest(dataset)} if source.is_listing else dict(source.files)

    def annotation_source(self, dataset: str) -> dict[str, Any]:
        """Return what the tables of a dataset are made from."""
        source = self._dataset(dataset).annotations
        made_from = {**self.annotation_files_by_split(dataset), "items": list(source.items)}
        if source.only_splits is not None:
            made_from["only_splits"] = list(source.only_splits)
        if source.durations_of is not None:
            made_from["durations_of"] = self._rows_that_tell_durations(dataset, source.durations_of)
        return made_from

    def _rows_that_tell_durations(self, dataset: str, feature: str) -> dict[str, Any]:
        """Return where published rows are and how many seconds each of them stands for."""
        found = self._configuration.feature(dataset, feature)
        if not isinstance(found, ImportedFeature) or not isinstance(found.times, float):
            raise UserError(
                f"config/datasets/{dataset}.yaml: annotations.durations_of: {feature} does not tell durations; name an "
                "imported feature that states seconds per row (`times: 2.0`)"
            )
        return found.model_dump(include={"path", "layout", "key", "id_pattern", "times"})

    def strict_check(self, dataset: str) -> list[str]:
        """Return the file that says that no span of a dataset is odd, or nothing unless that is asked for."""
        is_strict = self._configuration.root.strict_annotations
        return [f"{RESULTS}/{dataset}/annotations/strict_check.txt"] if is_strict else []

    # Generated datasets

    def generated_by(self, dataset: str) -> list[str]:
        """Return the file that says that a generated dataset's videos are complete, or nothing."""
        found = self._dataset(dataset)
        return [str(Path(found.videos).parent / "videos.json")] if found.generate else []

    def generator(self, dataset: str) -> dict[str, Any]:
        """Return the number of videos of every split of a generated dataset, the seed, and the version of its words.

        Raises
        ------
        UserError
            the dataset is not a generated one
        """
        made = self._dataset(dataset).generate
        if made is None:
            raise UserError(f"dataset {dataset!r} is not generated; its files come from config/datasets/{dataset}.yaml")
        return made.model_dump(mode="json") | {"words_version": WORDS_VERSION}

    def _dataset(self, name: str) -> Dataset:
        return self._configuration.dataset(name)


def _listed_shards(folder: Path, n_shards: int | None) -> list[str]:
    """Return the shards of a dataset whose lists are all there; none if one is not."""
    if not n_shards and not (folder / "shards.json").is_file():
        return []
    shards = all_shards(n_shards or frozen_shard_count(folder / "shards.json", lambda: 0))
    return shards if all((folder / f"shards/{shard}.tsv").is_file() for shard in shards) else []


def _manifest(dataset: str) -> str:
    return f"{RESULTS}/{dataset}/media/manifest.parquet"


def _generated(dataset: Dataset) -> dict[str, str]:
    """Return id -> signature of the videos that a dataset makes."""
    made = dataset.generate
    counts = {split: getattr(made, split) for split in ("train", "val", "test")}
    return {plan.video_id: f"generated:{plan_digest(plan)}" for plan in plan_demo(made.seed, counts)}
