"""Train IMG on the real annotations of Charades-STA and planted features: python -m tests.benchmarks.img_planted DIR.

The features are noise that carries the words of every query during its moment, in pictures and, for every other query,
in sound. A system that reads them right finds most moments after two epochs.
"""

import argparse
import logging
import tempfile
import time
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.layers.word_vectors import tokenise
from models.systems.interface import Annotated, FeatureRows, Item
from tests.unit.made_training import made_settings
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.datasets.annotation_tables import Annotations, add_flags, write_annotations
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.training.data import TrainingData
from workflow_scripts.lib.training.loop import Training
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.state import StateFolder

STEPS_PER_S = 1
DIMS = {"visual": [64], "audio": [32], "text": [32]}
STRENGTH = 6.0
"""Length of the planted vector; the noise has length 8 in a visual row."""
NAMES = {"train": "charades_sta_train_qid.txt", "test": "charades_sta_test_qid.txt", "durations": "charades.json"}


@cache
def word_vector(word: str) -> np.ndarray:
    """Return a random unit vector (32,), always the same for a word."""
    vector = np.random.default_rng(zlib.crc32(word.encode())).standard_normal(DIMS["text"][0])
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def token_rows(text: str) -> FeatureRows:
    """Return one row per word."""
    values = np.stack([word_vector(word) for word in tokenise(text)])
    return FeatureRows(values, np.zeros((len(values), 2), np.float32))


def planted_items(annotations: Annotations, split: str) -> list[Item]:
    """Return the queries of a split, those of one video sharing its rows."""
    durations = {row["video_id"]: row["duration_s"] for row in annotations.videos}
    moments = {row["query_id"]: (max(row["start_s"], 0.0), row["end_s"]) for row in annotations.moments}
    rng = np.random.default_rng(0)
    plant = {
        stream: np.linalg.qr(rng.standard_normal((dims[0], DIMS["text"][0])))[0].T.astype(np.float32)
        for stream, dims in DIMS.items()
    }
    rows: dict[str, dict[str, FeatureRows]] = {}
    items = []
    for number, query in enumerate(row for row in annotations.queries if row["split"] == split):
        video, text = query["video_id"], token_rows(query["text"])
        duration = durations[video]
        if video not in rows:
            bounds = np.arange(int(np.ceil(duration * STEPS_PER_S)) + 1, dtype=np.float32) / STEPS_PER_S
            times = np.stack([bounds[:-1], bounds[1:]], axis=1)
            draw = np.random.default_rng(zlib.crc32(video.encode()))
            rows[video] = {
                stream: FeatureRows(draw.standard_normal((len(times), DIMS[stream][0]), np.float32), times)
                for stream in ("visual", "audio")
            }
        start, end = moments[query["query_id"]][0], min(moments[query["query_id"]][1], duration)
        code = text.values.sum(axis=0)
        code *= STRENGTH / np.linalg.norm(code)
        for stream in ("visual", "audio") if number % 2 else ("visual",):
            planted = rows[video][stream]
            inside = (planted.times.mean(axis=1) >= start) & (planted.times.mean(axis=1) < end)
            planted.values[inside] += code @ plant[stream]
        streams = {**{stream: [found] for stream, found in rows[video].items()}, "text": [text]}
        items.append(
            Item(query["query_id"], video, query["text"], duration, streams, Annotated(np.array([[start, end]])))
        )
    return items


def read_charades(source: Path, limit: int | None) -> Annotations:
    """Return the annotations of Charades-STA, of either split at most so many queries."""
    plain = {name: source / file for name, file in NAMES.items()}
    files = {name: path if path.is_file() else path.with_name(f"{path.name}.gz") for name, path in plain.items()}
    found = read_annotations("charades_txt", files, "charades")
    if limit is not None:
        kept = [row for split in ("train", "test") for row in [r for r in found.queries if r["split"] == split][:limit]]
        ids = {row["query_id"] for row in kept}
        found.queries, found.moments = kept, [row for row in found.moments if row["query_id"] in ids]
    add_flags(found)
    return found


def train_on_planted(
    annotations: Annotations, system: str, streams: Sequence[str], settings: dict[str, Any]
) -> list[dict[str, Any]]:
    """Train a system on planted rows of some streams with its own settings; return the history."""
    chosen = made_settings(name=system, device="auto", config__system=system)
    own = {name: {"names": [name], "standardise": False, "in_memory": True} for name in streams}
    chosen = merge(chosen, {"recipes": {}, "whole_recipes": {}, "weights": {}})
    chosen["config"] |= {"streams": own, "settings": settings}
    started = time.monotonic()
    train, test = (Split(planted_items(annotations, split)) for split in ("train", "test"))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_annotations(folder / "annotations", annotations, {"importer": "planted"})
        annotated = AnnotatedSplit.read(folder / "annotations", "test")
        data = TrainingData(train, test, annotated, {name: DIMS[name] for name in streams})
        training = Training(chosen, data, folder, StateFolder(folder / "state", "planted"), seed=0)
        training.run()
    for row in training.progress.history:
        print(f"epoch {row['epoch']}: R1@0.5 {row['R1@0.5']:.1f}, mIoU {row['mIoU']:.1f}, loss {row['total']:.2f}")
    print(f"{len(train.items)} training queries, {len(test.items)} tested; {time.monotonic() - started:.0f} s")
    return training.progress.history


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=Path, help="folder of the annotation files of Charades-STA, plain or .gz")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--queries", type=int, help="take only so many of either split")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # The published settings with token queries.
    settings = {"network": {"query": {"kind": "tokens"}}, "train": {"epochs": args.epochs}}
    return train_on_planted(read_charades(args.annotations, args.queries), "img", tuple(DIMS), settings)


if __name__ == "__main__":
    main()
