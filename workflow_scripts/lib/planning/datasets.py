"""What the rules ask about a dataset: its shards, its annotation files, how they are read."""

import shlex
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.demo.plan import plan_demo, plan_digest
from workflow_scripts.lib.datasets.listing import (
    AnnotatedVideos,
    annotated_videos,
    list_videos,
    stat_signature,
    write_shard_lists,
)
from workflow_scripts.lib.datasets.readers import read_durations
from workflow_scripts.lib.datasets.source_files import stored_path
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.planned_files import RESULTS
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shards import all_shards, frozen_shard_count


class Datasets:
    """The datasets, with the shards of their listed videos."""

    def __init__(self, configuration: Configuration, downloads: Downloads) -> None:
        self._configuration, self._downloads = configuration, downloads
        self._shards: dict[str, list[str]] = {}
        self._annotated: dict[str, AnnotatedVideos] = {}
        self._sounds: dict[str, str] = {}

    # Videos

    def videos(self, dataset: str) -> str:
        """Return the folder of a dataset's videos."""
        return self._dataset(dataset).videos

    def extensions(self, dataset: str) -> str:
        """Return the file name extensions of videos, with commas between them."""
        return ",".join(self._dataset(dataset).extensions)

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
            raise UserError(f"config/datasets/{dataset}.yaml: query_audio: name the folder of the spoken queries")
        if not Path(folder).is_dir():
            raise UserError(f"config/datasets/{dataset}.yaml: query_audio: {folder} is no folder; put the files there")
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
        listed = _generated(dataset) if dataset.generate else self._found(name, dataset)
        n_shards = dataset.n_shards or frozen_shard_count(
            folder / "shards.json", lambda: len(listed), self._configuration.root.videos_per_shard
        )
        write_shard_lists(folder / "shards", listed, n_shards)
        return all_shards(n_shards)

    def _found(self, name: str, dataset: Dataset) -> dict[str, str]:
        folder = Path(dataset.videos)
        if not folder.is_dir():
            hint = self._downloads.how_to_fetch(name, dataset.videos)
            raise UserError(
                f"{folder}: no such folder. Put the videos there, or change `videos` in the dataset's YAML file{hint}"
            )
        return list_videos(folder, dataset.extensions, self._annotated_videos(name).ids)

    def _annotated_videos(self, name: str) -> AnnotatedVideos:
        if name not in self._annotated:
            source = self._dataset(name).annotations
            files = {split: stored_path(Path(path)) for split, path in source.files.items()}
            for path in files.values():
                self._downloads.require(path)
            cache = RESULTS / name / "shards" / "annotated.json"
            self._annotated[name] = annotated_videos(
                files.values(), lambda: read_durations(source.format, files), cache
            )
        return self._annotated[name]

    # Annotations

    def annotation_files(self, dataset: str) -> list[str]:
        """Return the source annotation files of a dataset, as they are kept: plain or `.gz`."""
        return [str(stored_path(Path(path))) for path in self._dataset(dataset).annotations.files.values()]

    def item_files(self, dataset: str) -> list[str]:
        """Return the files with items of the queries, as they are kept: plain or `.gz`."""
        return [str(stored_path(Path(path))) for path in self._dataset(dataset).annotations.items]

    def durations_from(self, dataset: str) -> list[str]:
        """Return the media manifest if the annotation files leave durations open, else nothing."""
        if self._dataset(dataset).generate or self._annotated_videos(dataset).have_durations:
            return []
        return [f"{RESULTS}/{dataset}/media/manifest.parquet"]

    def annotation_arguments(self, dataset: str) -> str:
        """Return the reader's command-line arguments."""
        items = "".join(f" --items {shlex.quote(path)}" for path in self._dataset(dataset).annotations.items)
        manifest = "".join(f" --manifest {path}" for path in self.durations_from(dataset))
        return f"{self.source_arguments(dataset)}{items}{manifest}"

    def source_arguments(self, dataset: str) -> str:
        """Return the command-line arguments that name the format and the files of a dataset's annotations."""
        source = self._dataset(dataset).annotations
        files = "".join(f" --file {shlex.quote(f'{split}={path}')}" for split, path in source.files.items())
        return f"--format {source.format}{files}"

    def strict_check(self, dataset: str) -> list[str]:
        """Return the file that says that no span of a dataset is odd, or nothing unless that is asked for."""
        is_strict = self._configuration.root.strict_annotations
        return [f"{RESULTS}/{dataset}/annotations/strict_check.txt"] if is_strict else []

    # Generated datasets

    def generated_by(self, dataset: str) -> list[str]:
        """Return the file that says that a generated dataset's videos are complete, or nothing."""
        return [f"{RESULTS}/{dataset}/source/videos.json"] if self._dataset(dataset).generate else []

    def generator_arguments(self, dataset: str) -> str:
        """Return the generator's command-line arguments.

        Raises
        ------
        UserError
            the dataset is not a generated one
        """
        made = self._dataset(dataset).generate
        if made is None:
            raise UserError(f"dataset {dataset!r} is not generated; its files come from config/datasets/{dataset}.yaml")
        return f"--train {made.train} --val {made.val} --test {made.test} --seed {made.seed}"

    def _dataset(self, name: str) -> Dataset:
        return self._configuration.dataset(name)


def _generated(dataset: Dataset) -> dict[str, str]:
    """Return id -> signature of the videos that a dataset makes."""
    made = dataset.generate
    counts = {split: getattr(made, split) for split in ("train", "val", "test")}
    return {plan.video_id: f"generated:{plan_digest(plan)}" for plan in plan_demo(made.seed, counts)}
