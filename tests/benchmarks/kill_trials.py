"""`kill -9` of a whole workflow at random moments: does the next call reach the same metrics?

Every trial starts from nothing in a folder of its own: videos are made, features extracted, a tiny system trained. At a
random moment of it Snakemake and all its jobs are killed; `--unlock` and a second call follow. Its metrics.json must be
that of a run without interruption, timings aside.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.workflow.run_snakemake import Workflow, require_success, without_timings

TARGET = "demo/img/metrics.json"
SYSTEM = {
    "streams": {
        "visual": {"names": ["rgb_histogram"], "standardise": True},
        "audio": {"names": ["cnn14_tiny"], "standardise": True},
        "text": {"names": ["minilm_tokens"]},
    },
    "settings": {"train": {"epochs": 4, "batch_size": 4, "accumulation": 1}},
    # A state after every step, so that most kills meet a training that can go on.
    "runtime": {"checkpoint_minutes": 0.001},
    "evaluation": {"zero_streams": []},
}
CONFIG = {"datasets": {"demo": {"generate": {"train": 6, "val": 2, "test": 2}, "systems": {"img": SYSTEM}}}}


def kill_session(leader: int) -> int:
    """Kill all processes of a session with SIGKILL; return how many."""
    n_killed = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            session = int(path.read_text().rpartition(")")[2].split()[3])
            if session == leader:
                os.kill(int(path.parent.name), signal.SIGKILL)
                n_killed += 1
        except (OSError, ValueError):
            continue
    return n_killed


def kill_and_restart(folder: Path, after_s: float) -> dict[str, Any]:
    """Kill a workflow after some seconds and finish it; return its metrics and what the kill met."""
    workflow = Workflow(folder, CONFIG)
    workflow.is_warm = False
    started = workflow.start(TARGET)
    time.sleep(after_s)
    done = (workflow.results / TARGET).is_file()
    n_killed = kill_session(started.pid)
    output, _ = started.communicate()
    met = [line.split()[1].rstrip(":") for line in output.splitlines() if line.startswith(("rule ", "localrule "))]
    workflow.run(options=("--unlock",))
    require_success(workflow.run(TARGET))
    metrics = without_timings(json.loads((workflow.results / TARGET).read_text()))
    return {"metrics": metrics, "killed": n_killed, "last": met[-1] if met else "start", "done": done}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    rng, n_same = random.Random(args.seed), 0
    with tempfile.TemporaryDirectory() as temporary:
        workflow = Workflow(Path(temporary) / "whole", CONFIG)
        workflow.folder.mkdir()
        started = time.monotonic()
        require_success(workflow.run(TARGET))
        whole_s = time.monotonic() - started
        expected = without_timings(json.loads((workflow.results / TARGET).read_text()))
        print(f"without interruption: {whole_s:.0f} s", flush=True)
        for trial in range(1, args.trials + 1):
            folder = Path(temporary) / f"trial{trial}"
            folder.mkdir()
            after_s = rng.uniform(0.05, 1.0) * whole_s
            found = kill_and_restart(folder, after_s)
            is_same = found["metrics"] == expected
            n_same += is_same
            when = (
                "after its end" if found["done"] else f"{found['killed']} processes, last job started: {found['last']}"
            )
            print(f"trial {trial}: killed after {after_s:.0f} s ({when}): {'same' if is_same else 'OTHER'}", flush=True)
    print(f"same metrics.json after kill -9 and restart: {n_same} of {args.trials}")
    return int(n_same < args.trials)


if __name__ == "__main__":
    sys.exit(main())
