"""Programs that stand in for others in tests."""

import shlex
import sys
from pathlib import Path


def write_program(path: Path, code: str) -> None:
    """Write Python code as a program, for an interpreter in whatever folder: `#!` takes no path with blanks."""
    path.with_suffix(".py").write_text(code)
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(path.with_suffix(".py")))} "$@"\n')
    path.chmod(0o755)
