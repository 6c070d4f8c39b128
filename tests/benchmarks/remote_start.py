"""Processor time in which a job plans a dataset of few videos and of many: python -m tests.benchmarks.remote_start.

A job on a cluster plans anew. It takes the shard lists for true; `listing the folder` is what a main process does.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.dry_run import DATASET, make_dataset
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from workflow_scripts.lib.planning.plan import Plan

MAX_APART_S = 0.3


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, nargs=2, default=(100, 200_000), help="sizes of the datasets")
    parser.add_argument("--repeat", type=int, default=3, help="the least of so many measurements is shown")
    args = parser.parse_args()
    return tell(measured(args.videos, args.repeat), args.json)


def measured(sizes: tuple[int, int], n_times: int) -> Iterator[Figure]:
    """Yield by how much the larger takes more."""
    found = []
    for n_videos in sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_dataset(Path(folder), n_videos)
            os.chdir(folder)
            planned(trusts_lists=False)
            listing, trusting = (min(planned(trusts) for _ in range(n_times)) for trusts in (False, True))
            print(
                f"{n_videos} videos: listing the folder {listing:.3f} s, trusting the lists {trusting:.3f} s",
                flush=True,
            )
            found.append(trusting)
            os.chdir("/")
    what = f"planning in a job of its own: processor time that {sizes[1]:,} videos take more than {sizes[0]:,}"
    yield Figure(what, found[1] - found[0], "s", asked=MAX_APART_S, is_compared=False)


def planned(trusts_lists: bool) -> float:
    """Return the processor time of a plan that knows its shards."""
    started = time.process_time()
    plan = Plan({"device": "cpu"}, Path("config"), trusts_lists=trusts_lists)
    plan.datasets.per_shard(DATASET, "media/{shard}.parquet")
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
