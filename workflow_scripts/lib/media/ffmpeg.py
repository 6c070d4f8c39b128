"""The ffmpeg program: where it is, and running it as a bounded pipe."""

import collections
import contextlib
import functools
import os
import shlex
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import ffmpeg as ffmpeg_python
import imageio_ffmpeg

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.media_error import DecodeError

ENVIRONMENT_VARIABLE = "MOMENTFLOW_FFMPEG"
_STDERR_LINES = 20


def ffmpeg_exe(override: str | None = None) -> str:
    """Return the ffmpeg program to use.

    Parameters
    ----------
    override : str, optional
        A path or a name on PATH; without it the environment variable MOMENTFLOW_FFMPEG decides, and without that the
        program that comes with the `imageio-ffmpeg` package.

    Raises
    ------
    UserError
        If the program cannot be run.
    """
    chosen = override or os.environ.get(ENVIRONMENT_VARIABLE)
    if chosen:
        return _checked(chosen, f"correct {ENVIRONMENT_VARIABLE}, or unset it to use the program that was installed")
    try:
        bundled = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        bundled = "ffmpeg"
    return _checked(bundled, f"install ffmpeg 7 or newer and set {ENVIRONMENT_VARIABLE} to its path")


@functools.cache
def _checked(program: str, remedy: str) -> str:
    try:
        answer = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"ffmpeg: cannot run {program!r} ({error}); {remedy}.") from None
    if answer.returncode != 0 or not answer.stdout.startswith("ffmpeg version"):
        said = (answer.stderr or answer.stdout).strip()[:200]
        raise UserError(f"ffmpeg: {program!r} does not answer as ffmpeg does ({said!r}); {remedy}.")
    return program


def file_url(path: Path | str) -> str:
    """Return `path` in the form in which ffmpeg takes it literally, whatever characters it starts with or holds."""
    return f"file:{path}"


def read_blocks(stream: Any, block_bytes: int, program: str | None = None) -> Generator[bytearray, None, None]:
    """Run an ffmpeg-python stream and yield what it writes to its standard output in blocks.

    Parameters
    ----------
    stream : ffmpeg-python output node
        It writes to `pipe:1`.
    block_bytes : int
        Size of a block; the last one may be shorter. Never more than one block is held.
    program : str, optional
        As `ffmpeg_exe`.

    Yields
    ------
    bytearray
        A new buffer each time.

    Raises
    ------
    DecodeError
        If ffmpeg ends with an error: its command and its last 20 lines.

    Notes
    -----
    Closing the iterator early ends the program.
    """
    command = ffmpeg_python.compile(
        stream.global_args("-hide_banner", "-nostdin", "-loglevel", "error"), cmd=ffmpeg_exe(program)
    )
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Both are pipes, which types cannot tell.
    assert process.stdout is not None
    assert process.stderr is not None
    last_lines: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
    listener = threading.Thread(target=_listen, args=(process.stderr, last_lines), daemon=True)
    listener.start()
    try:
        while block := _read_exactly(process.stdout, block_bytes):
            yield block
        status = process.wait()
    finally:
        process.kill()
        process.wait()
        listener.join()
        process.stdout.close()
        process.stderr.close()
    if status != 0:
        raise DecodeError(f"ffmpeg ended with status {status}: {_short_command(command)}\n" + "\n".join(last_lines))


def _listen(pipe: Any, last_lines: collections.deque[str]) -> None:
    with contextlib.suppress(ValueError):
        for line in pipe:
            last_lines.append(line.decode("utf-8", "replace").rstrip())


def _read_exactly(pipe: Any, n_bytes: int) -> bytearray:
    buffer = bytearray(n_bytes)
    view = memoryview(buffer)
    filled = 0
    while filled < n_bytes and (n_read := pipe.readinto(view[filled:])):
        filled += n_read
    view.release()
    del buffer[filled:]
    return buffer


def _short_command(command: list[str]) -> str:
    return shlex.join(word if len(word) <= 300 else f"{word[:300]}..." for word in command)
