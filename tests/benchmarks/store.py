"""Our feature store against the forms that published code uses: reads, sizes, files, and what a training step waits.

One npy file per video, one hdf5 file, and a flat file with a memory map hold the same float16 rows as the store; all of
them are warm in the page cache. Reads are counted in processor time, of the best of some rounds in which the forms take
turns: what another process does to a wall clock is no figure of ours.
"""

import functools
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import torch

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_writing import publish_shard
from workflow_scripts.lib.store.shards import VIDEOS_PER_SHARD, shard_name, shard_of
from workflow_scripts.lib.store.zarr_rows import open_rows

DIM = 1024
MIN_STEPS, MAX_STEPS = 75, 150
N_READS = 100
ROUNDS = 25
BATCH = 32
STEP_S = 0.050
N_STEPS = 60
MAX_READ_MS = 0.2
MIN_OF_RAW_RATE = 0.5
MAX_FILES_PER_SHARD = 9
MAX_OF_FLOAT32 = 0.52
MAX_WAIT_PERCENT = 5
MAX_CARRIED = 0.2
"""Of a step; where plain arrays wait longer, the machine is too busy to tell what a store makes wait."""

Read = Callable[[str], np.ndarray]


def made_rows(n_videos: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield rows like those of a network: unit norm, alike from one step to the next, with noise."""
    rng = np.random.default_rng(0)
    for number in range(n_videos):
        n_steps = int(rng.integers(MIN_STEPS, MAX_STEPS + 1))
        rows = rng.standard_normal(DIM) + 0.5 * rng.standard_normal((n_steps, DIM))
        yield f"video{number:05d}", (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def write_all(folder: Path, n_videos: int) -> dict[str, np.ndarray]:
    """Write all forms; return the rows by video."""
    rows = dict(made_rows(n_videos))
    (folder / "npy").mkdir()
    for video_id, values in rows.items():
        np.save(folder / "npy" / f"{video_id}.npy", values)
    with h5py.File(folder / "all.hdf5", "w") as file:
        for video_id, values in rows.items():
            file[video_id] = values
    np.concatenate(list(rows.values())).tofile(folder / "flat")
    n_shards = max(1, round(n_videos / VIDEOS_PER_SHARD))
    shards: dict[int, list] = {number: [] for number in range(n_shards)}
    for video_id, values in rows.items():
        start = np.arange(len(values), dtype=np.float32)
        entry = VideoRows(video_id, video_id, 0, 0, "ok", "")
        shards[shard_of(video_id, n_shards)].append((entry, values, np.stack([start, start + 1], 1)))
    root = folder / "ds" / "features" / "store"
    paths = [root / f"{shard_name(number, n_shards)}.zarr" for number in shards]
    for path, parts in zip(paths, shards.values(), strict=True):
        publish_shard(path, concatenate(parts, DIM, "float16"), {"made": "for a benchmark"})
    write_index(paths, root / "index.parquet")
    return rows


def in_turns(works: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the least processor time of each of some works, in seconds."""
    least = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            started = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - started)
    return least


def readers(folder: Path, rows: dict[str, np.ndarray]) -> dict[str, Read]:
    """Return what gives the float32 rows of a video, by form; what holds all videos stays open."""
    stops = np.cumsum([len(values) for values in rows.values()])
    place = {v: (stop - len(values), stop) for (v, values), stop in zip(rows.items(), stops, strict=True)}
    flat = np.memmap(folder / "flat", np.float16, "r").reshape(-1, DIM)
    hdf5 = h5py.File(folder / "all.hdf5")
    store = FeatureStore(folder / "ds" / "features" / "store")
    return {
        "npy per video": lambda v: np.load(folder / "npy" / f"{v}.npy").astype(np.float32),
        "one hdf5 file": lambda v: hdf5[v][()].astype(np.float32),
        "memory map": lambda v: flat[slice(*place[v])].astype(np.float32),
        "store": lambda v: store[v].values,
    }


def measure_reads(folder: Path, rows: dict[str, np.ndarray]) -> Iterator[Figure]:
    """Yield milliseconds per random read of a whole video."""
    order = np.random.default_rng(1).choice(list(rows), N_READS)
    forms = readers(folder, rows)
    for form, read in forms.items():
        if not all(np.array_equal(read(video_id), rows[video_id].astype(np.float32)) for video_id in order):
            sys.exit(f"{form}: other rows than were written")

    def read_all(read: Read) -> None:
        for video_id in order:
            read(video_id)

    seconds = in_turns({form: functools.partial(read_all, read) for form, read in forms.items()})
    print(", ".join(f"{form} {1000 * own / N_READS:.3f} ms" for form, own in seconds.items()))
    own = 1000 * seconds["store"] / N_READS
    yield Figure("store: random read of a video, processor time", own, "ms", asked=MAX_READ_MS)
    for name, form in (("an hdf5 file", "one hdf5 file"), ("a memory map", "memory map")):
        yield Figure(f"store: random read of a video over that from {name}", seconds["store"] / seconds[form], "x")


def measure_load(folder: Path) -> Iterator[Figure]:
    """Yield the rate of loading whole shards as a share of the rate of reading their files."""
    root = folder / "ds" / "features" / "store"
    shards = sorted(root.glob("*.zarr"))
    files = [path for shard in shards for path in (shard / "features").rglob("*") if path.is_file()]
    n_bytes = sum(path.stat().st_size for path in files)
    works = {
        "the raw files": lambda: [path.read_bytes() for path in files],
        "whole shards": lambda: [open_rows(shard / "features").read() for shard in shards],
        "a store and `preload`": lambda: FeatureStore(root).preload(),
    }
    seconds = in_turns(works, rounds=5)
    print(", ".join(f"{name} {n_bytes / own / 1e6:.0f} MB/s" for name, own in seconds.items()))
    for name, asked in (("whole shards", None), ("a store and `preload`", MIN_OF_RAW_RATE)):
        share = seconds["the raw files"] / seconds[name]
        yield Figure(f"store: reading {name} over the raw files, rates", share, "x", "larger", asked)


class Batches(torch.utils.data.Dataset):
    """Padded batches of random videos, read from a store."""

    def __init__(self, rows_of: Callable[[str], np.ndarray], ids: Sequence[str]) -> None:
        self.rows_of = rows_of
        self.chosen = np.random.default_rng(2).choice(list(ids), (N_STEPS, BATCH))

    def __len__(self) -> int:
        return N_STEPS

    def __getitem__(self, step: int) -> torch.Tensor:
        batch = np.zeros((BATCH, MAX_STEPS, DIM), np.float32)
        for number, video_id in enumerate(self.chosen[step]):
            values = self.rows_of(video_id)
            batch[number, : len(values)] = values
        return torch.from_numpy(batch)


def waited_share(batches: Batches, n_workers: int) -> float:
    """Return the share of a training step that passes before its batch is there; the first batch is not counted."""
    steps = iter(torch.utils.data.DataLoader(batches, batch_size=None, num_workers=n_workers))
    next(steps)
    waited, n_steps = 0.0, len(batches) - 1
    for _ in range(n_steps):
        time.sleep(STEP_S)
        started = time.perf_counter()
        next(steps)
        waited += time.perf_counter() - started
    return waited / (n_steps * STEP_S)


def measure_wait(folder: Path, rows: dict[str, np.ndarray]) -> Iterator[Figure]:
    """Yield how long a training step waits for its batch."""
    root = folder / "ds" / "features" / "store"
    ids = list(rows)
    preloaded, on_disk = FeatureStore(root).preload(), FeatureStore(root)
    # What PyTorch needs to carry a batch of this size from a worker, whatever it was made from.
    carried = waited_share(Batches(rows.__getitem__, ids), 1)
    print(f"wait for plain arrays, one loader worker: {carried:.1%} of a step")
    if carried > MAX_CARRIED:
        print("wait for a store: not measured, the machine is too busy")
        return
    for label, store, n_workers in (
        ("rows in memory, one loader worker", preloaded, 1),
        ("rows on disk, one loader worker", on_disk, 1),
        ("rows in memory, no worker", preloaded, 0),
        ("rows on disk, no worker", on_disk, 0),
    ):
        share = waited_share(Batches(lambda video_id, store=store: store[video_id].values, ids), n_workers)
        print(f"wait for {label}: {share:.1%} of a step")
        if n_workers:
            what = (
                f"store: wait of a {1000 * STEP_S:.0f} ms step for {BATCH} videos over that for plain arrays, {label}"
            )
            yield Figure(what, 100 * (share - carried), "% of a step", asked=MAX_WAIT_PERCENT, is_compared=False)


def measure_size(folder: Path, rows: dict[str, np.ndarray]) -> Iterator[Figure]:
    """Yield files per 64 videos and bytes over those of float32 rows."""
    files = [path for path in (folder / "ds" / "features" / "store").rglob("*") if path.is_file()]
    n_bytes, n_values = sum(path.stat().st_size for path in files), sum(values.size for values in rows.values())
    # The index is one file for the feature, whatever its number of shards.
    n_shards = len(list((folder / "ds" / "features" / "store").glob("*.zarr")))
    per_shard = (len(files) - 1) / n_shards
    yield Figure("store: files per 64 videos", per_shard, asked=MAX_FILES_PER_SHARD)
    yield Figure("store: bytes over those of float32 rows", n_bytes / (4 * n_values), "x", asked=MAX_OF_FLOAT32)


def measured(n_videos: int) -> Iterator[Figure]:
    """Yield all figures, of as many videos."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = write_all(folder, n_videos)
        yield from measure_size(folder, rows)
        yield from measure_reads(folder, rows)
        yield from measure_load(folder)
        yield from measure_wait(folder, rows)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=2000, help="number of videos (default: %(default)s)")
    args = parser.parse_args()
    return tell(measured(args.videos), args.json)


if __name__ == "__main__":
    sys.exit(main())
