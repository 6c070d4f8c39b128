"""Peak memory of an extraction job's store side, as videos and rows become more: a video's share, not a shard's.

Rows are made here, float32 as networks give them; each case is a process of its own.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

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


def run_job(path: Path, n_videos: int, dim: int) -> None:
    """Make a shard, then one more video of it, and print how much the peak grew by both."""
    before, added = peak_mib(), []
    for n_wanted in (n_videos - 1, n_videos):
        wanted = [Wanted(f"{number:04d}", str(number)) for number in range(n_wanted)]
        update_shard(path, wanted, {"made": dim}, "float16", dim, lambda ids: computed(ids, dim), None)
        added.append(peak_mib() - before)
    video, shard = (n * N_ROWS * dim * 2 / MIB for n in (1, n_videos))
    print(
        f"{n_videos} videos of {video:.0f} MiB, shard of {shard:.0f} MiB: peak {added[0]:.0f} MiB over the start, "
        f"{added[1]:.0f} with a video added ({added[0] / shard:.1f} and {added[1] / shard:.1f} times the shard)",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=72_000, help="numbers of a row; BLIP-2's tokens have 361,856")
    parser.add_argument("--videos", type=int, nargs="+", default=[6, 24, 48])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number, n_videos in enumerate(args.videos):
            job = multiprocessing.get_context("spawn").Process(
                target=run_job, args=(Path(folder) / f"{number}.zarr", n_videos, args.dim)
            )
            job.start()
            job.join()
            if job.exitcode:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
