"""Runs the real workflow in a folder of its own and reads what Snakemake prints."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
TIME_LIMIT_S = 540

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
    """The workflow in a working folder; code and configuration stay where they are.

    Parameters
    ----------
    folder : working folder, which receives `results/`
    config : what `--config` lays over config/config.yaml
    user : id of the user to run as; None: the present one
    """

    def __init__(self, folder: Path, config: Mapping[str, Any] | None = None, user: int | None = None) -> None:
        self.folder, self.config, self.user = folder, dict(config or {}), user

    @property
    def results(self) -> Path:
        """Return the folder of all results."""
        return self.folder / "results"

    def with_config(self, config: Mapping[str, Any]) -> "Workflow":
        """Return the same folder under other settings."""
        return Workflow(self.folder, config, self.user)

    def copy(self, folder: Path) -> "Workflow":
        """Return a copy of everything in this folder, modification times included."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workflow(folder, self.config, self.user)

    def command(self, *targets: str, options: tuple[str, ...] = ()) -> list[str]:
        """Return the command line; `targets` are below `results/`."""
        settings = [f"{key}={json.dumps(value)}" for key, value in self.config.items()]
        return [
            *(str(SNAKEMAKE), "--snakefile", str(ROOT / "Snakefile"), "--directory", str(self.folder), "--cores", "2"),
            *options,
            *(["--config", *settings] if settings else []),
            "--",
            *(f"results/{target}" for target in targets),
        ]

    def run(self, *targets: str, options: tuple[str, ...] = ()) -> Run:
        """Run to the end, or up to the first failure."""
        done = subprocess.run(
            self.command(*targets, options=options),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIME_LIMIT_S,
            **({} if self.user is None else {"user": self.user, "group": self.user, "extra_groups": []}),
        )
        return Run(done.returncode, done.stdout)

    def plan(self, *targets: str) -> Run:
        """Ask what would run."""
        return self.run(*targets, options=("--dry-run",))

    def environment(self) -> dict[str, str]:
        """Return the environment of a call: one thread per job, no look-ups, a home that the user may write."""
        made = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        if self.user is not None:
            made |= {"HOME": str(self.folder), "XDG_CACHE_HOME": str(self.folder / ".cache")}
        return made

    def reused_and_computed(self, dataset: str, feature: str) -> dict[str, tuple[int, int]]:
        """Return, by shard, how many videos (or queries) the last extraction job kept and computed."""
        counts = {}
        for log in sorted((self.results / dataset / "logs" / feature).glob("[0-9]*.log")):
            reused, cached, computed, _ = map(int, _SHARD_DONE.search(log.read_text()).groups())
            counts[log.stem] = (reused + cached, computed)
        return counts
