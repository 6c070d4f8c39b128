"""Several shards that one job makes one after the other, and the file that says that all of them are complete.

The shards of a batch are no declared outputs: a job that runs again finds what is there by the keys of the videos.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.shard_store import read_shard_index

FOLDER = "batches"


def shards_in(name: str) -> list[str]:
    """Return the shards of a batch, given by its name (`0008-0011`); any other name is that of one shard."""
    first, dash, last = name.partition("-")
    if not dash:
        return [name]
    return [f"{shard:0{len(first)}d}" for shard in range(int(first), int(last) + 1)]


def batches_of(shards: list[str], size: int) -> list[str]:
    """Return the names of the batches that shards are made in, of so many each; the last one may be smaller."""
    cuts = [shards[first : first + size] for first in range(0, len(shards), size)]
    return [f"{own[0]}-{own[-1]}" for own in cuts]


def stores_in(store: Path) -> list[Path]:
    """Return the shard stores that a path stands for: `0003.zarr` for itself, `0008-0011.zarr` for four."""
    return [store.with_name(f"{shard}.zarr") for shard in shards_in(store.stem)]


def marker_path(root: Path, name: str) -> Path:
    """Return the file below a feature's folder that says that a batch is complete."""
    return root / FOLDER / f"{name}.json"


def write_marker(store: Path) -> None:
    """Say that the shards of a batch, given as for `stores_in`, are complete, and as which generations.

    What was made from a marker of the same bytes need not be made again.
    """
    generations = {path.stem: read_shard_index(path)[0]["generation"] for path in stores_in(store)}
    write_json(marker_path(store.parent, store.stem), {"shards": generations})


def stores_named(path: Path, root: Path) -> list[Path]:
    """Return the stores of a marker, or the one that a `.zarr` folder or the `zarr.json` in it stands for.

    Parameters
    ----------
    root : folder of the feature; a marker may tell of several features (`store.pass_file`)

    Raises
    ------
    UserError
        the file is no marker
    """
    if path.suffix != ".json" or path.name == "zarr.json":
        return [path.parent if path.name == "zarr.json" else path]
    try:
        shards = list(json.loads(path.read_text(encoding="utf-8"))["shards"])
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{path}: says of no shards that they are complete. Delete it and run again.") from None
    return [root / f"{shard}.zarr" for shard in shards]


def remove_markers(root: Path, shards: Iterable[str]) -> list[Path]:
    """Remove the markers of all batches that have one of these shards, of any size; return what they were."""
    wanted = set(shards)
    found = [path for path in sorted((root / FOLDER).glob("*.json")) if wanted & set(shards_in(path.stem))]
    for path in found:
        path.unlink()
    return found
