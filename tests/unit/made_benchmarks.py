"""Tiny benchmarks: annotation files as they are published, imported by their readers, and made-up predictions."""

import gzip
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.made_predictions import made_qvh
from tests.unit.made_settings import settings_options
from workflow_scripts import evaluate_external, import_annotations
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, answers_path
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import read_table, write_table

N_QUERIES = 40
SENTENCE_SETS = {
    "charades": ("charades_tvr", "test"),
    "activitynet": ("activitynet_captions", "val_2"),
    "tacos": ("tacos", "test"),
}
"""Dataset -> reader, split."""


def run_entry_point(monkeypatch: pytest.MonkeyPatch, module: Any, *args: Any) -> None:
    """Run an entry point in this process; errors come out as exceptions."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, args)])
    module.main()


def import_tables(
    monkeypatch: pytest.MonkeyPatch, results: Path, dataset: str, reader: str, files: Mapping[str, Path]
) -> Path:
    """Return the folder of the canonical tables of source files."""
    folder = results / dataset / "annotations"
    source = {"format": reader, "files": [[split, str(path)] for split, path in files.items()], "items": []}
    known = settings_options(folder / "settings.json", source)
    run_entry_point(monkeypatch, import_annotations, *known, "--dataset", dataset, "--out", folder)
    return folder


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write JSON lines, compressed if the name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def qvh_files(folder: Path, n_queries: int = N_QUERIES) -> tuple[Path, list[dict], list[dict]]:
    """Write an annotation file; return it with predictions and annotations in QVHighlights' own form."""
    predictions, annotations = made_qvh(n_queries)
    for row in annotations:
        row |= {"query": f"query {row['qid']}", "vid": f"abcdefghi{row['qid']:02d}_0.0_150.0"}
        row["relevant_windows"] = [list(map(int, window)) for window in row["relevant_windows"]]
    return write_lines(folder / "highlight_val.jsonl", annotations), predictions, annotations


def sentence_files(folder: Path, dataset: str) -> tuple[Path, list[dict]]:
    """Write an annotation file of two sentences per video; return it with rows of ranked candidates.

    Moments lie inside their videos; those of TACoS are in frames.
    """
    rng = np.random.default_rng(3)
    entries, rows = {}, []
    for i in range(N_QUERIES // 2):
        duration, fps = round(float(rng.uniform(20, 60)), 2), 29.4
        is_frames = dataset == "tacos"
        n_frames = int(duration * fps)
        limit = n_frames if is_frames else duration
        spans = np.sort(rng.uniform(0, limit, (2, 2)), axis=1)
        spans = (spans.astype(int) if is_frames else spans.round(2)).tolist()
        source = {"tacos": f"s{i:02d}-d01.avi", "activitynet": f"v_abcdefghi{i:02d}", "charades": f"AB{i:03d}"}[dataset]
        timing = {"num_frames": n_frames, "fps": fps} if is_frames else {"duration": duration}
        entries[source] = {**timing, "timestamps": spans, "sentences": [f"sentence {i}", f"another {i}"]}
        rate, seconds = (fps, n_frames / fps) if is_frames else (1.0, duration)
        for k, (start, end) in enumerate(spans):
            bounds = np.sort(rng.uniform(0, seconds, (30, 2)), axis=1)
            bounds[0] = np.clip(np.sort(np.array([start, end]) / rate + rng.normal(0, 1.5, 2)), 0, seconds)
            scores = np.sort(rng.random(30))[::-1]
            rows.append(
                {
                    "vid": source,
                    "sentence_index": k,
                    "duration": seconds,
                    "gt": [start / rate, end / rate],
                    "candidates": np.column_stack([bounds, scores]).tolist(),
                }
            )
    path = folder / f"{dataset}.json"
    path.write_text(json.dumps(entries))
    return path, rows


def write_answer_tables(
    run: Path,
    annotations: Path,
    windows: Mapping[str, list[list[float]]],
    split: str,
    variants: Sequence[str] = ("",),
    **others: list[dict[str, Any]],
) -> None:
    """Write the tables of a run.

    `windows`: query id -> [start, end, score]; an empty list is an explicit miss. Every variant answers the same.
    `others`: rows of other tasks.
    """
    queries = read_table(annotations / "queries.parquet", ["query_id", "video_id"]).to_pydict()
    video_of = dict(zip(queries["query_id"], queries["video_id"], strict=True))
    rows = [
        {"query_id": query, "video_id": video_of[query], "rank": rank, "start_s": start, "end_s": end, "score": score}
        | {"text": None, "is_readable": True, "variant": variant}
        for variant in variants
        for query, spans in windows.items()
        for rank, (start, end, score) in enumerate(spans or [[None, None, None]])
    ]
    shared = {"run_id": "r", "system": "s", "dataset": "d", "split": split, "variant": ""}
    for task, schema in SCHEMAS.items():
        # The order of the rows says nothing.
        own = [shared | row for row in ({"moments": rows} | others).get(task, [])[::-1]]
        write_table(answers_path(run, task), pa.Table.from_pylist(own, schema=schema))


def external_settings(path: Path, dataset: str, split: str, rules: list[str], **changes: Any) -> dict[str, Any]:
    """Return the settings of a prediction file as the plan writes them."""
    settings = {"dataset": dataset, "name": "made", "title": "made", "file": str(path), "split": split}
    settings |= {"rules": rules, "thresholds": [0.3, 0.5, 0.7], "nms_thresholds": {}, "published": []}
    return settings | {"allow_missing": False, "empty_as_miss": False, "clip": False} | changes


def score_external(
    monkeypatch: pytest.MonkeyPatch, annotations: Path, settings: dict[str, Any], out: Path
) -> dict[str, Any]:
    """Run `evaluate_external` and return its metrics."""
    write_json(out / "settings.json", settings)
    given = ("--settings", out / "settings.json", "--annotations", annotations, "--out", out / "metrics.json")
    run_entry_point(monkeypatch, evaluate_external, *given)
    return json.loads((out / "metrics.json").read_text())
