"""Processor time in which a job plans a dataset of few videos and of many: python -m tests.benchmarks.remote_start.

A job on a cluster plans anew. It takes the shard lists for true; `listing the folder` is what a main process does.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.benchmarks.dry_run import DATASET, make_dataset
from workflow_scripts.lib.planning.plan import Plan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[100, 200_000], help="sizes of the dataset")
    parser.add_argument("--repeat", type=int, default=3, help="the least of so many measurements is shown")
    args = parser.parse_args()
    for n_videos in args.videos:
        with tempfile.TemporaryDirectory() as folder:
            make_dataset(Path(folder), n_videos)
            os.chdir(folder)
            planned(trusts_lists=False)
            found = {
                title: min(planned(trusts_lists) for _ in range(args.repeat))
                for title, trusts_lists in (("listing the folder", False), ("trusting the lists", True))
            }
            times = ", ".join(f"{title} {seconds:.2f} s" for title, seconds in found.items())
            print(f"{n_videos} videos: {times}", flush=True)
            os.chdir("/")


def planned(trusts_lists: bool) -> float:
    """Return the processor time of a plan that knows its shards."""
    started = time.process_time()
    plan = Plan({"device": "cpu"}, Path("config"), trusts_lists=trusts_lists)
    plan.datasets.per_shard(DATASET, "media/{shard}.parquet")
    return time.process_time() - started


if __name__ == "__main__":
    main()
