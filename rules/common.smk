# Resolved configuration, wildcard constraints and input functions; no rule.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT))

from workflow_scripts.planning import plan
from workflow_scripts.errors import UserError

# Jobs find the code from whatever folder the results are in (--directory), and run this Python unless conda gives them
# theirs.
HAS_CONDA = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
PATH_PREFIX = "" if HAS_CONDA else f"export PATH={Path(sys.executable).parent}:$PATH; "
shell.prefix(f"set -euo pipefail; {PATH_PREFIX}export PYTHONPATH={ROOT}; ")


class ReadablePlan:
    """The plan, with a mistake in the configuration ending as one readable message."""

    def __init__(self):
        self._plan = self._readable(plan.Plan)(config, ROOT / "config")

    def __getattr__(self, name):
        return self._readable(getattr(self._plan, name))

    @staticmethod
    def _readable(function):
        def ask(*args):
            try:
                return function(*args)
            except UserError as error:
                raise WorkflowError(str(error)) from None

        return ask


# `ancient()` only ever stands before files that no rule makes (settings, written by the plan) and before the manifest,
# which gates extraction: Snakemake does not look for other reasons to run a job below an ancient input that is remade.
PLAN = ReadablePlan()


wildcard_constraints:
    dataset="[a-z0-9_]+",
    feature="[a-z0-9_]+",
    system="[a-z0-9_]+",
    shard="[0-9]+",
    seed="[0-9]+",
    split="[a-z0-9_]+",


def one_of(names):
    """Return a wildcard pattern that matches exactly these names (nothing if there are none)."""
    return "|".join(names) or "(?!)"
