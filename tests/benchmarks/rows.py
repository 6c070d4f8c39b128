"""What items cost: memory of the rows that a reader keeps, and reads per training sample of every system.

`python -m tests.benchmarks.rows`. The rows that are kept are compared with the bytes of the splits that were asked for,
as Python traces them; the peak holds what is read at once, too.
"""

import json
import random
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.made_results import make_results, recipe_of
from tests.unit.made_stored import SYSTEMS, counted, in_store
from tests.unit.made_training import SPLIT_ENDS
from workflow_scripts.lib.store.feature_store import write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard
from workflow_scripts.lib.training.reader import Reader

DIM = 512
SHARDS = 3
MOST_OF_STORED = 1.1
ASKED = {"all splits": ("train", "val", "test"), "test": ("test",)}


def write_frames(root: Path, n_rows: int) -> dict[str, int]:
    """Replace the pictures of the made results by as many rows per video; return the stored bytes by video."""
    rng, shards = np.random.default_rng(0), [[] for _ in range(SHARDS)]
    times = np.stack([np.arange(n_rows), np.arange(1, n_rows + 1)], axis=1).astype(np.float32)
    for number in range(SPLIT_ENDS["test"]):
        rows = rng.standard_normal((n_rows, DIM), np.float32).astype(np.float16)
        shards[number % SHARDS].append((VideoRows(f"v{number}", f"key{number}", 0, 0, "ok", ""), rows, times))
    for number, parts in enumerate(shards):
        publish_shard(root / f"{number:04d}.zarr", concatenate(parts, DIM, "float16"), recipe_of("frames"))
    write_index(sorted(root.glob("*.zarr")), root / "index.parquet")
    return {video.id: rows.nbytes for parts in shards for video, rows, _ in parts}


def memory(folder: Path, settings: dict, splits: tuple[str, ...]) -> tuple[int, int, set[str]]:
    """Return the bytes that a reader and its items hold, those at the peak, and the videos of these splits."""
    tracemalloc.start()
    reader = Reader(folder, settings["config"], settings["recipes"])
    items = [item for split in splits for item in reader.read(split).items]
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held, peak, {item.video_id for item in items}


def reads_per_sample(name: str, folder: Path) -> tuple[float, float]:
    """Return how often a training sample of a system reads its rows, and what share of them, the most of any stream."""
    system, items = SYSTEMS[name]()
    units, most, share = system.units(in_store(items, folder)), 0, 0.0
    n_rows: dict[tuple[str, str], int] = {}
    for item in items:
        for stream, [rows] in item.streams.items():
            n_rows[stream, item.id if stream == "text" else item.video_id] = len(rows.values)
    for unit in units:
        with counted() as reads:
            system.sample(unit, random.Random(0))
        for place, own in reads.rows.items():
            most, share = max(most, len(own)), max(share, sum(own) / max(1, n_rows[place]))
    return most, share


def measured(n_rows: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "made"
        settings = json.loads(make_results(folder).read_text())
        n_bytes = write_frames(folder / "features" / "frames", n_rows)
        memory(folder, settings, ("val",))  # What is imported on the way is no memory of a reader.
        for label, splits in ASKED.items():
            held, peak, videos = memory(folder, settings, splits)
            stored = sum(n_bytes[video] for video in videos)
            print(f"{label}: {stored / 2**20:.0f} MB are stored")
            what = f"items of {label}: rows held over the bytes stored"
            yield Figure(what, held / stored, "x", asked=MOST_OF_STORED)
            yield Figure(f"{what}, at the peak", peak / stored, "x")
        for system in SYSTEMS:
            most, share = reads_per_sample(system, Path(name) / system)
            print(f"{system}: {share:.2f} of the rows of a feature")
            yield Figure(f"reads of a feature per training sample, {system}", most, asked=1)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rows", type=int, default=4000, help="rows of every video, of 512 float16 numbers each")
    args = parser.parse_args()
    return tell(measured(args.rows), args.json)


if __name__ == "__main__":
    sys.exit(main())
