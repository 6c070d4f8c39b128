"""Our feature store against the forms that published code uses: reads, sizes, files, and what a training step waits.

One npy file per video, one hdf5 file, and a flat file with a memory map hold the same float16 rows as the store; all of
them are warm in the page cache. Every figure is the best of a few rounds.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
import zarr

from workflow_scripts.lib.store.feature_store import FeatureStore, write_index
from workflow_scripts.lib.store.shard_rows import VideoRows, concatenate
from workflow_scripts.lib.store.shard_store import publish_shard, use_zarrs, without_zarrs
from workflow_scripts.lib.store.shards import VIDEOS_PER_SHARD, shard_name, shard_of

DIM = 1024
MIN_STEPS, MAX_STEPS = 75, 150
N_READS = 500
ROUNDS = 3
BATCH = 32
STEP_S = 0.050
N_STEPS = 60
MAX_OVER_HDF5 = 2.0
MIN_OF_RAW_RATE = 0.5
MAX_FILES_PER_SHARD = 9
MAX_OF_FLOAT32 = 0.52
MAX_WAIT = 0.05

Read = Callable[[str], np.ndarray]


@dataclass
class Figure:
    """One line of the result; `asked` None: reported only."""

    label: str
    value: float
    unit: str = ""
    asked: str = ""
    is_held: bool = True

    def __str__(self) -> str:
        verdict = f" (asked: {self.asked}: {'held' if self.is_held else 'MISSED'})" if self.asked else ""
        return f"{self.label}: {self.value:.3g}{self.unit}{verdict}"


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


def best_s(work: Callable[[], object]) -> float:
    """Return the shortest time of a few rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


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


def measure_reads(folder: Path, rows: dict[str, np.ndarray], with_zarrs: bool) -> Iterator[Figure]:
    """Yield milliseconds per random read of a whole video."""
    order = np.random.default_rng(1).choice(list(rows), N_READS)
    seconds = {}
    for form, read in readers(folder, rows).items():
        for video_id in order[:50]:
            if not np.array_equal(read(video_id), rows[video_id].astype(np.float32)):
                sys.exit(f"{form}: other rows than were written for {video_id}")
        seconds[form] = best_s(lambda read=read: [read(video_id) for video_id in order]) / N_READS
        yield Figure(f"  random read of a video, {form}", 1000 * seconds[form], " ms")
    ratio = seconds["store"] / seconds["one hdf5 file"]
    asked = f"<= {MAX_OVER_HDF5:g}" if with_zarrs else ""
    yield Figure("  random read, store over hdf5", ratio, " x", asked, ratio <= MAX_OVER_HDF5)


def measure_load(folder: Path, with_zarrs: bool) -> Iterator[Figure]:
    """Yield the rate of loading whole shards as a share of the rate of reading their files."""
    root = folder / "ds" / "features" / "store"
    shards = sorted(root.glob("*.zarr"))
    files = [path for shard in shards for path in (shard / "features").rglob("*") if path.is_file()]
    n_bytes = sum(path.stat().st_size for path in files)
    raw_s = best_s(lambda: [path.read_bytes() for path in files])
    store_s = best_s(lambda: [zarr.open_group(shard, mode="r")["features"][:] for shard in shards])
    checked_s = best_s(lambda: FeatureStore(root).preload())
    yield Figure("  reading the raw files", n_bytes / raw_s / 1e6, " MB/s")
    share = raw_s / store_s
    asked = f">= {MIN_OF_RAW_RATE:g}" if with_zarrs else ""
    yield Figure("  loading whole shards", n_bytes / store_s / 1e6, " MB/s")
    yield Figure("  the same over the raw rate", share, "", asked, share >= MIN_OF_RAW_RATE)
    yield Figure("  opening a store and `preload`, over the raw rate", raw_s / checked_s)


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


def measure_wait(folder: Path, rows: dict[str, np.ndarray], with_zarrs: bool) -> Iterator[Figure]:
    """Yield how long a training step waits for its batch."""
    root = folder / "ds" / "features" / "store"
    ids = list(rows)
    preloaded, on_disk = FeatureStore(root).preload(), FeatureStore(root)
    # What PyTorch needs to carry a batch of this size from a worker, whatever it was made from.
    carried = waited_share(Batches(rows.__getitem__, ids), 1)
    yield Figure(f"  wait for {BATCH} videos, plain arrays, one loader worker, of a 50 ms step", 100 * carried, " %")
    for label, store, n_workers in (
        ("rows in memory, one loader worker", preloaded, 1),
        ("rows in memory, no worker", preloaded, 0),
        ("rows on disk, no worker", on_disk, 0),
    ):
        share = waited_share(Batches(lambda video_id, store=store: store[video_id].values, ids), n_workers)
        what = f"  wait for {BATCH} videos, {label}, of a {1000 * STEP_S:.0f} ms step"
        yield Figure(what, 100 * share, " %")
        if n_workers:
            asked = f"< {MAX_WAIT:.0%}" if with_zarrs else ""
            own = share - carried
            yield Figure("  the same without what plain arrays wait for", 100 * own, " %", asked, own < MAX_WAIT)


def measure_size(folder: Path, rows: dict[str, np.ndarray]) -> Iterator[Figure]:
    """Yield files per 64 videos and bytes over those of float32 rows."""
    files = [path for path in (folder / "ds" / "features" / "store").rglob("*") if path.is_file()]
    n_bytes, n_values = sum(path.stat().st_size for path in files), sum(values.size for values in rows.values())
    # The index is one file for the feature, whatever its number of shards.
    n_shards = len(list((folder / "ds" / "features" / "store").glob("*.zarr")))
    per_shard = (len(files) - 1) / n_shards
    yield Figure("files per 64 videos", per_shard, "", f"<= {MAX_FILES_PER_SHARD}", per_shard <= MAX_FILES_PER_SHARD)
    share = n_bytes / (4 * n_values)
    yield Figure("bytes over float32", share, "", f"<= {MAX_OF_FLOAT32}", share <= MAX_OF_FLOAT32)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=2000, help="number of videos (default: %(default)s)")
    args = parser.parse_args()
    missed = 0

    def tell(figures: Iterator[Figure]) -> None:
        nonlocal missed
        for figure in figures:
            print(figure, flush=True)
            missed += bool(figure.asked) and not figure.is_held

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = write_all(folder, args.videos)
        tell(measure_size(folder, rows))
        print("without zarrs")
        with without_zarrs():
            tell(measure_reads(folder, rows, False))
            tell(measure_load(folder, False))
            tell(measure_wait(folder, rows, False))
        if use_zarrs():
            print("with zarrs")
            tell(measure_reads(folder, rows, True))
            tell(measure_load(folder, True))
            tell(measure_wait(folder, rows, True))
        else:
            print("zarrs is not installed: not measured with it")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
