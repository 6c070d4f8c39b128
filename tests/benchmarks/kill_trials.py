"""`kill -9` at random moments of a workflow, an import or a prediction: does the next call reach the same result?

Every trial of a workflow starts from nothing in a folder of its own: videos are made, features extracted, a tiny system
trained. At a random moment of it Snakemake and all its jobs are killed; `--unlock` and a second call follow. Its
metrics.json must be that of a run without interruption, timings aside. With `--imports` the job that imports one shard
is killed instead, and the digest of everything in the shard is compared; with `--predictions` a prediction of the test
split, one query at a time, and the bytes of all its tables.
"""

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.imports import import_all, make_rows
from tests.unit.made_results import make_results
from tests.workflow.run_snakemake import Workflow, require_success, without_timings
from workflow_scripts import predict, train
from workflow_scripts.lib.store.shard_store import read_shard_index
from workflow_scripts.lib.training.answer_journal import AnswerJournal

TARGET = "demo/img/metrics.json"
IMPORTED_VIDEOS = 200
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


def start(job: Callable[[Path], None], folder: Path) -> int:
    """Run a job in a fork, which has the libraries loaded; return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            job(folder)
            status = 0
        finally:
            os._exit(status)
    return child


def killed_jobs(
    job: Callable[[Path], None], result: Callable[[Path], Any], folder: Path, n_trials: int, rng: random.Random
) -> int:
    """Kill a job at random moments and finish it; return how often its result then is that of an undisturbed one.

    Parameters
    ----------
    job : makes something in a folder
    result : what it made there
    """

    def finished(place: Path) -> Any:
        _, status = os.waitpid(start(job, place), 0)
        return None if status else result(place)

    started, n_same = time.monotonic(), 0
    expected = finished(folder / "whole")
    if expected is None:
        sys.exit("the job fails without a kill")
    whole_s = time.monotonic() - started
    for trial in range(1, n_trials + 1):
        place = folder / f"trial{trial}"
        child = start(job, place)
        time.sleep(rng.uniform(0, whole_s))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        left = " ".join(sorted(path.name.split("-")[0] for path in place.glob("*"))) or "nothing"
        is_same = finished(place) == expected
        n_same += is_same
        end = "killed" if status else "after its end"
        print(f"trial {trial}: {end}, there was {left}: {'same' if is_same else 'OTHER'}", flush=True)
    return n_same


def killed_imports(folder: Path, n_trials: int, rng: random.Random) -> int:
    """Kill imports of one shard; return how many then are as an undisturbed one."""
    files, table = make_rows(folder, IMPORTED_VIDEOS)

    def shard(feature: Path) -> str:
        return read_shard_index(feature / "0000.zarr")[0]["generation"]

    return killed_jobs(lambda feature: import_all(feature, files, table, 1), shard, folder, n_trials, rng)


def killed_predictions(folder: Path, n_trials: int, rng: random.Random) -> int:
    """Kill predictions of a tiny system; return how many then are as an undisturbed one."""
    os.environ["OMP_NUM_THREADS"] = "1"
    settings = make_results(folder / "made")
    content = json.loads(settings.read_text())
    content["config"]["evaluation"]["batch_size"] = 1
    settings.write_text(json.dumps(content))
    given = ["--settings", str(settings), "--seed", "0", "--out"]
    # A line of answers after every batch, so that most kills meet a prediction that can go on.
    AnswerJournal.__init__.__defaults__ = (0.0,)

    def run(main: Callable[[], None], *arguments: str) -> None:
        sys.argv = ["job", *given, *arguments]
        main()

    training = start(lambda out: run(train.main, str(out), "--key", "k"), folder / "seed0")
    if os.waitpid(training, 0)[1]:
        sys.exit("the training fails")
    checkpoint = folder / "seed0" / "checkpoint.safetensors"

    def job(out: Path) -> None:
        run(predict.main, str(out), "--checkpoint", str(checkpoint), "--split", "test")

    def tables(out: Path) -> dict[str, bytes]:
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}

    return killed_jobs(job, tables, folder, n_trials, rng)


def killed_workflows(folder: Path, n_trials: int, rng: random.Random) -> int:
    """Kill workflows at random moments and finish them; return how many then have the metrics of an undisturbed one."""
    workflow, n_same = Workflow(folder / "whole", CONFIG), 0
    workflow.folder.mkdir()
    started = time.monotonic()
    require_success(workflow.run(TARGET))
    whole_s = time.monotonic() - started
    expected = without_timings(json.loads((workflow.results / TARGET).read_text()))
    print(f"without interruption: {whole_s:.0f} s", flush=True)
    for trial in range(1, n_trials + 1):
        (folder / f"trial{trial}").mkdir()
        after_s = rng.uniform(0.05, 1.0) * whole_s
        found = kill_and_restart(folder / f"trial{trial}", after_s)
        is_same = found["metrics"] == expected
        n_same += is_same
        when = "after its end" if found["done"] else f"{found['killed']} processes, last job started: {found['last']}"
        print(f"trial {trial}: killed after {after_s:.0f} s ({when}): {'same' if is_same else 'OTHER'}", flush=True)
    return n_same


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--trials", type=int, default=10, help="kills (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--imports", action="store_true", help="kill imports, not whole workflows")
    parser.add_argument("--predictions", action="store_true", help="kill predictions, not whole workflows")
    args = parser.parse_args()
    kill = killed_imports if args.imports else killed_predictions if args.predictions else killed_workflows
    with tempfile.TemporaryDirectory() as temporary:
        n_same = kill(Path(temporary), args.trials, random.Random(args.seed))
    what = "an import" if args.imports else "a prediction" if args.predictions else "everything"
    same = Figure(f"same result after `kill -9` of {what} and another call", n_same, "", "larger", args.trials)
    return tell([same], args.json)


if __name__ == "__main__":
    sys.exit(main())
