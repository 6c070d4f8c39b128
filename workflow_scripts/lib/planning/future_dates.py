"""Files that are dated in the future: Snakemake would delete and make again what is behind them at every try."""

import shlex
import time
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.lib.errors import UserError

_CLOCKS_DIFFER_S = 10.0
"""By how much the clocks of a machine and of its file server may differ."""


def refuse_future_dates(paths: Iterable[Path], made: str) -> None:
    """Refuse files that are newer than anything that can be made from them.

    Parameters
    ----------
    paths : files; those that are not there are passed over
    made : what is made from them, for the message

    Raises
    ------
    UserError
    """
    for path in paths:
        ahead_s = path.stat().st_mtime - time.time() if path.is_file() else 0.0
        if ahead_s > _CLOCKS_DIFFER_S:
            raise UserError(
                f"{path}: is dated {ahead_s:,.0f} s in the future, so that the {made} made from it always seem too old "
                f"and are deleted. Give it today's date (`touch {shlex.quote(str(path))}`), or set the clock of this "
                "machine."
            )
