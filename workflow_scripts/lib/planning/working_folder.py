"""The folder in which the workflow runs."""

import errno
import os
import shlex
import shutil
from pathlib import Path

from workflow_scripts.lib.errors import UserError, explain_os_error

ROOM_FOR_A_LOG = 64 * 1024
"""Bytes; with less space left a job may be unable to say what is wrong."""


def require_writable(folder: Path) -> None:
    """Check that Snakemake can keep its records here; not even a dry run does without.

    Raises
    ------
    UserError
        it cannot
    """
    records = folder / ".snakemake"
    blocked = records if records.exists() else folder
    if not os.access(blocked, os.W_OK | os.X_OK):
        raise UserError(
            f"no permission for {blocked.absolute()}. Give this user access to it, or work in a folder of your own "
            "(--directory)."
        )


def shell_prefix(code: Path, programs: Path | None) -> str:
    """Return what every job's shell does first, as `shell.prefix` of Snakemake takes it.

    Parameters
    ----------
    code : Path
        Folder of the workflow, from which jobs import whatever folder the results are in.
    programs : Path or None
        Folder of the Python that jobs run; None: conda gives them theirs.
    """
    steps = ["set -euo pipefail", f"export PYTHONPATH={shlex.quote(str(code))}"]
    if programs is not None:
        steps.insert(1, f'export PATH={shlex.quote(str(programs))}:"$PATH"')
    # Snakemake fills in what stands in braces.
    return "; ".join(steps).replace("{", "{{").replace("}", "}}") + "; "


def full_disk_message(folder: Path) -> str | None:
    """Return what to tell a person if the disk is so full that failed jobs could not do it, else None."""
    if not folder.is_dir() or shutil.disk_usage(folder).free >= ROOM_FOR_A_LOG:
        return None
    return explain_os_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.absolute())))
