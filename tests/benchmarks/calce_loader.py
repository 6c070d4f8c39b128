"""Samples of CALCE per second from a store, by the loader of the training: python -m tests.benchmarks.calce_loader.

Made videos of 150 frames at full size, as pixels and as tokens of the image tower; stage 1 reads 75 frames of each,
stage 2 all. Asked is what a GPU takes in a training step: 1.2 queries per second in stage 1, 0.8 in stage 2. Without
workers (`--workers 0`) it tells samples per second of a core's own time, which a busy machine does not change.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from torchdata.stateful_dataloader import StatefulDataLoader

from models.systems.calce.config import Config
from models.systems.calce.system import System
from models.systems.interface import Annotated, Item, Told
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_job import Computed, Wanted, update_shard
from workflow_scripts.lib.training.rows import RowsInStore

N_FRAMES, WIDTHS = 150, {"frames": 3 * 224**2, "tokens": 257 * 1408}
ASKED = {1: 1.2, 2: 0.8}


class Samples:
    """Samples of queries, each on its video; videos are taken in turn."""

    def __init__(self, system: System, store: FeatureStore, n_samples: int) -> None:
        self._system, self._n_samples = system, n_samples
        told = Told(transcript=[(1.0, 3.0, "a dog runs")], noun_phrases=("dog",), prior_spans=((20.0, 60.0),))
        self._items = [
            Item(name, name, "a dog runs", 150.0, {"visual": [RowsInStore(store, name, "ok")]}, moments, told)
            for name in store
            for moments in [Annotated(np.array([[20.0, 60.0]]))]
        ]

    def __len__(self) -> int:
        return self._n_samples

    def __getitem__(self, number: int) -> dict:
        return self._system.sample(self._items[number % len(self._items)], random.Random(number))


def made_store(folder: Path, rows: str, n_videos: int) -> FeatureStore:
    """Write a store of made rows: smooth pictures, or tokens like those of a network."""

    def compute(ids: Iterable[str]) -> Iterator[Computed]:
        times = np.stack([np.arange(N_FRAMES), np.arange(N_FRAMES) + 1], axis=1)
        for name in ids:
            rng = np.random.default_rng(int(name))
            if rows == "tokens":
                yield Computed(name, rng.standard_normal((N_FRAMES, WIDTHS[rows]), np.float32), times)
            else:
                small = rng.integers(0, 256, (N_FRAMES, 28, 28, 3)).astype(np.float32)
                yield Computed(name, small.repeat(8, axis=1).repeat(8, axis=2).reshape(N_FRAMES, -1), times)

    dtype = {"frames": "uint8", "tokens": "float16"}[rows]
    wanted = [Wanted(str(number), str(number)) for number in range(n_videos)]
    update_shard(folder / "0000.zarr", wanted, {"made": rows}, dtype, None, compute, None)
    write_index([folder / "0000.zarr"], folder / "index.parquet")
    return FeatureStore(folder)


def rate(system: System, store: FeatureStore, n_samples: int, n_workers: int) -> float:
    """Return samples per second after the workers have begun: their first ones do not count."""
    loader = StatefulDataLoader(
        Samples(system, store, n_samples + n_workers), batch_size=1, collate_fn=system.collate, num_workers=n_workers
    )
    clock = time.perf_counter if n_workers else time.process_time
    batches = iter(loader)
    for _ in range(n_workers):
        next(batches)
    started = clock()
    n_made = sum(1 for _ in batches)
    return n_made / (clock() - started)


def measured(n_videos: int, n_samples: int, n_workers: int) -> Iterator[Figure]:
    of = f"{n_workers} workers" if n_workers else "a core's own time"
    for rows, width in WIDTHS.items():
        with tempfile.TemporaryDirectory() as folder:
            store = made_store(Path(folder), rows, n_videos)
            for stage, asked in ASKED.items():
                data = {"n_frames": 75 * stage, "augment": "crop" if rows == "frames" else "none"}
                config = Config.model_validate({"stage": stage, "network": {"rows": rows}, "data": data})
                found = rate(System(config, {}, {"visual": [width]}), store, n_samples, n_workers)
                yield Figure(
                    f"CALCE's samples from a store, {rows}, stage {stage}, {of}", found, "per s", "larger", asked
                )


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--samples", type=int, default=24, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="(default: %(default)s)")
    args = parser.parse_args()
    return tell(measured(args.videos, args.samples, args.workers), args.json)


if __name__ == "__main__":
    sys.exit(main())
