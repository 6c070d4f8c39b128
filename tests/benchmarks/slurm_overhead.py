"""What SLURM adds to an extraction job, and how much work makes that small.

A throw-away SLURM of this machine (root, slurm-wlm and munge) makes the frame plans and the shards of one feature, all
of them in one job (`runtime.shards_per_job`); the same runs without SLURM. Told is what the node spends beside the
command (two starts of Snakemake), what it spends beside decoding, computing and writing videos, and how much work a job
must have so that 95 % of the node's time are work. That is less than what a job is given (`planning/batch_sizes.py`).
"""

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.slurm.slurm_workflow import SlurmWorkflow, start_cluster, stop_cluster
from tests.workflow.run_snakemake import Workflow, require_success
from workflow_scripts.lib.planning.batch_sizes import WORK_S

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


def measured(feature: str, n_videos: int, n_shards: int, weights: dict[str, str]) -> Iterator[Figure]:
    """Yield what SLURM adds to the job that makes all shards of a feature, and how much work makes that small."""
    generate = {"train": n_videos - 2, "val": 1, "test": 1}
    runtime = {"gpu": 0, "shards_per_job": n_shards}
    config = {
        "datasets": {"demo": {"generate": generate, "n_shards": n_shards}},
        "features": {feature: {**weights, "runtime": runtime}},
    }
    target, job_name = f"demo/features/{feature}/index.parquet", f"0000-{n_shards - 1:04d}" if n_shards > 1 else "0000"
    rule = "extract_visual_batch" if n_shards > 1 else "extract_visual"
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
            (extraction,) = workflow.jobs(rule)
            node_s = on_the_node(cluster.show(extraction))
        finally:
            stop_cluster(folder / "slurm")
        results = workflow.results / "demo"
        command_s = float((results / f"benchmarks/{feature}/{job_name}.tsv").read_text().splitlines()[1].split("\t")[0])
        states = seconds_of(results / f"logs/{feature}/{job_name}.log")
    useful_s = sum(states[state] for state in USEFUL)
    print(f"local {local_s:.1f} s, SLURM {slurm_s:.1f} s; {node_s:.1f} s on the node, {useful_s:.1f} s of them work")
    what = f"SLURM: {feature}, a job of {n_shards} shards"
    yield Figure(f"{what}: beside the command on the node", node_s - command_s, "s", is_compared=False)
    yield Figure(f"{what}: beside the work on the node", node_s - useful_s, "s", is_compared=False)
    yield Figure(
        f"{what}: work of which {MIN_SHARE:.0%} of the node's time are work",
        (node_s - useful_s) * MIN_SHARE / (1 - MIN_SHARE),
        "s",
        asked=WORK_S,
        is_compared=False,
    )


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=64, help="videos of all shards (default: %(default)s)")
    parser.add_argument("--shards", type=int, default=4, help="shards that one job makes (default: %(default)s)")
    parser.add_argument("--feature", default="clip_tiny", help="visual feature (default: %(default)s)")
    parser.add_argument("--random-weights", action="store_true", help="full-size encoders then need no downloads")
    args = parser.parse_args()
    weights = {"weights": "random(0)"} if args.random_weights else {}
    return tell(measured(args.feature, args.videos, args.shards, weights), args.json)


if __name__ == "__main__":
    sys.exit(main())
