"""Train QUAG on HiREST's real annotations and planted features: python -m tests.benchmarks.quag_planted DIR.

DIR has the annotation files of j-min/HiREST `data/splits`, plain or gzipped. There are no videos. The rows that the
workflow imports are noise that carries the embedded query during its moment and the embedded heading during its step;
the first and last seconds of a moment and the first of a step have directions of their own, as titles and cuts have.
The transcripts are silent but for the heading of every other step. All else is what a user runs, from the import to
metrics.json, with a network that a CPU can train.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.layers.word_vectors import tokenise
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.tables import read_table

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "train": "all_data_train.json",
    "val": "all_data_val.json",
    "test": "all_data_test.json",
    "test_steps": "formatted_moment_evaluation_gt.json",
}
VISUAL, ROWS = "eva_clip_hirest_published", "data/hirest/features/planted"
WIDTH = 128
"""Of a planted row."""
STRENGTH = 8.0
"""Length of the planted query, of the planted heading and of the marks; the noise has length 11."""
BEGINS, ENDS, NEXT = STRENGTH * np.linalg.qr(np.random.default_rng(1).standard_normal((WIDTH, 3)))[0].T
"""What marks the first seconds of a moment, its last ones, and the first ones of a step."""
MARK_S = 3
"""Seconds of a mark: a video of more than `n_rows` seconds is thinned out, and one second could be left out."""
CLIP_SPLITS = ("train", "val")
TARGET = "results/hirest/quag/metrics.json"
FLOOR = "results/hirest/baseline/metrics.json"


def settings(epochs: int) -> dict[str, Any]:
    """Return what `--config` lays over the shipped configuration."""
    rows = {"dim": WIDTH, "path": ROWS, "layout": "npy", "id_pattern": "{video_id}.npy"}
    quag = {
        "streams": {
            "visual": {"names": [VISUAL]},
            "text": {"names": ["minilm"]},
            "speech": {"names": ["asr_minilm_1s_published"]},
        },
        "settings": {
            "network": {
                **{"width": 128, "fusion_width": 128, "heads": 4, "decoder_layers": 1},
                **{"ffn_dim": 256, "start": "random"},
            },
            # As many rows for every video (n_model_frames): attention over 1,267 of them is what a CPU cannot pay.
            "data": {"max_words": 20, "n_rows": 128, "speech_axis": "seconds"},
            # A norm that all tasks exceed: captions would outweigh the moments a hundredfold.
            "train": {"epochs": epochs, "batch_size": 16, "learning_rate": 0.001, "clip_norm": 0.02},
        },
        "runtime": {"gpu": 0, "threads": 2, "mem_mb": 6000},
    }
    splits = {"splits": {"test": ["val"]}}
    hirest = {"n_shards": 8, "systems": {"quag": splits, "baseline": splits}}
    return {"features": {VISUAL: rows}, "systems": {"quag": quag}, "datasets": {"hirest": hirest}}


def run(folder: Path, epochs: int, *targets: str) -> None:
    """Run the workflow in a folder."""
    config = [f"{key}={json.dumps(value)}" for key, value in settings(epochs).items()]
    command = [
        str(Path(sys.executable).with_name("snakemake")),
        *("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2"),
        *("--config", *config, "--", *targets),
    ]
    if status := subprocess.run(command, cwd=folder, check=False).returncode:
        sys.exit(f"snakemake ended with status {status} in {folder}")


def copy_annotations(source: Path, folder: Path) -> None:
    """Put the annotation files where the dataset looks for them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES.values():
        plain = source / name
        content = plain.read_bytes() if plain.is_file() else gzip.decompress((source / f"{name}.gz").read_bytes())
        (folder / name).write_bytes(content)


def clips(folder: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield (query, video, entry) of every video with a moment."""
    for split in CLIP_SPLITS:
        for query, videos in json.loads((folder / FILES[split]).read_text()).items():
            for name, entry in videos.items():
                if entry["clip"]:
                    yield query, Path(name).stem, entry


def heading_vector(text: str) -> np.ndarray:
    """Return the sum of a random direction per word (WIDTH,), of length `STRENGTH`."""
    seeds = [zlib.crc32(word.encode()) for word in tokenise(text)]
    total = sum(np.random.default_rng(seed).standard_normal(WIDTH) for seed in seeds)
    return STRENGTH * total / np.linalg.norm(total)


def plant(folder: Path) -> None:
    """Write a file of rows and a transcript per video."""
    annotations, rows_of = folder / "data/hirest/annotations", folder / ROWS
    asr = folder / "data/hirest/asr"
    for made in (rows_of, asr):
        made.mkdir(parents=True, exist_ok=True)
    texts = FeatureStore(folder / "results/hirest/features/minilm")
    queries = {row["text"]: row["query_id"] for row in query_rows(folder)}
    first = next(iter(queries.values()))
    projection = np.random.default_rng(0).standard_normal((texts[first].values.shape[1], WIDTH)) / np.sqrt(WIDTH)
    videos: dict[str, np.ndarray] = {}
    lines: dict[str, list[str]] = {}
    for query, video, entry in clips(annotations):
        n_rows = round(entry["v_duration"])
        if video not in videos:
            draw = np.random.default_rng(zlib.crc32(video.encode()))
            videos[video], lines[video] = draw.standard_normal((n_rows, WIDTH)).astype(np.float32), []
        code = texts[queries[query]].values[0] @ projection
        start, end = (int(bound) for bound in entry["bounds"])
        videos[video][start : end + 1] += STRENGTH * code / np.linalg.norm(code)
        videos[video][start : start + MARK_S] += BEGINS
        videos[video][max(0, end + 1 - MARK_S) : end + 1] += ENDS
        for number, step in enumerate(entry["steps"]):
            first_s, last_s = (int(bound) for bound in step["absolute_bounds"])
            videos[video][first_s : last_s + 1] += heading_vector(step["heading"])
            videos[video][first_s : first_s + MARK_S] += NEXT
            if number % 2:
                lines[video].append(f"{clock(first_s)} --> {clock(first_s + 1)}\n{step['heading']}\n")
    for video, values in videos.items():
        np.save(rows_of / f"{video}.npy", values)
        numbered = (f"{number}\n{line}" for number, line in enumerate(lines[video], 1))
        (asr / f"{video}.srt").write_text("\n".join(numbered))


def clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d},000"


def query_rows(folder: Path) -> Sequence[Mapping[str, Any]]:
    return read_table(folder / "results/hirest/annotations/queries.parquet").to_pylist()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="work here, and keep what is made")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = (args.folder or Path(made)).resolve()
        copy_annotations(args.annotations, folder / "data/hirest/annotations")
        run(folder, args.epochs, "results/hirest/features/minilm/index.parquet")
        plant(folder)
        started = time.monotonic()
        run(folder, args.epochs, TARGET, FLOOR)
        print(f"import to metrics: {(time.monotonic() - started) / 60:.1f} min")
        for target in (TARGET, FLOOR):
            print(target, json.dumps(json.loads((folder / target).read_text())["metrics"]))


if __name__ == "__main__":
    main()
