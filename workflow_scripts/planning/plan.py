"""What the rules ask while the job graph is built: settings, shards, inputs.

Nothing is computed here. Two kinds of small files are kept up to date, because the job graph depends on their content
before any job runs: the list of each shard's videos, and the resolved settings beside the results they lead to."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from workflow_scripts.configuration.compose import Configuration
from workflow_scripts.configuration.messages import nearest
from workflow_scripts.configuration.recipe import feature_recipe, published_weights, sampling_name
from workflow_scripts.configuration.schema import Dataset, Download, ExternalPredictions, Published, System
from workflow_scripts.datasets.demo.plan import plan_demo, plan_digest
from workflow_scripts.datasets.listing import (
    AnnotatedVideos,
    annotated_videos,
    bring_up_to_date,
    list_videos,
    stat_signature,
    write_shard_lists,
)
from workflow_scripts.datasets.readers import read_durations
from workflow_scripts.datasets.source_files import stored_path
from workflow_scripts.errors import UserError
from workflow_scripts.extraction.settings import feature_settings, weight_path
from workflow_scripts.fetching.source import Source, by_hand
from workflow_scripts.planning.needs import data_needed, weights_needed
from workflow_scripts.store.atomic import json_text
from workflow_scripts.store.digest import digest_json
from workflow_scripts.store.id_patterns import pattern_fields
from workflow_scripts.store.shards import all_shards, frozen_shard_count, read_shard_list

RESULTS = Path("results")

TRAIN_SECTIONS = ("system", "protocol", "streams", "queries", "splits", "precision", "selection", "settings")
"""Sections of a system file that decide its trained weights; the rest may change without training again."""


class Plan:
    """The configuration and the listed videos, as the rules need them.

    Parameters
    ----------
    config : content of `config/config.yaml` with `--config` laid over it
    folder : the `config` folder
    fetch_first : called with a file that has to be fetched before more can be planned; it does not return
    """

    def __init__(
        self, config: Mapping[str, Any], folder: Path, fetch_first: Callable[[str], None] | None = None
    ) -> None:
        self.configuration = Configuration(config, folder)
        self._fetch_first = fetch_first or _fetch_by_hand
        self._shards: dict[str, list[str]] = {}
        self._annotated: dict[str, AnnotatedVideos] = {}
        self._samplings: dict[str, dict[str, str]] = {}
        self._written: set[Path] = set()

    def dataset(self, name: str) -> Dataset:
        """Return a dataset's settings."""
        return self.configuration.dataset(name)

    def feature_names(self, kind: str) -> list[str]:
        """Return the names of all features of a kind that are computed here."""
        configuration = self.configuration
        names = (name for name in configuration.known("features") if not configuration.is_imported(name))
        return [name for name in names if configuration.feature_kind(name) == kind]

    def every_feature(self) -> list[str]:
        """Return the names of all features."""
        return self.configuration.known("features")

    def imported_features(self) -> list[str]:
        """Return the names of all features with `source: import`."""
        return [name for name in self.configuration.known("features") if self.configuration.is_imported(name)]

    def import_rows(self, dataset: str, feature: str) -> str:
        """Return the table of what a feature is imported for: videos, or queries for text."""
        kind = self.configuration.feature(dataset, feature).kind
        return f"{RESULTS}/{dataset}/annotations/{'queries' if kind == 'text' else 'videos'}.parquet"

    def import_source(self, dataset: str, feature: str, shard: str) -> str:
        """Return what `stat` tells of the source files of a shard; of all files if the pattern needs the tables."""
        imported = self.configuration.feature(dataset, feature)
        path, pattern = Path(imported.path), imported.id_pattern
        if not path.exists():
            hint = self._how_to_fetch(dataset, imported.path)
            raise UserError(
                f"config/features/{feature}.yaml: path: {path} does not exist; put the feature files there{hint}"
            )
        if path.is_dir() and pattern_fields(pattern) == {"video_id"} and imported.kind != "text":
            ids = read_shard_list(self.shard_list(dataset, shard))
            files = [path / pattern.format(video_id=video_id) for video_id in ids]
        else:
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return digest_json([[str(file), stat_signature(file)] for file in files if file.is_file()])

    # Datasets

    def shards(self, dataset: str) -> list[str]:
        """Return the shard names of a dataset; its shard lists are brought up to date on the first call."""
        if dataset not in self._shards:
            self._shards[dataset] = self._list_shards(dataset)
        return self._shards[dataset]

    def _list_shards(self, name: str) -> list[str]:
        dataset, folder = self.dataset(name), RESULTS / name
        listed = self._generated(dataset) if dataset.generate else self._found(name, dataset)
        n_shards = dataset.n_shards or frozen_shard_count(
            folder / "shards.json", lambda: len(listed), self.configuration.root.videos_per_shard
        )
        write_shard_lists(folder / "shards", listed, n_shards)
        return all_shards(n_shards)

    @staticmethod
    def _generated(dataset: Dataset) -> dict[str, str]:
        made = dataset.generate
        counts = {split: getattr(made, split) for split in ("train", "val", "test")}
        return {plan.video_id: f"generated:{plan_digest(plan)}" for plan in plan_demo(made.seed, counts)}

    def _found(self, name: str, dataset: Dataset) -> dict[str, str]:
        folder = Path(dataset.videos)
        if not folder.is_dir():
            hint = self._how_to_fetch(name, dataset.videos)
            raise UserError(
                f"{folder}: no such folder. Put the videos there, or change `videos` in the dataset's YAML file{hint}"
            )
        return list_videos(folder, dataset.extensions, self._annotated_videos(name).ids)

    def _how_to_fetch(self, name: str, place: str) -> str:
        """Return the end of a message about a folder that is not there: the target that fetches it, if there is one."""
        hints = [
            _hint(f"snakemake --cores 1 {RESULTS}/{owner}/fetched/{key}.json", download)
            for owner in dict.fromkeys((name, *self.configuration.known("datasets")))
            for key, download in self.dataset(owner).downloads.items()
            if download.unpack and Path(place).is_relative_to(download.to)
        ]
        if not hints and self.dataset(name).on_youtube and place == self.dataset(name).videos:
            return f"; `snakemake --cores 1 {RESULTS}/{name}/youtube/missing.tsv` fetches what YouTube still has"
        return hints[0] if hints else ""

    def _annotated_videos(self, name: str) -> AnnotatedVideos:
        if name not in self._annotated:
            source = self.dataset(name).annotations
            files = {split: stored_path(Path(path)) for split, path in source.files.items()}
            for path in files.values():
                self._require(path)
            cache = RESULTS / name / "shards" / "annotated.json"
            self._annotated[name] = annotated_videos(
                files.values(), lambda: read_durations(source.format, files), cache
            )
        return self._annotated[name]

    def _require(self, path: Path) -> None:
        """Have a file fetched that is not there and can be."""
        if not path.is_file() and str(path) in self.configuration.single_downloads():
            download = self._single_download(str(path))
            if download.url is None:
                raise UserError(by_hand(_source(download), path))
            self._fetch_first(str(path))

    def _single_download(self, path: str) -> Download:
        dataset, name = self.configuration.single_downloads()[path]
        return self.dataset(dataset).downloads[name]

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

    def annotation_files(self, dataset: str) -> list[str]:
        """Return the source annotation files of a dataset, as they are kept: plain or `.gz`."""
        return [str(stored_path(Path(path))) for path in self.dataset(dataset).annotations.files.values()]

    def durations_from(self, dataset: str) -> list[str]:
        """Return the media manifest if the annotation files leave durations open, else nothing."""
        if self.dataset(dataset).generate or self._annotated_videos(dataset).have_durations:
            return []
        return [f"{RESULTS}/{dataset}/media/manifest.parquet"]

    def annotation_arguments(self, dataset: str) -> str:
        """Return the reader's command-line arguments."""
        manifest = "".join(f" --manifest {path}" for path in self.durations_from(dataset))
        return f"{self.source_arguments(dataset)}{manifest}"

    def source_arguments(self, dataset: str) -> str:
        """Return the command-line arguments that name the format and the files of a dataset's annotations."""
        source = self.dataset(dataset).annotations
        files = "".join(f" --file {shlex.quote(f'{split}={path}')}" for split, path in source.files.items())
        return f"--format {source.format}{files}"

    def strict_check(self, dataset: str) -> list[str]:
        """Return the file that says that no span of a dataset is odd, or nothing unless that is asked for."""
        is_strict = self.configuration.root.strict_annotations
        return [f"{RESULTS}/{dataset}/annotations/strict_check.txt"] if is_strict else []

    def generated_by(self, dataset: str) -> list[str]:
        """Return the file that says that a generated dataset's videos are complete, or nothing."""
        return [f"{RESULTS}/{dataset}/source/videos.json"] if self.dataset(dataset).generate else []

    def generator_arguments(self, dataset: str) -> str:
        """Return the generator's command-line arguments.

        Raises
        ------
        UserError
            the dataset is not a generated one
        """
        made = self.dataset(dataset).generate
        if made is None:
            raise UserError(f"dataset {dataset!r} is not generated; its files come from config/datasets/{dataset}.yaml")
        return f"--train {made.train} --val {made.val} --test {made.test} --seed {made.seed}"

    def on_bad_video(self, dataset: str) -> str:
        """Return `fail` or `skip`."""
        return self.dataset(dataset).on_bad_video or self.configuration.root.on_bad_video

    # What is published elsewhere

    def fetched_files(self) -> list[str]:
        """Return the places of all single files that can be fetched."""
        return sorted(self.configuration.single_downloads())

    def present_weights(self) -> list[Path]:
        """Return all weights files that are there, whoever put them there."""
        folder = Path(self.weights_folder())
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def source_of_file(self, path: str) -> str:
        """Return where a single file is published, as JSON."""
        return _source_json(self._single_download(path))

    def folder_arguments(self, dataset: str, name: str) -> str:
        """Return the command-line arguments that fetch an archive into its folder.

        Raises
        ------
        UserError
            the dataset has no such archive
        """
        downloads = {key: each for key, each in self.dataset(dataset).downloads.items() if each.unpack}
        if name not in downloads:
            raise UserError(
                f"config/datasets/{dataset}.yaml: downloads: no archive {name!r}; {nearest(name, downloads)}"
            )
        download = downloads[name]
        return (
            f"--source {shlex.quote(_source_json(download))} --archive {shlex.quote(download.archive_name)}"
            f" --folder {shlex.quote(download.to)} --layout {download.unpack}"
        )

    def youtube_arguments(self, dataset: str) -> str:
        """Return the command-line arguments that fetch the videos of a dataset from YouTube.

        Raises
        ------
        UserError
            the dataset's videos are not on YouTube
        """
        found, root = self.dataset(dataset), self.configuration.root
        if not found.on_youtube:
            raise UserError(
                f"config/datasets/{dataset}.yaml: its videos are not on YouTube; `on_youtube: true` says so"
            )
        ffmpeg = f" --ffmpeg {shlex.quote(root.paths.ffmpeg)}" if root.paths.ffmpeg else ""
        return (
            f"--videos {shlex.quote(found.videos)} --extensions {','.join(found.extensions)}"
            f" --program {shlex.quote(root.paths.yt_dlp)} --height {root.youtube_height}{ffmpeg}"
        )

    def listing(self, kind: str) -> str:
        """Return a file that lists published `weights` or `data`: all, or what the target `needed_by` needs."""
        needed = weights_needed if kind == "weights" else data_needed
        path = RESULTS / f"{kind}.json"
        bring_up_to_date(path, json_text([asdict(row) for row in needed(self.configuration)]))
        return str(path)

    # Features

    def feature_settings(self, dataset: str, feature: str) -> str:
        """Return the file with the resolved settings of a feature's extraction jobs, brought up to date."""
        if self.configuration.feature_kind(feature) == "speech":
            folder = f"{dataset}/transcripts/{feature}"
        else:
            # Here too: Snakemake does not see files that come into a folder after it has first looked there.
            self.lost_shards(dataset, feature)
            folder = f"{dataset}/features/{feature}"
        return self._settings_file(folder, lambda: self._feature_content(dataset, feature))

    def _feature_content(self, dataset: str, feature: str) -> dict[str, Any]:
        return feature_settings(self.configuration, dataset, feature)

    def _settings_file(self, folder: str, content: Callable[[], dict[str, Any]]) -> str:
        path = RESULTS / folder / "settings.json"
        if path not in self._written:
            bring_up_to_date(path, json_text(content()))
            self._written.add(path)
        return str(path)

    def recipe_digest(self, dataset: str, feature: str) -> str:
        """Return the digest of a feature's recipe: a job runs again exactly if it changes."""
        return digest_json(feature_recipe(self.configuration, self.configuration.feature(dataset, feature)))

    def weights_file(self, dataset: str, feature: str) -> list[str]:
        """Return the weights files that a rule downloads for this feature, or that a person must put in place."""
        names = published_weights(self.configuration, self.configuration.feature(dataset, feature))
        folder = self.configuration.root.paths.weights
        entries = [self.configuration.weight(name) for name in names]
        return [str(weight_path(entry, folder)) for entry in entries if not entry.package]

    def runtime(self, dataset: str, feature: str) -> Any:
        """Return threads, memory, GPUs and time limit of a feature's jobs."""
        return self.configuration.feature(dataset, feature).runtime

    def frame_plan(self, dataset: str, feature: str, shard: str) -> str:
        """Return the sampling plan of a visual feature."""
        described = self.configuration.feature(dataset, feature)
        if described.images:
            return f"{RESULTS}/{dataset}/images/{feature}/{shard}.parquet"
        return f"{RESULTS}/{dataset}/frames/{sampling_name(described)}/{shard}.parquet"

    def pictures(self, dataset: str, feature: str) -> str:
        """Return the folder of what a visual feature sees: of the videos, or of the folders of images."""
        images = self.configuration.feature(dataset, feature).images
        return images.path if images else self.dataset(dataset).videos

    def image_arguments(self, dataset: str, feature: str) -> str:
        """Return the command-line arguments that say where a feature's images are and how they are sampled.

        Raises
        ------
        UserError
            the feature's frames come from the videos
        """
        described = self.configuration.feature(dataset, feature)
        if not getattr(described, "images", None):
            raise UserError(f"config/features/{feature}.yaml: its frames come from the videos, it names no `images`")
        return (
            f"--images {shlex.quote(described.images.model_dump_json())}"
            f" --sampling {shlex.quote(described.sampling.model_dump_json())}"
        )

    def image_folders(self, dataset: str, feature: str, shard: str) -> str:
        """Return what `stat` tells of the image folders of a shard.

        Raises
        ------
        UserError
            there is no folder for any video of the dataset
        """
        described = self.configuration.feature(dataset, feature)
        path = Path(described.images.path) if getattr(described, "images", None) else Path()

        def found(shard: str) -> list[Path]:
            folders = (path / video_id for video_id in read_shard_list(self.shard_list(dataset, shard)))
            return [folder for folder in folders if folder.is_dir()]

        folders = found(shard)
        if not folders and not any(map(found, self.shards(dataset))):
            hint = self._how_to_fetch(dataset, str(path))
            raise UserError(
                f"config/features/{feature}.yaml: images.path: {path} holds no folder that is called as a video; "
                f"put the folders of images there{hint}"
            )
        return digest_json([stat_signature(folder) for folder in folders])

    def sampling(self, dataset: str, name: str) -> str:
        """Return the sampling rule behind a plan's folder name as JSON.

        Raises
        ------
        UserError
            no visual feature samples frames in this way
        """
        if dataset not in self._samplings:
            features = [self.configuration.feature(dataset, feature) for feature in self.feature_names("visual")]
            self._samplings[dataset] = {sampling_name(f): f.sampling.model_dump_json() for f in features}
        if name not in self._samplings[dataset]:
            raise UserError(f"no visual feature in config/features/ samples frames as {name!r}")
        return self._samplings[dataset][name]

    def known_feature(self, name: str) -> str:
        """Return the name if there is such a feature.

        Raises
        ------
        UserError
            there is none (the nearest name is suggested), or it makes transcripts instead of rows
        """
        if self.configuration.feature_kind(name) == "speech":
            target = f"results/<dataset>/transcripts/{name}/index.parquet"
            raise UserError(f"{name} makes transcripts, not rows; ask for {target}")
        return name

    def transcripts(self, dataset: str, feature: str, shard: str) -> str:
        """Return the transcripts of a shard whose lines a feature encodes."""
        return f"{RESULTS}/{dataset}/transcripts/{self.configuration.feature(dataset, feature).of}/{shard}.parquet"

    def query_audio(self, dataset: str) -> str:
        """Return the folder of the spoken queries' sound files.

        Raises
        ------
        UserError
            the dataset does not say where they are, or the folder is not there
        """
        folder = self.dataset(dataset).query_audio
        if folder is None:
            raise UserError(f"config/datasets/{dataset}.yaml: query_audio: name the folder of the spoken queries")
        if not Path(folder).is_dir():
            raise UserError(f"config/datasets/{dataset}.yaml: query_audio: {folder} is no folder; put the files there")
        return folder

    def shard_markers(self, dataset: str, feature: str) -> list[str]:
        """Return the files that say that the shards of a feature are complete."""
        return self.per_shard(dataset, f"features/{self.known_feature(feature)}/{{shard}}.zarr/zarr.json")

    def lost_shards(self, dataset: str, feature: str) -> str:
        """Return the file that counts how often shards were missing behind a finished index.

        Snakemake does not make a missing file again if what was made from it is there. This file changes when a shard
        is found missing, so that the index is made again, and with it the shard.
        """
        folder = RESULTS / dataset / "features" / feature
        path = folder / "lost.json"
        if path not in self._written:
            counts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
            if (folder / "index.parquet").is_file():
                for marker in map(Path, self.shard_markers(dataset, feature)):
                    if not marker.is_file():
                        counts[marker.parent.stem] = counts.get(marker.parent.stem, 0) + 1
            bring_up_to_date(path, json_text(counts))
            self._written.add(path)
        return str(path)

    def weights_folder(self) -> str:
        """Return the folder of downloaded weights."""
        return self.configuration.root.paths.weights

    def weight_of_file(self, file: str) -> str:
        """Return where a weights file is published, as JSON.

        Raises
        ------
        UserError
            no entry of config/weights.yaml has this file name
        """
        for name in self.configuration.weight_names():
            weight = self.configuration.weight(name)
            if weight.file == file and weight.url:
                return _source_json(weight)
            if weight.file == file and weight.source:
                place = weight_path(weight, self.weights_folder())
                raise UserError(f"weights {name!r} are not at {place}. Put the file there: {weight.source}")
        raise UserError(f"config/weights.yaml: no entry that can be downloaded has the file name {file!r}")

    # Systems

    def system(self, dataset: str, system: str) -> System:
        """Return a system's settings on a dataset."""
        return self.configuration.system(dataset, system)

    def system_settings(self, dataset: str, name: str) -> str:
        """Return the file with everything a system's jobs need to know, brought up to date."""
        return self._settings_file(f"{dataset}/{name}", lambda: self._system_content(dataset, name))

    def _system_content(self, dataset: str, name: str) -> dict[str, Any]:
        system = self.system(dataset, name)
        config = system.model_dump(mode="json", exclude={"runtime", "datasets"})
        config["evaluation"] |= self._evaluation(dataset, system)
        owners = self._feature_owners(dataset, name)
        return {
            "dataset": dataset,
            "annotations": system.annotations_on(dataset),
            "name": name,
            "config": config,
            "recipes": {feature: self.recipe_digest(owner, feature) for feature, owner in owners.items()},
            "weights": {
                feature: self.configuration.feature(owner, feature).weights for feature, owner in owners.items()
            },
            "runtime": system.runtime.model_dump(mode="json"),
            "device": self.configuration.root.device,
            "train_key": self.train_key(dataset, name),
        }

    def train_key(self, dataset: str, name: str) -> str:
        """Return the digest of what decides a system's trained weights, the data apart."""
        system = self.system(dataset, name)
        recipes = {f: self.recipe_digest(owner, f) for f, owner in self._feature_owners(dataset, name).items()}
        decisive = system.model_dump(mode="json", include=set(TRAIN_SECTIONS))
        decisive["splits"].pop("test")
        return digest_json({"system": decisive, "recipes": recipes, "annotations": system.annotations_on(dataset)})

    def prediction_key(self, dataset: str, name: str) -> str:
        """Return the digest of what decides which predictions a trained system is asked for."""
        system = self.system(dataset, name)
        asked = system.model_dump(mode="json", include={"streams", "queries"})
        source, zeroed = system.annotations_on(dataset), list(system.evaluation.zero_streams)
        return digest_json({"asked": asked, "annotations": source, "zero_streams": zeroed})

    def evaluation_key(self, dataset: str, name: str) -> str:
        """Return the digest of what is reported about a trained system."""
        system = self.system(dataset, name)
        reported = system.model_dump(mode="json", include={"evaluation", "queries", "protocol"})
        return digest_json({**reported, "resolved": self._evaluation(dataset, system)})

    def _evaluation(self, dataset: str, system: System) -> dict[str, Any]:
        """Return what scores a system's predictions: its own words, else those of the dataset."""
        benchmark, own = self.dataset(dataset).evaluation, system.evaluation
        rules = own.rules or benchmark.rules
        return {
            "rules": list(rules),
            "thresholds": list(own.thresholds or benchmark.thresholds),
            "nms_thresholds": benchmark.nms_thresholds,
            "published": {split: self._published(dataset, split, rules) for split in system.splits.test},
        }

    def _published(self, dataset: str, split: str, rules: Iterable[str]) -> list[dict[str, Any]]:
        return [row.model_dump(mode="json") for row in self.configuration.published(dataset, split, rules)]

    # Predictions that somebody brings

    def external(self, dataset: str, name: str) -> ExternalPredictions:
        """Return a prediction file's settings.

        Raises
        ------
        UserError
            the dataset names no such file
        """
        known = self.dataset(dataset).external
        if name not in known:
            example = f"external: {{{name}: {{file: path/to/predictions.jsonl, split: val}}}}"
            raise UserError(
                f"config/datasets/{dataset}.yaml: external: no prediction file is called {name!r} "
                f"({nearest(name, known)}) Say where it is: {example}"
            )
        return known[name]

    def external_file(self, dataset: str, name: str) -> str:
        """Return the path of a prediction file, as it is kept: plain or `.gz`."""
        path = stored_path(Path(self.external(dataset, name).file))
        if not path.is_file():
            raise UserError(f"{path}: no such prediction file; correct external.{name}.file of dataset {dataset!r}")
        return str(path)

    def external_settings(self, dataset: str, name: str) -> str:
        """Return the file with everything that scores a prediction file, brought up to date."""
        return self._settings_file(f"{dataset}/external/{name}", lambda: self._external_content(dataset, name))

    def external_key(self, dataset: str, name: str) -> str:
        """Return the digest of what scores a prediction file."""
        return digest_json(self._external_content(dataset, name))

    def _external_content(self, dataset: str, name: str) -> dict[str, Any]:
        given, benchmark = self.external(dataset, name), self.dataset(dataset).evaluation
        rules = given.rules or benchmark.rules
        return {
            "dataset": dataset,
            "name": name,
            **given.model_dump(mode="json"),
            "title": given.title or name,
            "rules": list(rules),
            "thresholds": list(benchmark.thresholds),
            "nms_thresholds": benchmark.nms_thresholds,
            "published": self._published(dataset, given.split, rules),
        }

    def _feature_owners(self, dataset: str, name: str) -> dict[str, str]:
        """Return the features that a system reads, each with the dataset that it belongs to.

        Rows of queries belong to the dataset whose annotations are used, as do the queries' ids; all others to the
        dataset itself.
        """
        system = self.system(dataset, name)
        owners = {
            feature: system.annotations_on(dataset) if stream == "text" else dataset
            for stream, content in system.streams.items()
            for feature in content.names
        }
        return dict(sorted(owners.items()))

    def feature_indices(self, dataset: str, name: str) -> list[str]:
        """Return the indices of the features that a system reads."""
        owners = self._feature_owners(dataset, name)
        return [f"{RESULTS}/{owner}/features/{feature}/index.parquet" for feature, owner in owners.items()]

    def system_tables(self, dataset: str, name: str) -> list[str]:
        """Return the tables of the annotations that a system learns from and is asked about."""
        source = self.system(dataset, name).annotations_on(dataset)
        return [f"{RESULTS}/{source}/annotations/{table}.parquet" for table in ("videos", "queries", "moments")]

    def checkpoint(self, dataset: str, name: str, seed: str) -> str:
        """Return the trained checkpoint that a system is evaluated with."""
        source = self.system(dataset, name).checkpoint_from or dataset
        return f"{RESULTS}/{source}/{name}/seed{seed}/checkpoint.safetensors"

    def evaluations(self, dataset: str, name: str) -> list[str]:
        """Return the metrics files of all seeds and reported splits."""
        system = self.system(dataset, name)
        folder = f"{RESULTS}/{dataset}/{name}"
        return [f"{folder}/seed{seed}/{split}/metrics.json" for seed in system.seeds for split in system.splits.test]


def _fetch_by_hand(path: str) -> None:
    raise UserError(f"{path}: no such file; `snakemake --cores 1 {path}` fetches it")


def _hint(command: str, download: Download) -> str:
    if download.url:
        return f"; `{command}` fetches {download.archive_name} (licence: {download.licence})"
    return (
        f"; get them from {download.page} (licence: {download.licence}). `{command}` unpacks an archive "
        f"that you put at {download.archive_place}"
    )


def _source(published: Published) -> Source:
    return Source(**published.model_dump(include={field.name for field in fields(Source)}))


def _source_json(published: Published) -> str:
    return json.dumps(asdict(_source(published)), sort_keys=True)
