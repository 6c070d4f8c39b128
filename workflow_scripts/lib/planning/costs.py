"""Rough costs of features that are not there yet: disk space and hours of this machine."""

import os

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import AudioFeature, FeatureBase, SpeechFeature, VisualFeature
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.devices import has_gpu
from workflow_scripts.lib.planning.sizes import readable_size
from workflow_scripts.lib.planning.training_hours import PER_CORE, PER_GPU

LARGE_DISK = 10e9
"""Bytes from which the disk space is told although there is enough."""
FRAMES_PER_SECOND = 30
"""Of a video about which nothing is known."""
SPARSE, EVERY_FRAME = 68.0, 8.6
"""Seconds of video that a core decodes in a second, for up to two frames of each and for all (docs/benchmarks.md)."""
MULTIPLY_ADDS = {
    "clip": 4.4e9,
    "clip ViT-L-14-quickgelu": 81e9,
    "eva_clip": 267e9,
    "eva_vit": 260e9,
    "slowfast": 66e9,
    "i3d": 28e9,
    "c3d": 39e9,
    "vgg16": 15.5e9,
    "languagebind_video": 650e9,
    "panns": 2.1e9,
    "vggish": 0.9e9,
}
"""Encoder (and architecture) -> multiply-adds per row, from the tables of the model zoos or by calculation."""
RECOGNISED = {"whisper_tiny_en_ct2": 7.5}
"""Weights of a recogniser -> seconds of speech that a core recognises in a second, measured on the demo's phrases."""
BYTES_OF = {"float32": 4, "float16": 2, "uint8": 1}
"""Number format of a store -> bytes of a number."""
BYTES_AT_WORK = 20
"""Per number of a video's rows, from the network's float32 to the store (python -m tests.benchmarks.shard_memory)."""
BYTES_IN_WRITING = 1.2e9
"""At most, while a file of a store (256 MiB) is held as rows, as chunks and as what is written."""


class Costs:
    """What features cost that are computed for targets.

    Parameters
    ----------
    computed : dataset and name of every feature
    """

    def __init__(self, configuration: Configuration, datasets: Datasets, computed: list[tuple[str, str]]) -> None:
        self._configuration, self._datasets = configuration, datasets
        known = [
            each
            for each in computed
            if not configuration.dataset(each[0]).generate and datasets.has_annotations(each[0])
        ]
        self._features = {each: configuration.feature(*each) for each in known}

    def disk_lines(self, fetched: int, free: int) -> list[str]:
        """Return a line about the disk space, if much is needed or there is too little.

        Parameters
        ----------
        fetched : bytes of what is downloaded
        free : bytes of the disk
        """
        stores = {name: self._bytes(*name) for name in self._features}
        needed = fetched + sum(stores.values())
        if needed < min(LARGE_DISK, free):
            return []
        largest = [(size, name) for name, size in stores.items() if size > needed / 10]
        parts = [f"{name[1]} of {name[0]} {readable_size(size)}" for size, name in sorted(largest, reverse=True)]
        parts += [f"downloads {readable_size(fetched)}"] if fetched > needed / 10 else []
        warning = "; THIS IS NOT ENOUGH" if needed > free else ""
        return [
            f"disk: up to {readable_size(needed)} before compression ({', '.join(parts)}), free are "
            f"{readable_size(free)}{warning}"
        ]

    def time_lines(self) -> list[str]:
        """Return a line about the hours of extraction, if anything is known of them."""
        hours = {name: self._hours(*name) for name in self._features}
        total = sum(hours.values())
        if total < 0.1:
            return []
        parts = [f"{name[1]} {hours_text(each)}" for name, each in sorted(hours.items()) if each > total / 20]
        who = "a GPU" if self._has_gpu() else f"{os.cpu_count()} cores"
        return [f"extraction: very roughly {hours_text(total)} with {who} ({', '.join(parts)}); training comes on top"]

    def _bytes(self, dataset: str, name: str) -> float:
        n_videos = len(self._datasets.video_ids(dataset))
        return bytes_needed(self._features[dataset, name], self._datasets.hours(dataset), n_videos)

    def _hours(self, dataset: str, name: str) -> float:
        return hours_needed(self._features[dataset, name], self._datasets.hours(dataset), self._has_gpu())

    def _has_gpu(self) -> bool:
        return has_gpu(self._configuration.root.device)


def bytes_needed(feature: FeatureBase, hours: float, n_videos: int) -> float:
    """Return the bytes of the rows of so many hours of video, before compression."""
    per_video = getattr(getattr(feature, "sampling", None), "n_frames", None)
    if per_video and feature.sampling.rule in ("lavis_head", "lavis_uniform", "linspace"):
        n_rows = per_video * n_videos
    else:
        n_rows = 3600 * hours * rows_per_second(feature)
    return n_rows * (feature.dim or 0) * BYTES_OF[feature.store_dtype]


def memory_needed(feature: FeatureBase, hours: float, n_videos: int, n_shards: int) -> float:
    """Return the bytes that a job holds of rows, beside the network: a video's, and what is written at a time.

    Parameters
    ----------
    hours, n_videos, n_shards : of the dataset
    """
    stored = bytes_needed(feature, hours, n_videos)
    at_work = BYTES_AT_WORK * stored / (BYTES_OF[feature.store_dtype] * max(1, n_videos))
    return at_work + min(4 * stored / n_shards, BYTES_IN_WRITING)


def hours_needed(feature: FeatureBase, hours: float, on_gpu: bool) -> float:
    """Return the hours of this machine that so many hours of video take; 0 where nobody knows."""
    cores = os.cpu_count() or 1
    if isinstance(feature, SpeechFeature):
        return hours / (cores * RECOGNISED[feature.weights]) if feature.weights in RECOGNISED else 0.0
    if not isinstance(feature, VisualFeature | AudioFeature):
        return 0.0
    architecture = feature.params.get("architecture", "")
    per_row = MULTIPLY_ADDS.get(f"{feature.encoder} {architecture}", MULTIPLY_ADDS.get(feature.encoder, 0.0))
    network = rows_per_second(feature) * per_row / (PER_GPU if on_gpu else PER_CORE * cores)
    decoding = 0.0
    if isinstance(feature, VisualFeature):
        decoding = 1 / (cores * (SPARSE if frames_per_second(feature) <= 2 else EVERY_FRAME))
    return hours * max(network, decoding)


def rows_per_second(feature: FeatureBase) -> float:
    """Return how many rows a second of video has, 0 where that depends on the video."""
    if isinstance(feature, AudioFeature):
        return 1 / feature.window.hop_s if feature.window else 0.0
    if not isinstance(feature, VisualFeature):
        return 0.0
    sampling = feature.sampling
    if sampling.rule == "hero_clips":
        return 1 / _number(sampling.clip_s)
    if sampling.rule == "windows":
        return frames_per_second(feature) / (sampling.stride or sampling.window or 1)
    if sampling.rule == "i3d_chunks":
        return frames_per_second(feature) / 8
    return frames_per_second(feature) if sampling.rule in ("ffmpeg_fps", "seek_per_second") else 0.0


def frames_per_second(feature: VisualFeature) -> float:
    """Return how many frames of a second of video are decoded for a feature."""
    sampling = feature.sampling
    if sampling.rate is not None:
        return _number(sampling.rate)
    return {"seek_per_second": 1.0, "lavis_head": 1.0, "lavis_uniform": 1.0, "linspace": 1.0}.get(
        sampling.rule, float(FRAMES_PER_SECOND)
    )


def _number(rate: str | float) -> float:
    top, _, bottom = str(rate).partition("/")
    return float(top) / float(bottom or 1)


def hours_text(hours: float) -> str:
    """Return hours for people."""
    return f"{hours:.0f} h" if hours >= 3 else f"{hours:.1f} h" if hours >= 0.1 else f"{60 * hours:.0f} min"
