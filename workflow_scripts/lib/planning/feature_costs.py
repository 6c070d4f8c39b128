"""What the rows of a feature cost, from its settings alone: bytes of disk and of memory, hours."""

import os

from workflow_scripts.lib.configuration.schema import AudioFeature, FeatureBase, SpeechFeature, VisualFeature
from workflow_scripts.lib.planning.training_hours import PER_CORE, PER_GPU

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
    "efficientnet_lite": 0.4e9,
    "image_labels": 0.4e9,
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


def bytes_needed(feature: FeatureBase, hours: float, n_videos: int) -> float:
    """Return the bytes of the rows of so many hours of video, before compression."""
    return _n_rows(feature, hours, n_videos) * (feature.dim or 0) * BYTES_OF[feature.store_dtype]


def _n_rows(feature: FeatureBase, hours: float, n_videos: int) -> float:
    """Return how many rows so many videos have, 0 where that depends on more than their length."""
    per_video = getattr(getattr(feature, "sampling", None), "n_frames", None)
    if per_video and feature.sampling.rule in ("lavis_head", "lavis_uniform", "linspace"):
        return per_video * n_videos
    return 3600 * hours * rows_per_second(feature)


def memory_needed(feature: FeatureBase, hours: float, n_videos: int, n_shards: int) -> float:
    """Return the bytes that a job holds of rows, beside the network: a video's, and what is written at a time.

    Parameters
    ----------
    hours, n_videos, n_shards : of the dataset
    """
    stored = bytes_needed(feature, hours, n_videos)
    at_work = BYTES_AT_WORK * stored / (BYTES_OF[feature.store_dtype] * max(1, n_videos))
    return at_work + min(4 * stored / n_shards, BYTES_IN_WRITING)


def hours_needed(feature: FeatureBase, hours: float, on_gpu: bool, cores: int | None = None) -> float:
    """Return the hours that so many hours of video take, with all cores of this machine or so many; 0: nobody knows."""
    cores = cores or os.cpu_count() or 1
    if isinstance(feature, SpeechFeature):
        return hours / (cores * RECOGNISED[feature.weights]) if feature.weights in RECOGNISED else 0.0
    if not isinstance(feature, VisualFeature | AudioFeature):
        return 0.0
    per_second = PER_GPU if on_gpu else PER_CORE * cores
    network = hours * rows_per_second(feature) * _per_row(feature) / per_second
    return max(network, decoding_hours(feature, hours) / cores) if isinstance(feature, VisualFeature) else network


def is_bound_by_decoding(feature: VisualFeature, hours: float, n_videos: int, on_gpu: bool) -> bool:
    """Return whether a core takes longer to decode the frames of videos than a GPU, or that core, for the network."""
    n_rows, per_row = _n_rows(feature, hours, n_videos), _per_row(feature)
    if per_row and not n_rows:
        return False
    return 3600 * decoding_hours(feature, hours) >= n_rows * per_row / (PER_GPU if on_gpu else PER_CORE)


def decoding_hours(feature: VisualFeature, hours: float) -> float:
    """Return the hours in which one core decodes the frames of so many hours of video."""
    return hours / (SPARSE if frames_per_second(feature) <= 2 else EVERY_FRAME)


def _per_row(feature: VisualFeature | AudioFeature) -> float:
    """Return the multiply-adds of a row, 0 of what has no network, or one that nobody has counted."""
    architecture = feature.params.get("architecture", "")
    return MULTIPLY_ADDS.get(f"{feature.encoder} {architecture}", MULTIPLY_ADDS.get(feature.encoder, 0.0))


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
