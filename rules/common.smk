# Resolved configuration, wildcard constraints and input functions; no rule.
import re
import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod
from snakemake_interface_executor_plugins.executors.real import RealExecutor

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from workflow_scripts.lib.errors import UserError, ending_readably
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.planning.preflight import refusal
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS as TASKS
from workflow_scripts.lib.planning.working_folder import (
    full_disk_message,
    require_writable,
    shell_prefix,
)

# Jobs find the code from whatever folder the results are in (--directory), and run this Python unless conda gives them
# theirs.
HAS_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
shell.prefix(shell_prefix(ROOT, None if HAS_CONDA else Path(sys.executable).parent))


def with_quoted_python(write_command):
    """Return what writes the command of a job elsewhere, with the path of Python quoted, which Snakemake leaves out."""

    def ask(executor, job):
        command = write_command(executor, job)
        return command.replace(
            f"{sys.executable} -m", f"{shlex.quote(sys.executable)} -m", 1
        )

    return ask


if shlex.quote(sys.executable) != sys.executable:
    RealExecutor.format_job_exec = with_quoted_python(RealExecutor.format_job_exec)


def fetch_first(file):
    """Tell Snakemake that nothing more can be planned before this annotation file is there."""
    checkpoints.fetch_annotations.get(file=file)


def readable(function):
    """Return the function with a mistake in the configuration or the data folders ending as one readable message."""

    # Snakemake wraps every exception of an input function in its own words and a traceback, but lets an exit pass.
    def ask(*args, **names):
        with ending_readably():
            return function(*args, **names)

    return ask


class ReadablePlan:
    """The parts of the plan, all questions to them readable; the first one that a job graph asks waits for the check.

    What was found once is kept as an attribute: the rules ask some questions for every job.
    """

    def __init__(self):
        readable(require_writable)(Path())
        # A job of its own, as on a cluster, is started by a process that has listed the videos.
        self._plan = readable(Plan)(
            config,
            ROOT / "config",
            fetch_first,
            trusts_lists=not workflow.is_main_process,
        )
        self._is_checked = not workflow.is_main_process

    def __getattr__(self, part):
        # Snakemake knows what it is asked for, and whether it is to run jobs, only after the rules are read.
        if not self._is_checked and workflow.executor_plugin and not workflow.touch:
            self._is_checked = True
            readable(check_preflight)()
        found = ReadablePart(getattr(self._plan, part))
        if self._is_checked:
            self.__dict__[part] = found
        return found


class ReadablePart:
    """One part of the plan."""

    def __init__(self, part):
        self._part = part

    def __getattr__(self, name):
        self.__dict__[name] = readable(getattr(self._part, name))
        return self.__dict__[name]


# `ancient()` only ever stands before files that no rule makes (settings, written by the plan) and before the manifest,
# which gates extraction: Snakemake does not look for other reasons to run a job below an ancient input that is remade.
PLAN = ReadablePlan()


# Shards that one job makes: 0008-0011. Features that one job makes: clip_b32+vgg16.
BATCH = "[0-9]+-[0-9]+"
PASS = r"[a-z0-9_]+(\+[a-z0-9_]+)+"


wildcard_constraints:
    dataset="[a-z0-9_]+",
    feature="[a-z0-9_]+",
    system="[a-z0-9_]+",
    shard="[0-9]+",
    seed="[0-9]+",
    split="[a-z0-9_]+",


def is_kept(path):
    """Tell whether a file that can be fetched is there, and is not the target of this call."""
    # Snakemake knows its targets only after the rules are read.
    return Path(path).is_file() and path not in sys.argv


def kept_weights():
    """Return the names of the weights files that are there and are not the target of this call."""
    return [
        file.name for file in PLAN.downloads.present_weights() if is_kept(str(file))
    ]


def one_of(names):
    """Return a wildcard pattern that matches exactly these names (nothing if there are none)."""
    return "|".join(names) or "(?!)"


def print_if_disk_is_full():
    """Say so if the results folder has no space left: the log of a failed job is empty then."""
    message = full_disk_message(Path("results"))
    if message:
        print(f"error: {message}", file=sys.stderr)


def check_preflight():
    """Say before any job what its targets need and lack, and start nothing that cannot succeed."""
    asked = workflow.dag_settings.targets or rules.all.input
    blocking, lines = PLAN.preflight.message(map(str, asked), workflow.local_exec)
    if blocking and not workflow.dryrun and PLAN.preflight.refuses():
        raise UserError(refusal(blocking, lines))
    lines += PLAN.passes.form(map(str, asked), is_dry=workflow.dryrun)
    for line in [*blocking, *lines]:
        print(f"preflight: {line}", file=sys.stderr)
