"""What SLURM adds to a job, and how much of a shard job's time on its node is useful work.

A throw-away SLURM of this machine (root, slurm-wlm and munge) makes the frame plan and the extraction of one shard; the
same runs without SLURM. Jobs are first looked at after 3 s, where `profiles/slurm` waits 20 s. Three figures per job:
what the node spends beside the command (two starts of Snakemake), what the scheduler and the polling of Snakemake take
until the next job can start, and the share of the node's time in which videos were decoded, computed and written.
"""

import argparse
import re
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

from tests.slurm.slurm_workflow import SlurmWorkflow, start_cluster, stop_cluster
from tests.workflow.run_snakemake import Workflow, require_success

MADE = "demo/media/manifest.parquet"
USEFUL = ("read", "decode", "compute", "write")
MIN_SHARE = 0.95


def seconds_of(path: Path) -> dict[str, float]:
    """Return state -> seconds from the last line of an extraction's log."""
    line = next(line for line in reversed(path.read_text().splitlines()) if " s in all: " in line)
    return {state: float(seconds) for state, seconds in re.findall(r"(\w+) ([\d.]+) s[,;]", line)}


def timed(workflow: Workflow, target: str) -> float:
    started = time.monotonic()
    require_success(workflow.run(target))
    return time.monotonic() - started


def on_the_node(shown: dict[str, str]) -> float:
    """Return how long a finished SLURM job had its node."""
    start, end = (datetime.fromisoformat(shown[key]) for key in ("StartTime", "EndTime"))
    return (end - start).total_seconds()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=64, help="videos of the shard (default: %(default)s)")
    parser.add_argument("--feature", default="clip_tiny", help="visual feature (default: %(default)s)")
    parser.add_argument("--random-weights", action="store_true", help="full-size encoders then need no downloads")
    args = parser.parse_args()
    weights = {"weights": "random(0)"} if args.random_weights else {}
    generate = {"train": args.videos - 2, "val": 1, "test": 1}
    config = {
        "datasets": {"demo": {"generate": generate, "n_shards": 1}},
        "features": {args.feature: {**weights, "runtime": {"gpu": 0}}},
    }
    target = f"demo/features/{args.feature}/index.parquet"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        local = Workflow(folder / "local", config)
        local.folder.mkdir()
        local.finish(MADE)
        cluster = start_cluster(folder / "slurm")
        try:
            workflow = SlurmWorkflow(cluster, folder / "work", config)
            local.copy(workflow.folder)
            local_s = timed(local, target)
            slurm_s = timed(workflow, target)
            jobs = [job for rule in ("media", "extract_visual") for job in workflow.jobs(rule)]
            (extraction,) = workflow.jobs("extract_visual")
            node_s = on_the_node(cluster.show(extraction))
        finally:
            stop_cluster(folder / "slurm")
        results = workflow.results / "demo"
        command_s = float((results / f"benchmarks/{args.feature}/0000.tsv").read_text().splitlines()[1].split("\t")[0])
        states = seconds_of(results / f"logs/{args.feature}/0000.log")
    useful_s = sum(states[state] for state in USEFUL)
    overhead_s = node_s - useful_s
    print(f"{args.videos} videos of {args.feature}, {len(jobs)} SLURM jobs one after the other")
    print(f"local {local_s:.1f} s, SLURM {slurm_s:.1f} s: {(slurm_s - local_s) / len(jobs):.1f} s more per job")
    print(f"  of these on the node, beside the command: {node_s - command_s:.1f} s")
    print(f"shard job: {node_s:.1f} s on the node, {useful_s:.1f} s useful (load {states['load']:.1f} s)")
    needed_s = overhead_s * MIN_SHARE / (1 - MIN_SHARE)
    verdict = "held" if useful_s >= MIN_SHARE * node_s else "MISSED"
    print(
        f"useful share: {useful_s / node_s:.1%} (asked: >= {MIN_SHARE:.0%}: {verdict}; takes {needed_s:.0f} s of work)"
    )
    return int(verdict == "MISSED")


if __name__ == "__main__":
    sys.exit(main())
