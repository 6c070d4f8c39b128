"""Peak memory of an extraction job's store side, as videos and rows become more: a video's share, not a shard's.

Rows are made here, float32 as networks give them; each case is a process of its own.
"""

import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.store.shard_job import Computed, Wanted, update_shard

N_ROWS = 150
MIB = 2**20


def computed(ids: Iterable[str], dim: int) -> Iterator[Computed]:
    """Yield rows of a video after the other."""
    times = np.stack([np.arange(N_ROWS), np.arange(N_ROWS) + 1], axis=1)
    for video_id in ids:
        rng = np.random.default_rng(int(video_id))
        yield Computed(video_id, rng.standard_normal((N_ROWS, dim), np.float32), times)


def peak_mib() -> float:
    """Return the most memory that this process had so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MIB


def run_job(path: Path, n_videos: int, dim: int) -> list[float]:
    """Make a shard, then one more video of it; return by how much the peak grew until each, MiB."""
    before, added = peak_mib(), []
    for n_wanted in (n_videos - 1, n_videos):
        wanted = [Wanted(f"{number:04d}", str(number)) for number in range(n_wanted)]
        update_shard(path, wanted, {"made": dim}, "float16", dim, lambda ids: computed(ids, dim), None)
        added.append(peak_mib() - before)
    return added


def measured(numbers: list[int], dim: int) -> Iterator[Figure]:
    """Yield what a job's peak adds to its start, with so many videos; each in a process of its own."""
    video_mib = N_ROWS * dim * 2 / MIB
    with tempfile.TemporaryDirectory() as folder:
        for number, n_videos in enumerate(numbers):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                added = pool.submit(run_job, Path(folder) / f"{number}.zarr", n_videos, dim).result()
            for what, mib in zip(("a shard", "a video added"), added, strict=True):
                title = f"a job's memory for {n_videos} videos of {video_mib:.0f} MiB, {what}: peak over the start"
                yield Figure(title, mib, "MiB")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--dim", type=int, default=72_000, help="numbers of a row; BLIP-2's tokens have 361,856")
    parser.add_argument("--videos", type=int, nargs="+", default=[6, 24, 48])
    args = parser.parse_args()
    return tell(measured(args.videos, args.dim), args.json)


if __name__ == "__main__":
    sys.exit(main())
