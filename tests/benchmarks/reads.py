"""What the rows of training samples cost to read, against the files that published code trains from.

`python -m tests.benchmarks.reads`: the same rows, 75 x 2304 in float16, as a npz file per video (moment_detr), as one
hdf5 file with a dataset per video (2D-TAN, VSLNet), and as a feature store, whose checksums are compared; all of them
warm in the page cache. A sample is its rows in float32. The forms take turns, and every figure is samples per second
of processor time, that of the loader's workers included: the fastest round of each. An epoch brings the samples in
batches to the process that trains; with workers, most of its time is PyTorch's for carrying them, whatever was read.
"""

import functools
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard
from workflow_scripts.lib.store.shards import VIDEOS_PER_SHARD
from workflow_scripts.lib.training.loading import made_in_order
from workflow_scripts.lib.training.rows import RowsInStore

ROWS, DIM = 75, 2304
BATCH = 32
ROUNDS = 5
MIN_READ = 1.5
MIN_PRELOAD = 1.2

Read = Callable[[str], np.ndarray]


def write_all(folder: Path, n_videos: int) -> dict[str, np.ndarray]:
    """Write all forms; return the rows by video."""
    rng, rows = np.random.default_rng(0), {}
    times = np.stack([np.arange(ROWS), np.arange(1, ROWS + 1)], axis=1).astype(np.float32)
    (folder / "npz").mkdir()
    root, paths = folder / "ds" / "features" / "store", []
    with h5py.File(folder / "all.hdf5", "w") as file:
        for number in range(n_videos):
            video_id = f"video{number:05d}"
            values = rng.standard_normal((ROWS, DIM), np.float32)
            rows[video_id] = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16)
            file[video_id] = rows[video_id]
            np.savez(folder / "npz" / f"{video_id}.npz", features=rows[video_id])
    ids = list(rows)
    for number, start in enumerate(range(0, n_videos, VIDEOS_PER_SHARD)):
        own = ids[start : start + VIDEOS_PER_SHARD]
        parts = [(VideoRows(video_id, video_id, 0, 0, "ok", ""), rows[video_id], times) for video_id in own]
        paths.append(root / f"{number:04d}.zarr")
        publish_shard(paths[-1], concatenate(parts, DIM, "float16"), {"made": "for a benchmark"})
    write_index(paths, root / "index.parquet")
    return rows


def readers(folder: Path) -> dict[str, Callable[[], Read]]:
    """Return what opens each form, and then gives the float32 rows of a video."""

    def npz() -> Read:
        return lambda v: np.load(folder / "npz" / f"{v}.npz")["features"].astype(np.float32)

    def hdf5() -> Read:
        opened: list[h5py.File] = []

        def read(video_id: str) -> np.ndarray:
            if not opened:  # After the fork of a worker.
                opened.append(h5py.File(folder / "all.hdf5"))
            return opened[0][video_id][()].astype(np.float32)

        return read

    def store() -> Read:
        features = FeatureStore(folder / "ds" / "features" / "store")
        return lambda v: RowsInStore(features, v, "ok").read()

    return {"npz": npz, "hdf5": hdf5, "store": store}


def in_memory(folder: Path) -> dict[str, Callable[[], Read]]:
    """Return what brings all rows into memory, as they are stored, and then gives those of a video in float32."""

    def hdf5() -> Read:
        with h5py.File(folder / "all.hdf5") as file:
            kept = {video_id: rows[()] for video_id, rows in file.items()}
        return lambda v: kept[v].astype(np.float32)

    def store() -> Read:
        kept = FeatureStore(folder / "ds" / "features" / "store").preload()
        return lambda v: RowsInStore(kept, v, "ok").read()

    return {"hdf5": hdf5, "store": store}


def cpu_s() -> float:
    """Return the processor time of this process and its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


def seconds(work: Callable[[], object]) -> float:
    started = cpu_s()
    work()
    return cpu_s() - started


def in_turns(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least processor time of each."""
    rounds = [{name: seconds(work) for name, work in works.items()} for _ in range(ROUNDS)]
    return {name: min(own[name] for own in rounds) for name in works}


def epoch(read: Read, order: np.ndarray, n_workers: int) -> None:
    """Read every video once, in batches."""

    def batch(number: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([read(video_id) for video_id in order[number : number + BATCH]]))

    for _ in made_in_order(batch, range(0, len(order), BATCH), n_workers):
        pass


def read_all(read: Read, order: np.ndarray) -> None:
    """Read every video once."""
    for video_id in order:
        read(video_id)


def measured(folder: Path, rows: dict[str, np.ndarray]) -> Iterator[Figure]:
    order = np.random.default_rng(1).permutation(list(rows))
    for form, opened in (
        readers(folder) | {f"{name} in memory": own for name, own in in_memory(folder).items()}
    ).items():
        read = opened()
        if not all(np.array_equal(read(v), rows[v].astype(np.float32)) for v in order[:50]):
            sys.exit(f"{form}: other rows than were written")
    alone = {name: functools.partial(read_all, opened(), order) for name, opened in readers(folder).items()}
    yield from compared(f"reading rows of {ROWS} x {DIM} from files", alone, len(order), MIN_READ)
    for n_workers in (1, 2):
        works = {
            name: lambda opened=opened, n=n_workers: epoch(opened(), order, n)
            for name, opened in readers(folder).items()
        }
        yield from compared(
            f"an epoch of rows of {ROWS} x {DIM}, loader workers: {n_workers}", works, len(order), MIN_READ
        )
    yield from compared(f"all rows of {ROWS} x {DIM} into memory", in_memory(folder), len(order), MIN_PRELOAD)
    works = {name: lambda opened=opened: read_all(opened(), order) for name, opened in in_memory(folder).items()}
    yield from compared(f"all rows of {ROWS} x {DIM} into memory, and each read once", works, len(order), MIN_PRELOAD)


def compared(what: str, works: dict[str, Callable[[], object]], n_samples: int, asked: float) -> Iterator[Figure]:
    """Yield the rates of all forms and the store's over the best of the others."""
    least = in_turns(works)
    print(f"{what}: " + ", ".join(f"{form} {n_samples / own:,.0f} samples/s" for form, own in least.items()))
    ratio = min(own for form, own in least.items() if form != "store") / least["store"]
    others = " or ".join(form for form in least if form != "store")
    yield Figure(f"{what}: store over the best of {others}, rates", ratio, "x", "larger", asked)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=1000, help="number of videos (default: %(default)s)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        return tell(measured(Path(name), write_all(Path(name), args.videos)), args.json)


if __name__ == "__main__":
    sys.exit(main())
