"""A tiny training of IMG on made items; as a program it trains and can be killed at a chosen moment."""

import argparse
import copy
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from models.systems.interface import Annotated, FeatureRows, Item
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.datasets.schema import QUERIES, TABLES, VIDEOS
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.store.tables import write_table
from workflow_scripts.lib.training.data import TrainingData
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.state import StateFolder

DIMS = {"visual": [6], "audio": [4], "text": [5]}
N_TRAIN, N_SELECT, BATCH_SIZE = 18, 6, 4
SPLIT_ENDS = {"train": N_TRAIN, "val": N_TRAIN + N_SELECT, "test": N_TRAIN + 2 * N_SELECT}
STEPS_PER_EPOCH, N_EPOCHS = 5, 2
SETTINGS: dict[str, Any] = {
    "dataset": "made",
    "name": "img",
    "device": "cpu",
    "reads_media": True,
    "recipes": {"frames": "r1", "sounds": "r2", "words": "r3"},
    "whole_recipes": {"frames": "r1", "sounds": "r2", "words": "r3"},
    "window_s": None,
    "weights": {"frames": "random(0)"},
    "prior": None,
    "base_weights": [],
    "runtime": {"num_workers": 0, "processes": 1, "checkpoint_minutes": 1000.0},
    "config": {
        "system": "img",
        "streams": {
            "visual": {"names": ["frames"], "standardise": True, "in_memory": True},
            "audio": {"names": ["sounds"], "standardise": False, "in_memory": True},
            "text": {"names": ["words"], "standardise": False, "in_memory": True},
        },
        "transcript": None,
        "prior": None,
        "precision": "no",
        "given": {"moments": "annotated", "steps": "annotated"},
        "published_inputs": [],
        "selection": {
            "rules": "span_index",
            "metric": ["R1@0.5"],
            "thresholds": [0.3, 0.5, 0.7],
            "loss": [],
            "mode": "max",
            "ties": "first",
            "patience": None,
            "every_epochs": 1,
        },
        "evaluation": {"thresholds": [0.3, 0.5, 0.7], "nms_thresholds": {}},
        "settings": {
            "network": {"dim": 16, "heads": 2, "gru_layers": 1, "max_steps": 16, "query": {"kind": "tokens"}},
            "train": {"epochs": N_EPOCHS, "batch_size": BATCH_SIZE, "accumulation": 1, "learning_rate": 3e-3},
        },
    },
}


def made_settings(**changes: Any) -> dict[str, Any]:
    """Return `SETTINGS` with changes; a key `a__b` stands for the key b of the section a."""
    settings = copy.deepcopy(SETTINGS)
    for key, value in changes.items():
        nested = value
        for part in reversed(key.split("__")):
            nested = {part: nested}
        settings = merge(settings, nested)
    return settings


def made_item(number: int) -> Item:
    """Return a query whose moment shows in the first visual and audio channel."""
    rng = np.random.default_rng(number)
    n_steps = 8 + number % 5
    start = int(rng.integers(0, n_steps - 3))
    end = start + 3

    def rows(n: int, dim: int) -> FeatureRows:
        values = rng.standard_normal((n, dim)).astype(np.float32)
        values[:, 0] = 3.0 * ((np.arange(n) >= start) & (np.arange(n) < end))
        bounds = np.arange(n + 1, dtype=np.float32)
        return FeatureRows(values, np.stack([bounds[:-1], bounds[1:]], axis=1))

    streams = {"visual": [rows(n_steps, 6)], "audio": [rows(n_steps, 4)], "text": [rows(3 + number % 3, 5)]}
    annotated = Annotated(moments=np.array([[start, end]], dtype=np.float64))
    return Item(f"q{number}", f"v{number}", "a bell rings", float(n_steps), streams, annotated)


def made_splits() -> tuple[Split, Split]:
    """Return the training and the selection split."""
    numbers = range(N_TRAIN + N_SELECT)
    items = [made_item(number) for number in numbers]
    return Split(items[:N_TRAIN], keys=list(numbers[:N_TRAIN])), Split(items[N_TRAIN:], keys=list(numbers[N_TRAIN:]))


def split_of(number: int) -> str:
    return next(split for split, end in SPLIT_ENDS.items() if number < end)


def rows_of(number: int, item: Item) -> dict[str, dict[str, Any]]:
    """Return the rows of an item in the canonical tables, and of its video in the media manifest."""
    shared = {"dataset": "made", "split": split_of(number), "video_id": item.video_id}
    start_s, end_s = item.annotated.moments[0]
    extra = json.dumps({"kind": ("picture", "sound")[number % 2]})
    empty = dict.fromkeys(QUERIES.names)
    return {
        "videos": dict.fromkeys(VIDEOS.names)
        | shared
        | {"source_video_id": item.video_id, "duration_s": item.duration_s, "split": [shared["split"]]},
        "queries": empty
        | shared
        | {"query_id": item.id, "ordinal": number, "modality": "text", "text": item.text, "extra_json": extra},
        "moments": shared
        | {"query_id": item.id, "window_index": 0, "raw_unit": "s", "flags": []}
        | {"start_raw": start_s, "end_raw": end_s, "start_s": start_s, "end_s": end_s},
        "manifest": {"video_id": item.video_id, "status": "ok", "reason": "", "duration_s": item.duration_s},
    }


def write_annotations(folder: Path, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the canonical tables, those without rows empty."""
    for name, schema in TABLES.items():
        write_table(folder / f"{name}.parquet", pa.Table.from_pylist(rows.get(name, []), schema))


def made_annotations(folder: Path) -> AnnotatedSplit:
    """Return the annotations of the selection split, whose tables are written to a folder."""
    rows: dict[str, list[dict[str, Any]]] = {"videos": [], "queries": [], "moments": []}
    for number in range(N_TRAIN + N_SELECT):
        for table in rows:
            rows[table].append(rows_of(number, made_item(number))[table])
    write_annotations(folder, rows)
    return AnnotatedSplit.read(folder, "val")


def made_data(folder: Path) -> TrainingData:
    """Return what the made training learns from; tables are written to a folder."""
    return TrainingData(*made_splits(), made_annotations(folder), DIMS)


def made_training(out: Path, settings: dict[str, Any], key: str = "key", seed: int = 3, initial: Any = None) -> Any:
    """Return the training in the folder `out`, with whatever state an earlier one left there."""
    from workflow_scripts.lib.training.loop import Training
    from workflow_scripts.lib.training.processes import join

    with join("cpu").main_process_first():
        state = StateFolder(out / "state", key)
        data = made_data(out / "annotations")
    return Training(settings, data, out, state, seed, initial)


def signal_after(training: Any, n_steps: int, number: int) -> None:
    """Let this process send itself a signal while step `n_steps` of the training (counted from 1) is running."""
    step = training._step

    def counted(batch: Any) -> None:
        step(batch)
        if training.progress.step == n_steps:
            os.kill(os.getpid(), number)

    training._step = counted


def die_in_save(training: Any, n_saves: int) -> None:
    """Let this process be killed inside the given save, when the files are written but not yet in place."""
    save_state, saves = training.accelerator.save_state, []

    def counted(folder: str) -> None:
        save_state(folder)
        saves.append(folder)
        if len(saves) == n_saves:
            os.kill(os.getpid(), signal.SIGKILL)

    training.accelerator.save_state = counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--accumulation", type=int, default=1)
    parser.add_argument("--save-every-step", action="store_true")
    parser.add_argument("--die-in-save", type=int, help="kill this process inside the save of this number")
    parser.add_argument("--stop-group-at", type=int, help="terminate the process group after this step")
    parser.add_argument("--stop-first-at", type=int, help="tell the first process to stop in this step")
    args = parser.parse_args()
    settings = made_settings(
        runtime__num_workers=args.num_workers,
        config__settings__train__accumulation=args.accumulation,
        runtime__checkpoint_minutes=1e-9 if args.save_every_step else 1000.0,
    )
    training = made_training(args.out, settings)
    if args.die_in_save:
        die_in_save(training, args.die_in_save)
    if args.stop_first_at and training.accelerator.is_main_process:
        signal_after(training, args.stop_first_at, signal.SIGTERM)
    if args.stop_group_at:
        step = training._step

        def counted(batch: Any) -> None:
            step(batch)
            if training.progress.step == args.stop_group_at:
                os.killpg(0, signal.SIGTERM)

        training._step = counted
    training.run()


if __name__ == "__main__":
    main()
