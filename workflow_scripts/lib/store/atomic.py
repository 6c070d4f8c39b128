"""Files that appear complete or not at all."""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HOST = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:32]
_LEFTOVER = re.compile(r"\.(?:tmp|old)-(?P<host>[A-Za-z0-9._]+)-(?P<pid>\d+)-[0-9a-f]{8}$")
_NEARLY_NOTHING = 2**20
# The liveness of a process on another machine cannot be asked; no writer of ours holds one temporary file this long.
_FOREIGN_LEFTOVER_AGE_S = 2 * 24 * 3600


def sibling(path: Path, kind: str) -> Path:
    """Return a fresh name beside `path` that says which process made it.

    Parameters
    ----------
    path : Path
        The final file or folder.
    kind : {"tmp", "old"}
        A file being written, or one that was just replaced.

    Returns
    -------
    Path
        `<name>.<kind>-<host>-<pid>-<random>` in the same folder, so that a rename never crosses file systems.
    """
    return path.with_name(f"{path.name}.{kind}-{HOST}-{os.getpid()}-{secrets.token_hex(4)}")


def fsync_path(path: Path) -> None:
    """Force a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_path(path: Path | str, is_durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what was written there becomes `path` on success and vanishes on failure.

    Parameters
    ----------
    path : Path or str
        The final file. Its folder is created when missing.
    is_durable : bool
        Wait until the disk has it. False for what is made again when it is damaged: a loss of power may then cost it.

    Yields
    ------
    Path
        Where to write. A durable file is flushed to disk before the rename.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = sibling(target, "tmp")
    try:
        yield temporary
        if is_durable:
            fsync_path(temporary)
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename = str(target)
        temporary.unlink(missing_ok=True)
        raise
    if is_durable:
        fsync_path(target.parent)


@contextlib.contextmanager
def telling_of_full_disks(path: Path) -> Iterator[None]:
    """Turn what libraries in C++ and Rust raise on a full disk into the error that Python raises.

    Parameters
    ----------
    path : Path
        What is being written.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        is_full = "os error 28" in str(error) or shutil.disk_usage(path.parent).free < _NEARLY_NOTHING
        if not is_full:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error


def write_bytes(path: Path | str, data: bytes, is_durable: bool = True) -> None:
    """Write `data` to `path` atomically; `is_durable` as of `atomic_path`."""
    with atomic_path(path, is_durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path` atomically, in UTF-8 and without newline translation."""
    write_bytes(path, text.encode("utf-8"))


def json_text(obj: Any) -> str:
    """Return `obj` as indented JSON with sorted keys and a final newline."""
    return json.dumps(obj, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write_json(path: Path | str, obj: Any) -> None:
    """Write `obj` to `path` atomically as indented JSON with sorted keys."""
    write_text(path, json_text(obj))


def write_if_changed(path: Path | str, data: bytes | str, is_durable: bool = True) -> bool:
    """Write `data` to `path` only if it differs from what is there; `is_durable` as of `atomic_path`.

    Returns
    -------
    bool
        True if the file was written; False leaves the old modification time.
    """
    wanted = data.encode("utf-8") if isinstance(data, str) else data
    target = Path(path)
    if target.is_file() and target.read_bytes() == wanted:
        return False
    write_bytes(target, wanted, is_durable)
    return True


def sweep_leftovers(folder: Path, name: str = "") -> list[Path]:
    """Delete temporary and replaced versions of files and folders whose process is dead.

    Parameters
    ----------
    folder : Path
        Where to look.
    name : str
        Final name whose left-overs are meant; without it those of every name.

    Returns
    -------
    list of Path
        What was deleted. Left-overs of other machines go only after two days.
    """
    swept = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        match = _LEFTOVER.search(path.name)
        if match is None or (name and path.name[: match.start()] != name):
            continue
        if not _owner_may_be_alive(path, match["host"], int(match["pid"])):
            remove_tree(path)
            swept.append(path)
    return swept


def remove_tree(path: Path) -> None:
    """Delete a file or a folder with everything in it; what is already gone is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _owner_may_be_alive(path: Path, host: str, pid: int) -> bool:
    if host != HOST:
        try:
            return time.time() - path.stat().st_mtime < _FOREIGN_LEFTOVER_AGE_S
        except FileNotFoundError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
