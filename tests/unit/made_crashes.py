"""What a disk may hold if a program ends at any of its writes, recorded while the program runs to its end.

The folder is looked at before every write: at what opens a file for writing, renames, removes or cuts one, and around
`os.write`. From two looks in a row follow the states in which a kill, or a loss of power, may leave it.
"""

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

Tree = dict[str, bytes | None]
"""Path below the folder -> content; None for a folder."""
NO_PROCESS = 2**22 + 1
_WRITES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "shutil.rmtree"}


def read_tree(folder: Path) -> Tree:
    """Return everything below a folder; what vanishes meanwhile is left out."""
    tree: Tree = {}
    for path in sorted(folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            tree[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return tree


def write_tree(folder: Path, tree: Tree) -> None:
    """Make a folder hold exactly this; what this process was writing is what a dead one left."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in tree.items():
        path = folder / name.replace(f"-{os.getpid()}-", f"-{NO_PROCESS}-")
        (path if content is None else path.parent).mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)


@dataclass
class Recording:
    """What lay in a folder before every write.

    Attributes
    ----------
    trees : list of Tree
        The last is what was there at the end.
    counts : list of int
        What `count` gave at each of them.
    synced : set of bytes
        Contents of files that were forced to disk, or lay there before.
    """

    folder: Path
    count: Callable[[], int]
    meanwhile: Callable[[], None]
    trees: list[Tree] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    synced: set[bytes] = field(default_factory=set)

    def look(self) -> None:
        tree = read_tree(self.folder)
        if not self.trees or tree != self.trees[-1]:
            self.trees.append(tree)
            self.counts.append(self.count())
            if threading.current_thread() is threading.main_thread():
                self.meanwhile()

    def killed(self, number: int, share: float = 0.0) -> Tree:
        """Return what a kill at a write leaves."""
        return self.trees[number]

    def torn(self, number: int, share: float = 0.5) -> Tree:
        """Return what is there if the kill comes when this share of the next write is done."""
        before, after = self.trees[number], self.trees[min(number + 1, len(self.trees) - 1)]
        cut = dict(before)
        for name, content in after.items():
            old = before.get(name, b"")
            is_written = content is not None and content not in before.values()  # and not only renamed
            if is_written and old is not None and content.startswith(old):
                cut[name] = content[: len(old) + int(share * (len(content) - len(old)))]
        return cut

    def lost(self, number: int, share: float = 0.5) -> Tree:
        """Return what a loss of power leaves: what was not forced to disk is zeros for this share, then missing."""
        return {name: content and self._surviving(content, share) for name, content in self.trees[number].items()}

    def _surviving(self, content: bytes, share: float) -> bytes:
        safe = max((known for known in self.synced if content.startswith(known)), key=len, default=b"")
        return safe + bytes(int(share * (len(content) - len(safe))))


_state = threading.local()
_lock = threading.RLock()
_recording: Recording | None = None


def _look() -> None:
    if _recording is None or getattr(_state, "is_looking", False):
        return
    _state.is_looking = True
    try:
        with _lock:
            if _recording is not None:
                _recording.look()
    finally:
        _state.is_looking = False


def _heard(event: str, arguments: tuple) -> None:
    if _recording is None:
        return
    opens_to_write = event == "open" and bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    if event in _WRITES or opens_to_write:
        _look()


# A hook cannot be taken out again; without a recording it returns at once.
sys.addaudithook(_heard)


@contextlib.contextmanager
def recorded(
    folder: Path, count: Callable[[], int] = lambda: 0, meanwhile: Callable[[], None] = lambda: None
) -> Iterator[Recording]:
    """Record what this process writes below a folder.

    Parameters
    ----------
    folder : Path
    count : callable
        Its result is kept with every look.
    meanwhile : callable
        Called at every look of the main thread, as another process might read at that moment.
    """
    global _recording
    recording = Recording(folder, count, meanwhile, synced={c for c in read_tree(folder).values() if c is not None})
    write = os.write

    def written(descriptor: int, data: bytes) -> int:
        _look()
        n_bytes = write(descriptor, data)
        _look()
        return n_bytes

    def syncing(sync: Callable[[int], None]) -> Callable[[int], None]:
        def synced(descriptor: int) -> None:
            sync(descriptor)
            path = Path(f"/proc/self/fd/{descriptor}")
            if path.is_file():
                recording.synced.add(path.read_bytes())

        return synced

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", written)
        for name in ("fsync", "fdatasync"):
            patch.setattr(os, name, syncing(getattr(os, name)))
        _recording = recording
        try:
            yield recording
            _look()
        finally:
            _recording = None
