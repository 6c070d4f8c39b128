"""The workflow on a real, throw-away SLURM of one machine, and what the scheduler says about its jobs."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.workflow.run_snakemake import ROOT, SNAKEMAKE, Workflow

SCRIPTS = Path(__file__).with_name("cluster")
FOR_THIS_CLUSTER = (
    *("--profile", str(ROOT / "profiles/slurm")),
    # No accounting database here; files appear at once, and jobs take seconds.
    *("--slurm-status-command", "squeue", "--slurm-no-account"),
    *("--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5"),
)
WAIT_S = 600


@dataclass(frozen=True)
class Cluster:
    """A running SLURM: two nodes without GPUs, one with a pretended one."""

    folder: Path
    environment: Mapping[str, str]

    def ask(self, *command: str) -> str:
        """Return what a SLURM command prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return done.stdout

    def jobs(self, folder: Path, rule: str, states: str) -> list[str]:
        """Return the ids of the jobs of a rule (or of a group) of one workflow in these states, oldest first."""
        lines = self.ask("squeue", "--noheader", f"--states={states}", "--format=%i|%k|%Z").splitlines()
        found = (line.split("|") for line in lines)
        return sorted(
            (job for job, comment, place in found if f"rule_{rule}" in comment and place == str(folder)), key=int
        )

    def show(self, job: str) -> dict[str, str]:
        """Return the fields of a job."""
        return dict(re.findall(r"(\S+?)=(\S*)", self.ask("scontrol", "show", "job", job)))

    @property
    def is_empty(self) -> bool:
        """Tell whether no job waits or runs."""
        return not self.ask("squeue", "--noheader", "--format=%i").strip()

    def stop_processes(self, job: str, name: str) -> None:
        """Hold the processes of a job in whose command this name stands."""
        for process in _processes_of(job, ""):
            if name in Path(f"/proc/{process}/cmdline").read_text().split("\0"):
                os.kill(process, signal.SIGSTOP)

    def kill_node(self, node: str, job: str) -> None:
        """Let a node die with everything that it runs of a job."""
        for process in [*_processes_of(job, "slurmstepd"), *_processes_of(job, "")]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        os.kill(int((self.folder / f"slurmd-{node}.pid").read_text()), signal.SIGKILL)

    def revive_node(self, node: str) -> None:
        """Start the daemon of a node that was killed."""
        subprocess.run(
            ["slurmd", "-N", node, "-f", self.environment["SLURM_CONF"]],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        wait_until(lambda: "NOT_RESPONDING" not in self.ask("scontrol", "show", "node", node), "an answering node")
        self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")


class SlurmWorkflow(Workflow):
    """The workflow in a folder of its own, whose jobs run on the cluster."""

    is_warm = False

    def __init__(self, cluster: Cluster, folder: Path, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(folder, config)
        self.cluster = cluster
        self.environment = dict(cluster.environment)
        self.snakemake = [str(SNAKEMAKE)]

    def command(self, *targets: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line under profiles/slurm."""
        local = super().command(*targets, options=options)
        cores = local.index("--cores")
        return [*self.snakemake, *local[1:cores], *FOR_THIS_CLUSTER, *local[cores + 2 :]]

    def jobs(self, rule: str, states: str = "all") -> list[str]:
        """Return the ids of this workflow's jobs of a rule (or of a group) in these states, oldest first."""
        return self.cluster.jobs(self.folder, rule, states)


def small_demo(n_videos: int = 6, n_shards: int = 1, **sections: Any) -> dict[str, Any]:
    """Return settings with a demo of this size."""
    generate = {"train": n_videos - 2, "val": 1, "test": 1}
    return {"datasets": {"demo": {"generate": generate, "n_shards": n_shards, **sections}}}


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = WAIT_S) -> Any:
    """Return the first true answer; fail if there is none in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.2)
    raise AssertionError(f"{what}: not within {limit_s:.0f} s")


def finished_videos(folder: Path) -> int:
    """Return how many videos' rows a job, or a cache, has put aside."""
    from workflow_scripts.lib.store.journal import Journal

    return len(list(folder.rglob("*.npz"))) + sum(len(Journal(path)) for path in folder.rglob("*.journal"))


def read_index(workflow: Workflow, feature: str) -> dict[str, Any]:
    """Return every stored row of a feature by video."""
    from workflow_scripts.lib.store.feature_store import FeatureStore

    store = FeatureStore(workflow.results / "demo/features" / feature)
    return {video_id: store[video_id].values for video_id in sorted(store)}


def _processes_of(job: str, name: str) -> list[int]:
    """Return the processes of a job: its daemons (`slurmstepd`), or what these started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
            environment = (folder / "environ").read_bytes().split(b"\0")
            is_daemon = command.startswith(f"slurmstepd: [{job}.")
            if is_daemon if name else f"SLURM_JOB_ID={job}".encode() in environment:
                found.append(int(folder.name))
    return found


def start_cluster(folder: Path) -> Cluster:
    """Start SLURM with its state below a folder."""
    settings = {"SLURM_TEST_NODES": "2", "SLURM_TEST_CPUS": "4", "SLURM_TEST_MEM": "32000", "SLURM_TEST_GPUS": "1"}
    started = subprocess.run(
        ["bash", str(SCRIPTS / "start.sh"), str(folder)],
        env=os.environ | settings,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    exports = f"{started.stdout}\nenv -0"
    shell = subprocess.run(["bash", "-c", exports], capture_output=True, text=True, check=True)
    return Cluster(folder, dict(entry.split("=", 1) for entry in shell.stdout.split("\0") if "=" in entry))


def stop_cluster(folder: Path) -> None:
    """Stop what `start_cluster` started; nothing else."""
    subprocess.run(["bash", str(SCRIPTS / "stop.sh"), str(folder)], check=True)
