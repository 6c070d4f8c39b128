"""What the rules ask about a system on a dataset: settings, the keys of its jobs, the files that these read."""

from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import merge, nested
from workflow_scripts.lib.configuration.recipe import (
    base_weights,
    captions_described,
    fit_files,
    fits_on,
    known_by,
    with_parts,
)
from workflow_scripts.lib.configuration.schema import BASELINE, HELD_OUT, System, SystemRuntime
from workflow_scripts.lib.datasets.schema import TABLES
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings import weight_path, weights_settings
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.planning import missing_files
from workflow_scripts.lib.planning.benchmarks import published_rows, scoring
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.future_dates import refuse_future_dates
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.versions import versions_of

TRAIN_SECTIONS = (
    *(
        "system",
        "protocol",
        "streams",
        "transcript",
        "prior",
        "queries",
        "given",
        "splits",
        "precision",
        "selection",
        "settings",
    ),
)
"""Sections of a system file that decide its trained weights; the rest may change without training again."""


class Systems:
    """The systems, each on one dataset."""

    def __init__(self, configuration: Configuration, files: PlannedFiles, features: Features) -> None:
        self._configuration, self._files, self._features = configuration, files, features

    def runtime(self, dataset: str, name: str) -> SystemRuntime:
        """Return threads, memory, GPUs and time limit of a system's jobs."""
        return self._system(dataset, name).runtime

    def settings(self, dataset: str, name: str) -> str:
        """Return the file with everything a system's jobs need to know, brought up to date."""
        return self._files.settings(f"{dataset}/{name}/settings.json", lambda: self._content(dataset, name))

    def _content(self, dataset: str, name: str) -> dict[str, Any]:
        configuration, system = self._configuration, self._system(dataset, name)
        config = system.model_dump(mode="json", exclude={"runtime", "datasets"})
        config["evaluation"] |= self._evaluation(dataset, system)
        config["selection"] |= self._selection(dataset, system)
        config["settings"] = merge(config["settings"], nested(self._fit_files(dataset, name)))
        owners = self._feature_owners(dataset, name)
        return {
            "dataset": dataset,
            "annotations": system.annotations_on(dataset),
            "videos": system.videos_on(dataset),
            "name": name,
            "config": config,
            "recipes": self._recipes(dataset, name),
            "whole_recipes": {
                feature: self._features.whole_recipe_digest(owner, feature) for feature, owner in owners.items()
            },
            "window_s": configuration.dataset(system.videos_on(dataset)).window_s,
            "weights": {feature: configuration.feature(owner, feature).weights for feature, owner in owners.items()}
            | fit_files(configuration, system),
            "runtime": system.runtime.model_dump(mode="json"),
            "device": configuration.root.device,
            "train_key": self.train_key(dataset, name),
            "prior": self._prior_places(dataset, name),
            "base_weights": [weights_settings(configuration, weights) for weights in base_weights(system)],
            "reads_media": self._reads_media(dataset, name),
        }

    # Keys

    def train_key(self, dataset: str, name: str) -> str:
        """Return the digest of what decides a system's trained weights: settings, features and code, the data apart."""
        system, recipes = self._system(dataset, name), self._recipes(dataset, name)
        decisive = system.model_dump(mode="json", include=set(TRAIN_SECTIONS))
        # How it is reported beside what selects decides nothing.
        decisive["selection"] |= self._selection(dataset, system) | {"thresholds": None}
        if "test" not in fits_on(system):
            decisive["splits"].pop("test")
        if system.splits.select != HELD_OUT:
            decisive["splits"].pop("held_out")
        for stream in decisive["streams"].values():
            stream.pop("in_memory")
        key = {"system": decisive, "recipes": recipes, "annotations": system.annotations_on(dataset)}
        key["versions"] = versions_of([f"system/{system.system}", "training"])
        if system.prior is not None:
            key["prior"] = self.train_key(dataset, system.prior.system)
        if base := base_weights(system):
            key["base_weights"] = [known_by(self._configuration, weights) for weights in base]
        return digest_json(key)

    def prediction_key(self, dataset: str, name: str) -> str:
        """Return the digest of what decides which predictions a trained system is asked for."""
        system = self._system(dataset, name)
        asked = system.model_dump(mode="json", include={"streams", "transcript", "prior", "queries", "given"})
        for stream in asked["streams"].values():
            stream.pop("in_memory")
        source, zeroed = system.annotations_on(dataset), list(system.evaluation.zero_streams)
        varied, size = system.evaluation.variations, system.evaluation.batch_size
        # The baseline answers beside every other system.
        parts = {f"system/{system.system}", f"system/{BASELINE}", "prediction"}
        key = {"asked": asked, "annotations": source, "zero_streams": zeroed, "variations": varied}
        sized = key if size is None else key | {"batch_size": size}
        return digest_json(sized | {"versions": versions_of(sorted(parts))})

    def evaluation_key(self, dataset: str, name: str) -> str:
        """Return the digest of what is reported about a trained system."""
        system = self._system(dataset, name)
        reported = system.model_dump(mode="json", include={"evaluation", "queries", "protocol"})
        versions = versions_of(["scoring"])
        return digest_json({**reported, "resolved": self._evaluation(dataset, system), "versions": versions})

    def _evaluation(self, dataset: str, system: System) -> dict[str, Any]:
        """Return what scores a system's predictions: its own words, else those of the dataset."""
        own = system.evaluation
        scored = scoring(self._configuration, dataset, own.rules, own.thresholds, reversed=own.reversed)
        published = {
            split: published_rows(self._configuration, dataset, split, scored["rules"]) for split in system.splits.test
        }
        return {**scored, "published": published}

    def _selection(self, dataset: str, system: System) -> dict[str, Any]:
        """Return what chooses a system's checkpoint, with what the settings leave open."""
        wanted = system.selection
        if wanted.loss:
            return {"mode": wanted.mode or "min"}
        rules = wanted.rules or self._evaluation(dataset, system)["rules"][0]
        metric = wanted.metric or (RULE_SETS[rules].headline,)
        is_up = RULE_SETS[rules].is_higher_better(metric[0])
        thresholds = wanted.thresholds(self._evaluation(dataset, system)["thresholds"])
        mode = wanted.mode or ("max" if is_up else "min")
        return {"rules": rules, "metric": list(metric), "mode": mode, "thresholds": list(thresholds)}

    def _recipes(self, dataset: str, name: str) -> dict[str, str]:
        owners = self._feature_owners(dataset, name)
        return {feature: self._features.recipe_digest(owner, feature) for feature, owner in owners.items()}

    # Files

    def fit_files(self, dataset: str, name: str) -> list[str]:
        """Return the files of the weights registry that a system reads before it is trained."""
        files = sorted(self._fit_files(dataset, name).values())
        refuse_future_dates(map(Path, files), "training")
        return files

    def _fit_files(self, dataset: str, name: str) -> dict[str, str]:
        configuration = self._configuration
        entries = fit_files(configuration, self._system(dataset, name)).items()
        folder = configuration.root.paths.weights
        return {key: str(weight_path(configuration.weight(entry), folder)) for key, entry in entries}

    def checkpoint_file(self, dataset: str, name: str) -> str:
        """Return the published checkpoint that is imported.

        Raises
        ------
        UserError
            none is named, it is not there, or is dated in the future
        """
        file = self._system(dataset, name).checkpoint_file
        if file is None:
            raise UserError(
                f"config/systems/{name}.yaml: checkpoint_file: names the published checkpoint to import; not set"
            )
        if not Path(file).is_file():
            raise UserError(missing_files.published_checkpoint(dataset, name, file))
        refuse_future_dates([Path(file)], "checkpoint")
        return file

    def metric_models(self, dataset: str, name: str) -> list[str]:
        """Return the files of the models that further metrics of captions need (`evaluation.also` of the dataset)."""
        models = self._evaluation(dataset, self._system(dataset, name))["models"]
        return [path for paths in models.values() for path in paths]

    def feature_indices(self, dataset: str, name: str) -> list[str]:
        """Return the indices of the features that a system reads."""
        owners = self._feature_owners(dataset, name)
        return [f"{RESULTS}/{owner}/features/{feature}/index.parquet" for feature, owner in owners.items()]

    def manifest(self, dataset: str, name: str) -> list[str]:
        """Return the media manifest if a system reads anything that is made from the videos, else nothing."""
        videos = self._system(dataset, name).videos_on(dataset)
        return [f"{RESULTS}/{videos}/media/manifest.parquet"] if self._reads_media(dataset, name) else []

    def videos(self, dataset: str, name: str) -> str:
        """Return the dataset that has the videos of a system."""
        return self._system(dataset, name).videos_on(dataset)

    def _reads_media(self, dataset: str, name: str) -> bool:
        system = self._system(dataset, name)
        told = {} if system.transcript is None else {system.transcript: system.videos_on(dataset)}
        owners = self._feature_owners(dataset, name) | told
        return any(self._features.reads_media(owner, feature) for feature, owner in owners.items())

    def tables(self, dataset: str, name: str) -> list[str]:
        """Return the tables of the annotations that a system learns from and is asked about."""
        source = self._system(dataset, name).annotations_on(dataset)
        return [f"{RESULTS}/{source}/annotations/{table}.parquet" for table in TABLES]

    def checkpoint(self, dataset: str, name: str, seed: str) -> str:
        """Return the trained or imported checkpoint that a system is evaluated with."""
        system = self._system(dataset, name)
        folder = "imported" if system.checkpoint_file else f"seed{seed}"
        return f"{RESULTS}/{system.checkpoint_from or dataset}/{name}/{folder}/checkpoint.safetensors"

    def weights(self, dataset: str, name: str) -> list[str]:
        """Return the weights files that parts of a system's network are filled from."""
        configuration = self._configuration
        names = with_parts(configuration, base_weights(self._system(dataset, name)))
        folder = configuration.root.paths.weights
        return [str(weight_path(configuration.weight(weights), folder)) for weights in names]

    def transcripts(self, dataset: str, name: str) -> list[str]:
        """Return the index of the transcripts that a system reads, and their shards."""
        feature, videos = self._system(dataset, name).transcript, self._system(dataset, name).videos_on(dataset)
        if feature is None:
            return []
        index = f"{RESULTS}/{videos}/transcripts/{feature}/index.parquet"
        return [index, *self._features.transcript_shards(videos, feature)]

    def prior_of_training(self, dataset: str, name: str, seed: str) -> list[str]:
        """Return the files of the prior that a training needs: its checkpoint, its answers on both splits."""
        splits = self._system(dataset, name).splits
        answers = [
            file
            for split in (splits.train, splits.select)
            if split != HELD_OUT
            for file in self.prior_answers(dataset, name, seed, split)
        ]
        places = self._prior_places(dataset, name) or {}
        checkpoint = places.get("checkpoint")
        return [*([] if checkpoint is None else [checkpoint.format(seed=seed)]), *dict.fromkeys(answers)]

    def prior_answers(self, dataset: str, name: str, seed: str, split: str) -> list[str]:
        """Return the predictions of the prior that are told with the queries of a split."""
        places = self._prior_places(dataset, name) or {}
        answers = places.get("answers")
        return [] if answers is None else [f"{answers.format(seed=seed)}/{split}/answers/moments.parquet"]

    def _prior_places(self, dataset: str, name: str) -> dict[str, str | None] | None:
        """Return where the results of the prior are, with `{seed}` for the seed."""
        prior = self._system(dataset, name).prior
        if prior is None:
            return None
        return {
            "checkpoint": self.checkpoint(dataset, prior.system, "{seed}") if prior.weights else None,
            "answers": f"{RESULTS}/{dataset}/{prior.system}/seed{{seed}}" if prior.answers == "predicted" else None,
        }

    def evaluations(self, dataset: str, name: str) -> list[str]:
        """Return the metrics files of all seeds and reported splits."""
        system = self._system(dataset, name)
        folder = f"{RESULTS}/{dataset}/{name}"
        return [f"{folder}/seed{seed}/{split}/metrics.json" for seed in system.seeds for split in system.splits.test]

    def clip_options(self) -> list[str]:
        """Return what a report is told about small copies of videos."""
        root = self._configuration.root
        program = ["--ffmpeg", root.paths.ffmpeg] if root.paths.ffmpeg else []
        return ["--proxy-clips", *program] if root.proxy_clips else []

    @staticmethod
    def finished(dataset: str) -> list[str]:
        """Return the metrics files of the systems and prediction files that are scored on a dataset.

        Raises
        ------
        UserError
            there are less than two
        """
        folder = RESULTS / dataset
        found = sorted(map(str, [*folder.glob("*/metrics.json"), *folder.glob("external/*/metrics.json")]))
        if len(found) < 2:
            raise UserError(
                f"{folder}/comparison.html compares the systems that have a metrics.json in {folder}: there are "
                f"{len(found)}, two are needed. Make them first: snakemake {folder}/<system>/metrics.json"
            )
        return found

    def caption_answers(self, dataset: str, name: str) -> list[str]:
        """Return the captions of the first seed, of every reported split.

        Raises
        ------
        UserError
            the system writes no captions of videos
        """
        system = self._system(dataset, name)
        if "videos" not in captions_described(system):
            raise UserError(
                f"config/systems/{name}.yaml: writes no captions of videos, so there is no captions.csv; uniq4cap does"
            )
        folder = f"{RESULTS}/{dataset}/{name}/seed{system.seeds[0]}"
        return [f"{folder}/{split}/answers/captions.parquet" for split in system.splits.test]

    def _feature_owners(self, dataset: str, name: str) -> dict[str, str]:
        """Return the features that a system reads, each with the dataset that it belongs to.

        Rows of queries belong to the dataset whose annotations are used, as do the queries' ids; all others to the
        dataset itself.
        """
        system = self._system(dataset, name)
        for feature in system.streams["text"].names if "text" in system.streams else ():
            self._features.require_numbering(system.annotations_on(dataset), feature)
        owners = {
            feature: system.annotations_on(dataset) if stream == "text" else system.videos_on(dataset)
            for stream, content in system.streams.items()
            for feature in content.names
        }
        return dict(sorted(owners.items()))

    def _system(self, dataset: str, name: str) -> System:
        return self._configuration.system(dataset, name)
