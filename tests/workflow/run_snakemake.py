"""Runs the real workflow in a folder of its own and reads what Snakemake prints."""

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.warm import calls

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
CODE = ("Snakefile", "rules", "config", "workflow_scripts", "models", "profiles", "envs")
TIME_LIMIT_S = 540

# linux/prctl.h and linux/capability.h: DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER.
_DROP_FROM_BOUNDING_SET = 24
_PRIVILEGES = (1, 2, 3)
_LIBC = ctypes.CDLL(None)

_JOB = re.compile(r"^(?:local)?rule (?P<rule>\w+):\n(?P<body>(?:    .*\n)+)", re.MULTILINE)
_OUTPUT = re.compile(r"^    output: (?P<paths>.*)$", re.MULTILINE)
_SHARD_DONE = re.compile(r"(\d+) reused, (\d+) from the cache, (\d+) computed; (\d+) failed")


@dataclass(frozen=True)
class Run:
    """How one call of Snakemake ended and everything that it printed."""

    status: int
    output: str

    @property
    def is_nothing_to_do(self) -> bool:
        """Tell whether all targets were up to date."""
        return "Nothing to be done" in self.output

    @property
    def outputs(self) -> list[str]:
        """Return the outputs of all listed jobs, each without the dataset's results folder."""
        lists = [_OUTPUT.search(job["body"])["paths"] for job in _JOB.finditer(self.output)]
        return sorted(path.split("/", 2)[2] for paths in lists for path in paths.split(", "))

    @property
    def rules(self) -> Counter[str]:
        """Return how many jobs of each rule are listed."""
        return Counter(job["rule"] for job in _JOB.finditer(self.output))


class Workflow:
    """The workflow in a working folder; code and configuration stay where they are, or lie in `code/` of the folder.

    Parameters
    ----------
    folder : working folder, which receives `results/`
    config : what `--config` lays over config/config.yaml
    obeys_permissions : run without root's privilege to read and write everything

    Attributes
    ----------
    is_warm : run Snakemake and its jobs as forks of a process that has their libraries loaded (`tests.warm`)
    """

    is_warm = True

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None, obeys_permissions: bool = False) -> None:
        self.folder, self.config, self.obeys_permissions = folder, dict(config or {}), obeys_permissions
        self.environment: Mapping[str, str] = os.environ

    @property
    def results(self) -> Path:
        """Return the folder of all results."""
        return self.folder / "results"

    @property
    def code(self) -> Path:
        """Return the folder of the Snakefile."""
        own = self.folder / "code"
        return own if own.is_dir() else ROOT

    def copy_code(self) -> Path:
        """Copy code and configuration to the working folder, where a test may change them; return that folder."""
        for name in CODE:
            ignored = shutil.ignore_patterns("__pycache__")
            target, source = self.folder / "code" / name, ROOT / name
            target.parent.mkdir(exist_ok=True)
            shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
        return self.folder / "code"

    def with_config(self, config: Mapping[str, Any]) -> "Workflow":
        """Return the same folder under other settings."""
        return Workflow(self.folder, config, self.obeys_permissions)

    def copy(self, folder: Path) -> "Workflow":
        """Return a copy of everything in this folder, modification times included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workflow(folder, self.config, self.obeys_permissions)

    @property
    def options(self) -> list[str]:
        """Return what every call of Snakemake is told."""
        settings = [f"{key}={json.dumps(value)}" for key, value in self.config.items()]
        return [
            *("--snakefile", str(self.code / "Snakefile"), "--directory", str(self.folder), "--cores", "2"),
            "--printshellcmds",
            *(["--config", *settings] if settings else []),
        ]

    def command(self, *targets: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line; `targets` are below `results/`."""
        return [str(SNAKEMAKE), *options, *self.options, "--", *(f"results/{target}" for target in targets)]

    def start(self, *targets: str, options: tuple[str, ...] = ()) -> "subprocess.Popen[str] | calls.Call":
        """Start a call that leads a process group of its own."""
        return self.start_command(self.command(*targets, options=options))

    def start_command(self, command: list[str]) -> "subprocess.Popen[str] | calls.Call":
        """Start a command line of Snakemake, likewise."""
        environment = {**self.environment, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        if self.is_warm and not self.obeys_permissions:
            return calls.start(command, self.folder, environment)
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_obey_permissions_and_ctrl_c if self.obeys_permissions else _obey_ctrl_c,
        )

    def run(self, *targets: str, options: tuple[str, ...] = ()) -> Run:
        """Run to the end, or up to the first failure."""
        return wait_for_end(self.start(*targets, options=options))

    def finish(self, *targets: str) -> Run:
        """Run to the end; a failure fails the test and shows what was printed."""
        run = self.run(*targets)
        assert run.status == 0, run.output
        return run

    def plan(self, *targets: str) -> Run:
        """Ask what would run."""
        return self.run(*targets, options=("--dry-run",))

    def store_command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call `python -m workflow_scripts.store` in the working folder."""
        return subprocess.run(
            [sys.executable, "-m", "workflow_scripts.store", *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.code)},
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
        )

    def ids_of_shard(self, dataset: str, shard: str) -> list[str]:
        """Return the videos on the list of a shard."""
        lines = (self.results / dataset / "shards" / f"{shard}.tsv").read_text().splitlines()
        return [line.split("\t")[0] for line in lines]

    def reused_and_computed(self, dataset: str, feature: str) -> dict[str, tuple[int, int]]:
        """Return, by shard, how many videos (or queries) the last extraction job kept and computed."""
        counts = {}
        for log in sorted((self.results / dataset / "logs" / feature).glob("[0-9]*.log")):
            reused, cached, computed, _ = map(int, _SHARD_DONE.search(log.read_text()).groups())
            counts[log.stem] = (reused + cached, computed)
        return counts


def wait_for_end(process: subprocess.Popen[str], limit_s: float = TIME_LIMIT_S) -> Run:
    """Wait for a started call."""
    try:
        output, _ = process.communicate(timeout=limit_s)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Run(process.returncode, output)


def require_success(run: Run) -> Run:
    """Return the run; fail with what it printed if it failed."""
    assert run.status == 0, run.output
    return run


def without_timings(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a metrics file without the seconds that its jobs took."""
    provenance = {key: value for key, value in metrics["provenance"].items() if key != "wall_seconds"}
    return {**metrics, "provenance": provenance}


def _obey_ctrl_c() -> None:
    """Let the process started next heed SIGINT, which a shell makes its background jobs, and their tests, ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _obey_permissions_and_ctrl_c() -> None:
    _obey_ctrl_c()
    _give_up_privileges()


def _give_up_privileges() -> None:
    """Make what is started next obey file permissions even as root; for other users nothing changes."""
    if os.geteuid() == 0:
        for capability in _PRIVILEGES:
            _LIBC.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
