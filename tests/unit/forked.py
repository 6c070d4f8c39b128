"""Entry points in processes of their own that need not import the libraries again: forks of one that has only that."""

import logging
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = ("numpy", "pyarrow.parquet", "pydantic", "yaml", "av", "zarr", "torch")
TIMEOUT_S = 120

# Not forks of the test itself: its libraries may hold locks for threads that the fork does not have.
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(list(LIBRARIES))


def run_forked(
    name: str, *arguments: object, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess:
    """Run `python -m workflow_scripts.<name>` as a fork, and return its status and what it printed.

    Parameters
    ----------
    name : of the entry point
    arguments : its command line
    cwd : its working folder
    env : its environment, or that of the test
    """
    words = [f"workflow_scripts.{name}", *map(str, arguments)]
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, stream) for stream in ("out", "err")]
        process = SERVER.Process(target=_become, args=(words, files, cwd, dict(os.environ if env is None else env)))
        process.start()
        process.join(TIMEOUT_S)
        if process.is_alive():
            process.kill()
            process.join()
        return subprocess.CompletedProcess(words, process.exitcode, *(file.read_text() for file in files))


def _become(words: list[str], files: list[Path], cwd: Path, env: Mapping[str, str]) -> None:
    for descriptor, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = (open(place, "w", closefd=False) for place in (1, 2))  # noqa: SIM115
    logging.root.handlers.clear()
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = list(words)
    status = 1
    try:
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
