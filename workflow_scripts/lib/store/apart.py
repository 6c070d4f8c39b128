"""Feature files read in a process of their own: what kills that, or keeps it, costs one file and not the job."""

import os
import subprocess
import sys
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.foreign.boundary import UnreadableFile

_ROOT = Path(__file__).resolve().parents[3]
_PATIENCE_S, _SLOWEST_BYTES_PER_S = 60.0, 10**6
_START_S = 300.0


class SourceApart:
    """A `FeatureSource` in another process.

    Parameters
    ----------
    path, layout, key : as of `open_source`

    Raises
    ------
    UserError
        If it cannot be opened.

    Notes
    -----
    The libraries of hdf5 and lmdb are written in C and trust what they read: some damaged files end or hang them.
    """

    def __init__(self, path: Path, layout: str, key: str | None) -> None:
        self._path, self._arguments = path, (path, layout, key)
        try:
            self._start()
        except UserError:
            self._stop()
            raise

    def digest(self, name: str) -> str | None:
        """Return the digest of a file's or entry's content, None if there is none of this name."""
        try:
            return self._ask("digest", name)
        except UnreadableFile as error:
            return f"unreadable: {error}"

    def read(self, name: str) -> np.ndarray:
        """Return float (T, D).

        Raises
        ------
        UnreadableFile
        """
        return self._ask("read", name)

    def example(self) -> str | None:
        """Return a name that does exist, None if there is none."""
        return self._ask("example")

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
            environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, env=environment
            )
        self._answer(self._arguments, str(self._path), _START_S)

    def _ask(self, *question: str) -> Any:
        if self._connection.closed:
            self._start()
        where = question[-1]
        file = self._path if self._path.is_file() else self._path / where
        size = file.stat().st_size if file.is_file() else 0
        return self._answer(question, where, _PATIENCE_S + size / _SLOWEST_BYTES_PER_S)

    def _answer(self, question: tuple, where: str, patience_s: float) -> Any:
        """Return the answer to a question, or raise what was raised there."""
        try:
            self._connection.send(question)
            if not self._connection.poll(patience_s):
                self._stop()
                raise UnreadableFile(f"{where}: damaged, reading it does not come to an end")
            answer = self._connection.recv()
        except (EOFError, ConnectionError) as error:
            self._stop()
            raise UnreadableFile(f"{where}: damaged, reading it ends the program that reads it") from error
        if isinstance(answer, UserError):
            raise type(answer)(str(answer))
        return answer

    def _stop(self) -> None:
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def __del__(self) -> None:
        if hasattr(self, "_process"):
            self._stop()


def answer_questions(connection: Connection) -> None:
    """Open the source that is asked for and answer questions about it until nobody asks any more."""
    from workflow_scripts.lib.store.feature_files import open_here

    source = None
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        try:
            if source is None:
                source = open_here(*question)
                connection.send(None)
            else:
                connection.send(getattr(source, question[0])(*question[1:]))
        except UserError as error:
            connection.send(error)


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as channel:
        answer_questions(channel)
