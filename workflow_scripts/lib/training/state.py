"""Where a training stands, kept so that it goes on exactly after any interruption."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.lib.store.atomic import (
    fsync_path,
    remove_tree,
    sibling,
    sweep_leftovers,
    telling_of_full_disks,
    write_json,
)
from workflow_scripts.lib.versions import UNKNOWN_REVISION, code_revision


@dataclass
class Progress:
    """Counters of a training; saved with every resumable checkpoint.

    Attributes
    ----------
    num_workers, processes : data-loader workers and training processes; the loader's saved position has a form of its
        own for every number of them
    sums : loss terms summed over the steps of the present epoch
    """

    num_workers: int = 0
    processes: int = 1
    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_score: float | None = None
    best_epoch: int | None = None
    stale_evaluations: int = 0
    train_seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Return the counters (the form accelerate saves)."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the counters over."""
        for key, value in state.items():
            setattr(self, key, value)


class StateFolder:
    """The undeclared folder `state/` beside a training's outputs: resumable checkpoints and the best weights so far.

    Snakemake deletes declared outputs before it repeats a job; what lies here survives. Everything here belongs to one
    `key` (settings and training data); a folder of another key is discarded.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        self.best = folder / "best.safetensors"
        self.history = folder / "history.jsonl"
        self._key_path = folder / "key.json"
        self._finished_path = folder / "finished.json"
        if not self._key_path.is_file() or json.loads(self._key_path.read_text())["key"] != key:
            remove_tree(folder)
            folder.mkdir(parents=True)
            write_json(self._key_path, {"key": key, "code_revision": code_revision()})
        for path in folder.glob("*.tmp-*"):
            sweep_leftovers(folder, path.name.split(".tmp-")[0])

    @property
    def code_revision(self) -> str:
        """That of the code which began this training."""
        return json.loads(self._key_path.read_text()).get("code_revision", UNKNOWN_REVISION)

    @property
    def is_finished(self) -> bool:
        """Tell whether this very training has ended before."""
        return self._finished_path.is_file() and self.best.is_file()

    def finish(self) -> None:
        """Record the end; resumable checkpoints are no longer needed."""
        write_json(self._finished_path, {"finished": True})
        for path in self._checkpoints():
            remove_tree(path)

    def latest(self) -> Path | None:
        """Return the newest complete resumable checkpoint."""
        return max(self._checkpoints(), key=lambda path: int(path.name.removeprefix("step")), default=None)

    def save(self, step: int, write: Any) -> None:
        """Let `write(folder)` fill a resumable checkpoint; it becomes visible complete, then older ones go.

        A step is saved once: no moment is without a checkpoint.
        """
        final = self.folder / f"step{step}"
        temporary = sibling(final, "tmp")
        try:
            with telling_of_full_disks(final):
                write(temporary)
            for path in temporary.rglob("*"):
                if path.is_file():
                    fsync_path(path)
            older = self._checkpoints()
            temporary.rename(final)
        except BaseException:
            remove_tree(temporary)
            raise
        fsync_path(self.folder)
        for path in older:
            remove_tree(path)

    def _checkpoints(self) -> list[Path]:
        return [p for p in self.folder.glob("step*") if p.name.removeprefix("step").isdigit()]
