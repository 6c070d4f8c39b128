"""Who is computing what of a shared cache, so that two jobs do not compute the same.

A claim is a file that only one process can create. Its owner renews it until the work is done; one that is not renewed
any more belongs to nobody. Claims save work, and correctness never rests on them: where they fail (a file system with
a slow clock, two processes that take over the same dead claim) something is computed twice, and the last rename wins.
"""

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import Self

from workflow_scripts.lib.store.atomic import HOST, sibling

log = logging.getLogger(__name__)

RENEW_EVERY_S = 30.0
DEAD_AFTER_S = 300.0
"""Far more than a renewal takes, because the clock of a file server may differ from ours."""


class Claims:
    """The claims of this process; they end with the `with` block, or some minutes after the process.

    Parameters
    ----------
    folder : folder of the cache, or None: then everything is ours
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held: set[Path] = set()
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._renewer = threading.Thread(target=self._renew, name="claims", daemon=True)

    def __enter__(self) -> Self:
        if self._folder is not None:
            self._renewer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is None:
            return
        self._done.set()
        self._renewer.join()
        for path in self._held:
            path.unlink(missing_ok=True)

    def take(self, key: str) -> bool:
        """Claim a key; False if somebody else is at work on it."""
        path = None if self._folder is None else _path(self._folder, key)
        if path is None or path in self._held:
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_dead(path):
            path.unlink(missing_ok=True)
        # A link appears with its owner's name inside; a file that is created and then filled may stay empty for ever.
        signed = sibling(path, "tmp")
        try:
            signed.write_text(f"{HOST} {os.getpid()}", encoding="utf-8")
            path.hardlink_to(signed)
        except FileExistsError:
            return False
        except OSError as error:
            log.debug("%s: no claim (%s); computed here, whoever else does so.", path, error)
            return True
        finally:
            signed.unlink(missing_ok=True)
        with self._lock:
            self._held.add(path)
        return True

    def release(self, key: str) -> None:
        """Give a claim up, because the work is there for all, or will never be."""
        if self._folder is not None:
            with self._lock:
                self._held.discard(_path(self._folder, key))
            _path(self._folder, key).unlink(missing_ok=True)

    def _renew(self) -> None:
        while not self._done.wait(RENEW_EVERY_S):
            with self._lock:
                held = list(self._held)
            for path in held:
                with contextlib.suppress(OSError):
                    os.utime(path)


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.claim"


def _is_dead(path: Path) -> bool:
    """Tell whether a claim's owner is gone for certain, or has not been heard of for long."""
    try:
        if time.time() - path.stat().st_mtime > DEAD_AFTER_S:
            return True
        host, pid = path.read_text(encoding="utf-8").split()
        if host == HOST:
            os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        # Nobody's, somebody else's process, or not signed: for its owner to say.
        return False
    return False
