"""What the rules ask about a feature: settings, recipe, weights, resources, where its rows or transcripts come from."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import feature_recipe, published_weights, sampling_name
from workflow_scripts.lib.configuration.schema import (
    ExtractedFeature,
    FeatureBase,
    FeatureRuntime,
    ImportedFeature,
    TranscriptFeature,
)
from workflow_scripts.lib.datasets.video_folder import stat_signature
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import feature_settings, shipped_path, weight_path
from workflow_scripts.lib.extraction.settings_file import DECISIVE
from workflow_scripts.lib.planning import batch_sizes, missing_files
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.feature_costs import memory_needed
from workflow_scripts.lib.planning.future_dates import refuse_future_dates
from workflow_scripts.lib.planning.pass_records import PassRecords
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles
from workflow_scripts.lib.store.batches import FOLDER, batches_of, marker_path, shards_in
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.id_patterns import pattern_fields
from workflow_scripts.lib.store.lost_shards import LOST_FILE, read_times_lost
from workflow_scripts.lib.store.settings_files import settings_key
from workflow_scripts.lib.store.shards import read_shard_list
from workflow_scripts.lib.versions import version_of


class Features:
    """The features, and the transcripts: those are what features of kind `speech` make."""

    def __init__(
        self,
        configuration: Configuration,
        files: PlannedFiles,
        downloads: Downloads,
        datasets: Datasets,
        passes: PassRecords,
    ) -> None:
        self._configuration, self._files = configuration, files
        self._downloads, self._datasets, self._passes = downloads, datasets, passes
        self._settings: dict[tuple[str, str], dict[str, Any]] = {}
        self._keys: dict[tuple[str, str], str] = {}
        self._samplings: dict[str, dict[str, dict[str, Any]]] = {}
        self._times_lost: dict[tuple[str, str], int] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self._rows_mb: dict[tuple[str, str], int] = {}

    # Which there are

    def names(self) -> list[str]:
        """Return the names of all features."""
        return self._configuration.known("features")

    def computed(self, kind: str) -> list[str]:
        """Return the names of all features of a kind that are computed here."""
        configuration = self._configuration
        names = (name for name in self.names() if not configuration.is_imported(name))
        return [name for name in names if configuration.feature_kind(name) == kind]

    def imported(self) -> list[str]:
        """Return the names of all features with `source: import` that have rows."""
        return [name for name in self._all_imported() if not self._makes_transcripts(name)]

    def imported_transcripts(self) -> list[str]:
        """Return the names of all speech features with `source: import`."""
        return [name for name in self._all_imported() if self._makes_transcripts(name)]

    def _all_imported(self) -> list[str]:
        return [name for name in self.names() if self._configuration.is_imported(name)]

    # What every job of a feature needs

    def settings(self, dataset: str, feature: str) -> str:
        """Return the file with the resolved settings of a feature's extraction jobs, brought up to date."""
        place = f"{dataset}/{self._folder(feature)}/settings.json"
        return self._files.settings(place, lambda: self._job_settings(dataset, feature))

    def key(self, dataset: str, feature: str) -> str:
        """Return the digest of what decides a feature's jobs: they run again if it changes."""
        asked = (dataset, feature)
        if asked not in self._keys:
            self._keys[asked] = settings_key(self._job_settings(dataset, feature), DECISIVE)
        return self._keys[asked]

    def _job_settings(self, dataset: str, feature: str) -> dict[str, Any]:
        asked = (dataset, feature)
        if asked not in self._settings:
            self._settings[asked] = feature_settings(self._configuration, dataset, feature)
        return self._settings[asked]

    def recipe_digest(self, dataset: str, feature: str) -> str:
        """Return the digest of a feature's recipe: rows are computed anew exactly if it changes."""
        return digest_json(feature_recipe(self._configuration, self._feature(dataset, feature)))

    def whole_recipe_digest(self, dataset: str, feature: str) -> str:
        """Return the digest of a feature's recipe without the windows of the dataset: what checkpoints are known by."""
        return digest_json(feature_recipe(self._configuration, self._configuration.whole_feature(dataset, feature)))

    def weights(self, dataset: str, feature: str) -> list[str]:
        """Return the weights files that a rule downloads for this feature, or that a person must put in place.

        Raises
        ------
        UserError
            one of them is dated in the future
        """
        names = published_weights(self._configuration, self._feature(dataset, feature))
        entries = [self._configuration.weight(name) for name in names]
        folder = self._downloads.weights_folder()
        paths = [weight_path(entry, folder) for entry in entries if not shipped_path(entry)]
        refuse_future_dates(paths, "rows")
        return list(map(str, paths))

    def runtime(self, dataset: str, feature: str) -> FeatureRuntime:
        """Return threads, memory, GPUs and time limit of a feature's jobs."""
        return self._feature(dataset, feature).runtime

    def memory_mb(self, dataset: str, feature: str) -> int:
        """Return the memory of a job, MB: what the feature's file says for its network, and what its rows take."""
        asked = (dataset, feature)
        if asked not in self._rows_mb:
            if not self._is_listed(dataset):
                return self.runtime(*asked).mem_mb
            n_videos, n_shards = len(self._datasets.video_ids(dataset)), len(self._datasets.shards(dataset))
            rows = memory_needed(self._feature(*asked), self.hours(dataset), n_videos, n_shards)
            self._rows_mb[asked] = round(rows / 1e6)
        return self.runtime(*asked).mem_mb + self._rows_mb[asked]

    def _is_listed(self, dataset: str) -> bool:
        """Return whether annotations tell the videos of a dataset: not of those that are made here, nor before."""
        return not self._configuration.dataset(dataset).generate and self._datasets.has_annotations(dataset)

    def hours(self, dataset: str) -> float:
        """Return the hours of a dataset's videos, 0 if nothing tells them."""
        return self._datasets.hours(dataset) if self._is_listed(dataset) else 0.0

    def is_finished(self, dataset: str, feature: str) -> bool:
        """Return whether the index of a feature and all shards behind it are there."""
        index = RESULTS / dataset / self._folder(feature) / "index.parquet"
        return (
            index.is_file()
            and self._datasets.has_annotations(dataset)
            and all(Path(file).is_file() for file in self._shards(dataset, feature))
        )

    # What it is made from

    def reads_media(self, dataset: str, feature: str) -> bool:
        """Return whether a feature is made from the videos of a dataset, or from transcripts that are."""
        described = self._feature(dataset, feature)
        if isinstance(described, TranscriptFeature):
            return self.reads_media(dataset, described.of)
        return (
            isinstance(described, ExtractedFeature)
            and described.kind in ("visual", "audio", "speech")
            and not getattr(described, "images", None)
        )

    def manifest(self, dataset: str, feature: str) -> list[str]:
        """Return the manifest of the media if a feature is made from them, else nothing."""
        return [f"{RESULTS}/{dataset}/media/manifest.parquet"] if self.reads_media(dataset, feature) else []

    def media(self, dataset: str, feature: str, batch: str) -> list[str]:
        """Return the tables of the media of a shard, or of a batch of them, if a feature is made from them."""
        return self._per_shard_of(dataset, "media", batch) if self.reads_media(dataset, feature) else []

    def frame_plans(self, dataset: str, feature: str, batch: str) -> list[str]:
        """Return the sampling plans of a visual feature, of a shard or of a batch of them."""
        described = self._feature(dataset, feature)
        folder = f"images/{feature}" if described.images else f"frames/{sampling_name(described)}"
        return self._per_shard_of(dataset, folder, batch)

    def _per_shard_of(self, dataset: str, folder: str, batch: str) -> list[str]:
        return [f"{RESULTS}/{dataset}/{folder}/{shard}.parquet" for shard in shards_in(batch)]

    def sampled_frames(self, dataset: str, sampling: str) -> dict[str, Any]:
        """Return where the videos are, and the sampling rule behind a plan's folder name, with its version.

        Raises
        ------
        UserError
            no visual feature samples frames in this way
        """
        if dataset not in self._samplings:
            features = [self._feature(dataset, feature) for feature in self.computed("visual")]
            self._samplings[dataset] = {sampling_name(f): f.sampling.model_dump(mode="json") for f in features}
        if sampling not in self._samplings[dataset]:
            raise UserError(f"no visual feature in config/features/ samples frames as {sampling!r}")
        rule, videos = self._samplings[dataset][sampling], self._configuration.dataset(dataset).videos
        return {"videos": videos, "sampling": rule, "version": version_of(f"sampling/{rule['rule']}")}

    def transcripts(self, dataset: str, feature: str, batch: str) -> list[str]:
        """Return the transcripts whose lines a feature encodes, of a shard or of a batch of them."""
        return self._per_shard_of(dataset, f"transcripts/{self._feature(dataset, feature).of}", batch)

    def fitted_on(self, file: str) -> str:
        """Return the index of the feature that a weights file is fitted on."""
        weights = map(self._configuration.weight, self._configuration.weight_names())
        found = next(weight.fitted_on for weight in weights if weight.fitted_on and weight.file == file)
        return f"{RESULTS}/{found.dataset}/features/{found.feature}/index.parquet"

    def import_rows(self, dataset: str, feature: str) -> str:
        """Return the table of what a feature is imported for: videos, or queries for text."""
        table = "queries" if self._feature(dataset, feature).kind == "text" else "videos"
        return f"{RESULTS}/{dataset}/annotations/{table}.parquet"

    def import_source(self, dataset: str, feature: str, shard: str) -> str:
        """Return what `stat` tells of the source files of a shard; of all files if the pattern needs the tables."""
        imported = self._feature(dataset, feature)
        self.require_numbering(dataset, feature)
        path, pattern = Path(imported.path), imported.id_pattern
        if not path.exists():
            hint = self._downloads.how_to_fetch(dataset, imported.path)
            raise UserError(f"{missing_files.feature_files(feature, path)}{hint}")
        if path.is_dir() and pattern_fields(pattern) == {"video_id"} and imported.kind != "text":
            ids = read_shard_list(self._datasets.shard_list(dataset, shard))
            files = [path / pattern.format(video_id=video_id) for video_id in ids]
        else:
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
        return digest_json([[str(file), stat_signature(file)] for file in files if file.is_file()])

    def require_numbering(self, dataset: str, feature: str) -> None:
        """Refuse rows by the query numbers of one dataset on the queries of another.

        Raises
        ------
        UserError
            the feature's files carry the numbers of other datasets
        """
        imported = self._feature(dataset, feature)
        allowed = imported.queries_of if isinstance(imported, ImportedFeature) else None
        if allowed is not None and dataset not in allowed:
            raise UserError(
                f"config/features/{feature}.yaml: queries_of: its rows go by the query numbers of "
                f"{' and '.join(allowed)}, not of {dataset}: each would be that of another query. Use another feature, "
                "or name the numbering under `datasets:` of the system (config/README.md)"
            )

    # The shards behind an index

    def row_shards(self, dataset: str, feature: str) -> list[str]:
        """Return the files that say that the shards of a feature's rows are complete, alone or in batches.

        Raises
        ------
        UserError
            there is no such feature (the nearest name is suggested), or it makes transcripts instead of rows
        """
        if self._makes_transcripts(feature):
            target = f"results/<dataset>/transcripts/{feature}/index.parquet"
            raise UserError(f"{feature} makes transcripts, not rows; ask for {target}")
        # Snakemake looks into the folder of an index that a job needs before it asks for the jobs behind the index, and
        # never again: what those read must be there by then.
        self.settings(dataset, feature)
        return self._markers(dataset, feature) or self._shards(dataset, feature)

    def _markers(self, dataset: str, feature: str) -> list[str]:
        """Return the markers of a feature's pass or batches; none if every shard has a job of its own."""
        made_with = self._passes.of_feature(dataset, feature)
        if made_with:
            batches = batches_of(self._datasets.shards(dataset), made_with.shards_per_job)
            return [str(made_with.marker(RESULTS / dataset, name)) for name in batches]
        size, root = self.shards_per_job(dataset, feature), RESULTS / dataset / self._folder(feature)
        # Snakemake knows nothing of shards that a pass or a batch has made: asked for one by one, with other settings,
        # they would be taken for up to date.
        is_shared = (root / FOLDER).is_dir() or self._passes.has_left(dataset, feature)
        if size == 1 and not is_shared:
            return []
        return [str(marker_path(root, name)) for name in batches_of(self._datasets.shards(dataset), size)]

    def shards_per_job(self, dataset: str, feature: str) -> int:
        """Return how many shards a job of a feature makes."""
        asked = (dataset, feature)
        if asked not in self._sizes:
            self._sizes[asked] = self._size_of_batches(*asked)
        return self._sizes[asked]

    def _size_of_batches(self, dataset: str, feature: str) -> int:
        described, n_shards = self._feature(dataset, feature), len(self._datasets.shards(dataset))
        if not described.may_share_jobs:
            return 1
        if described.runtime.shards_per_job:
            return min(described.runtime.shards_per_job, n_shards)
        if n_shards < 2 * batch_sizes.FEWEST_TEXT_JOBS:
            return 1
        return batch_sizes.recorded_size(
            RESULTS / dataset / self._folder(feature) / "shards_per_job.json",
            lambda: batch_sizes.shards_per_job(described, n_shards, self.hours(dataset)),
        )

    def transcript_shards(self, dataset: str, feature: str) -> list[str]:
        """Return the tables of the shards of a speech feature."""
        self.settings(dataset, feature)
        return self._shards(dataset, feature)

    def times_lost(self, dataset: str, feature: str) -> int:
        """Return how often shards were missing behind a finished index, now included.

        Snakemake does not make a missing file again if what was made from it is there. This number is a parameter of
        the index: while a shard is missing it is another than the one that the index was made with, so that the index
        is made again, and with it the shard. The job writes it beside the index; planning writes nothing.
        """
        asked = (dataset, feature)
        if asked not in self._times_lost:
            folder = RESULTS / dataset / self._folder(feature)
            is_complete = all(Path(file).is_file() for file in self._shards(dataset, feature))
            is_lost = not is_complete and (folder / "index.parquet").is_file()
            self._times_lost[asked] = read_times_lost(folder / LOST_FILE) + is_lost
        return self._times_lost[asked]

    def _shards(self, dataset: str, feature: str) -> list[str]:
        last_written = "{shard}.parquet" if self._makes_transcripts(feature) else "{shard}.zarr/zarr.json"
        return self._datasets.per_shard(dataset, f"{self._folder(feature)}/{last_written}")

    def _folder(self, feature: str) -> str:
        return f"{'transcripts' if self._makes_transcripts(feature) else 'features'}/{feature}"

    def _makes_transcripts(self, feature: str) -> bool:
        return self._configuration.feature_kind(feature) == "speech"

    def _feature(self, dataset: str, name: str) -> FeatureBase:
        return self._configuration.feature(dataset, name)
