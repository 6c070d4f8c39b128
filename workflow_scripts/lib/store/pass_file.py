"""Passes: visual features of a dataset that one job makes, which decodes every video once. What is kept of them.

A pass is formed once and never changed, because everything that is made from its features would be made again. A
feature may leave it, for good: it is made by jobs of its own from then on, in the stores that are there.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.batches import shards_in
from workflow_scripts.lib.store.shard_store import read_shard_index

RECORD = "passes.json"
"""Of a dataset, in its folder."""


@dataclass(frozen=True)
class Pass:
    """One pass.

    Attributes
    ----------
    name : of its folder
    keys : feature -> key of its jobs' settings when the pass was formed
    shards_per_job : how many shards one job makes
    left : those of the features that have left
    """

    name: str
    keys: dict[str, str]
    shards_per_job: int
    left: tuple[str, ...] = ()

    @property
    def members(self) -> list[str]:
        """Return the features that it makes."""
        return [feature for feature in self.keys if feature not in self.left]

    def without(self, features: Collection[str]) -> Self:
        """Return the pass after these features have left."""
        return replace(self, left=tuple(each for each in self.keys if each in {*self.left, *features}))

    def marker(self, dataset_folder: Path, batch: str) -> Path:
        """Return the file that says that the shards of a batch (`0008-0011`) are complete."""
        return dataset_folder / "passes" / self.name / f"{batch}.json"

    def has_begun(self, dataset_folder: Path) -> bool:
        """Return whether anything of it is there."""
        stores = (path for feature in self.keys for path in (dataset_folder / "features" / feature).glob("*.zarr"))
        return any(stores) or bool(self.finished_shards(dataset_folder))

    def finished_shards(self, dataset_folder: Path) -> list[str]:
        """Return the shards of the batches that are complete."""
        folder = self.marker(dataset_folder, "any").parent
        return [shard for path in sorted(folder.glob("*.json")) for shard in shards_in(path.stem)]


def read_passes(record: Path) -> list[Pass]:
    """Return the passes in a record, none if there is no record.

    Raises
    ------
    UserError
        the file is damaged
    """
    try:
        found = json.loads(record.read_text(encoding="utf-8"))["passes"]
        return [Pass(each["name"], each["keys"], each["shards_per_job"], tuple(each["left"])) for each in found]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(
            f"{record}: names no passes. Delete it: features that were made together are then looked through again."
        ) from None


def passes_content(passes: Iterable[Pass]) -> dict[str, Any]:
    """Return the content of a record."""
    return {"passes": [asdict(each) for each in passes]}


def write_pass_marker(path: Path, roots: Collection[Path]) -> None:
    """Say that the shards of a batch, told by the name of its file, are complete, and as which generations.

    Parameters
    ----------
    roots : the folders of the features
    """
    generations = {
        shard: {root.name: read_shard_index(root / f"{shard}.zarr")[0]["generation"] for root in roots}
        for shard in shards_in(path.stem)
    }
    write_json(path, {"shards": generations})
