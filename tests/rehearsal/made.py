"""Queries on made videos, with rows as wide and as many as the configuration says."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from models.systems.interface import Annotated, AnnotatedStep, FeatureRows, Item, Told
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import FeatureBase
from workflow_scripts.lib.configuration.schema import System as SystemFile

WORDS = ("somebody", "opens", "the", "red", "door", "and", "walks", "outside", "with", "two", "dogs")
BERT_WORDS = Path("models/layers/vocabularies/bert_base_uncased_vocab.txt")
WIDTH_OF_WORD = 300


def made_items(
    configuration: Configuration, dataset: str, system: SystemFile, n_items: int, duration_s: float
) -> list[Item]:
    """Return queries, each on a video of its own, for whatever a system may be asked."""
    return [_item(number, configuration, dataset, system, duration_s) for number in range(n_items)]


def stream_dims(configuration: Configuration, dataset: str, system: SystemFile) -> dict[str, list[int]]:
    """Return the widths of the features of every stream."""
    return {
        stream: [configuration.feature(dataset, name).dim for name in content.names]
        for stream, content in system.streams.items()
    }


def made_file(setting: str, folder: Path) -> Path:
    """Return a file that a system's `fit` reads: vectors of the made words, or a list of word pieces."""
    if "word_vectors" not in setting:
        return BERT_WORDS
    path, rng = folder / "vectors.txt", np.random.default_rng(0)
    lines = [" ".join([word, *(f"{value:.4f}" for value in rng.standard_normal(WIDTH_OF_WORD))]) for word in WORDS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _item(number: int, configuration: Configuration, dataset: str, system: SystemFile, duration_s: float) -> Item:
    streams = {
        stream: [_rows(configuration.feature(dataset, name), duration_s, number) for name in content.names]
        for stream, content in system.streams.items()
    }
    start_s, end_s = 0.2 * duration_s, 0.6 * duration_s
    edges = np.linspace(start_s, end_s, 4).tolist()
    steps = tuple(AnnotatedStep(a, b, "open the door") for a, b in pairwise(edges))
    text = " ".join(WORDS)
    annotated = Annotated(np.array([[start_s, end_s]]), steps=steps, captions=(text, "two dogs walk"))
    speech = [(second, second + 4, "the red door is open and somebody walks") for second in np.arange(0, duration_s, 9)]
    told: dict[str, Any] = {
        "transcript": speech,
        "noun_phrases": ("door", "two dogs"),
        "prior_spans": ((float(round(start_s)), float(round(end_s))),),
        "moment": (start_s, end_s),
        "steps": tuple((step.start_s, step.end_s) for step in steps),
    }
    return Item(f"q{number}", f"v{number}", text, duration_s, streams, annotated, Told(**told))


def _rows(feature: FeatureBase, duration_s: float, seed: int) -> FeatureRows:
    """Return rows of a feature: as many frames as its rule takes of a video, else one per second or word."""
    n_frames = getattr(getattr(feature, "sampling", None), "n_frames", None)
    n_rows = n_frames or (len(WORDS) if feature.kind == "text" else round(duration_s))
    values = np.random.default_rng(seed).integers(0, 256, (n_rows, feature.dim), dtype=np.uint8)
    edges = np.linspace(0, duration_s, n_rows + 1, dtype=np.float32)
    scaled = values.astype(np.float32)
    is_pixels = getattr(feature, "encoder", None) == "pixels"
    return FeatureRows(scaled if is_pixels else scaled / 128 - 1, np.stack([edges[:-1], edges[1:]], axis=1))
