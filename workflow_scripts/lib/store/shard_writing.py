"""Write one shard of a feature, as `shard_store` describes it, and put it in place in one step."""

import ctypes
import errno
import os
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from workflow_scripts.lib.store.atomic import fsync_path, json_text, remove_tree, sibling
from workflow_scripts.lib.store.digest import digest_json, file_sha256
from workflow_scripts.lib.store.number_formats import FILL_VALUES
from workflow_scripts.lib.store.shard_rows import Generation, ShardContent, ShardRows, recut
from workflow_scripts.lib.store.shard_store import CHUNK_STEPS, FORMAT_VERSION
from workflow_scripts.lib.versions import code_revision

SHARD_FILE_BYTES = 256 * 2**20
# The fastest level; features are almost incompressible, what counts is the checksum.
_COMPRESSOR = ZstdCodec(level=-5, checksum=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def publish_shard(
    path: Path, content: ShardContent, recipe: dict[str, Any], made_by: Collection[str] | None = None
) -> str:
    """Write a shard that is in memory, as `publish_rows` does."""
    return publish_rows(path, ShardRows.of(content), recipe, made_by)


def publish_rows(path: Path, rows: ShardRows, recipe: dict[str, Any], made_by: Collection[str] | None = None) -> str:
    """Write a shard beside `path` and put it in place of what is there in one step.

    Parameters
    ----------
    path : Path
        The `.zarr` folder. Its old content stays untouched if anything fails.
    rows : ShardRows
        What to write; no more than a file of it is held at once.
    recipe : dict
        Goes into the attributes whole.
    made_by : collection of str, optional
        Revisions of the code that computed the rows; by default the present one.

    Returns
    -------
    str
        The generation.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = sibling(path, "tmp")
    try:
        generation = _write(temporary, rows, recipe, sorted(made_by or {code_revision()}))
        _sync_tree(temporary)
        # Snakemake compares this time with the inputs': it must be that of the publication.
        os.utime(temporary / "zarr.json")
        _put_in_place(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise
    fsync_path(path.parent)
    return generation


def _write(folder: Path, rows: ShardRows, recipe: dict[str, Any], made_by: Sequence[str]) -> str:
    n_steps, dim = rows.shape
    digest = Generation(rows.videos, rows.dtype, rows.shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        group = zarr.create_group(folder, zarr_format=3)
        offsets = np.array([0, *(video.stop for video in rows.videos)], np.int64)
        _write_values(group, rows, digest)
        _add_array(group, "timestamps", rows.times, ("step", "edge"))
        _add_array(group, "offsets", offsets, ("video",))
        generation = digest.ending_with(rows.times)
        attributes = {
            "format": "momentflow features",
            "format_version": FORMAT_VERSION,
            "generation": generation,
            "recipe": recipe,
            "recipe_digest": digest_json(recipe),
            "code_revisions": made_by,
            "n_videos": len(rows.videos),
            "n_steps": n_steps,
            "dim": dim,
            "written_with": {"zarr": zarr.__version__, "numpy": np.__version__},
        }
        group.attrs.put(attributes)
        zarr.consolidate_metadata(folder, zarr_format=3)
    body = {
        "format_version": FORMAT_VERSION,
        "generation": generation,
        "recipe_digest": attributes["recipe_digest"],
        "code_revisions": made_by,
        "metadata_sha256": file_sha256(folder / "zarr.json"),
        "videos": [vars(video) for video in rows.videos],
    }
    (folder / "index.json").write_text(json_text(body | {"sha256": digest_json(body)}), encoding="utf-8")
    return generation


def _write_values(group: zarr.Group, rows: ShardRows, digest: Generation) -> None:
    """Write the values file by file and take them into the digest."""
    file_steps = _steps_per_file(rows)
    array = _create_array(group, "features", rows.shape, rows.dtype, ("step", "channel"), file_steps)
    n_written = 0
    for piece in recut(rows.values, file_steps):
        digest.add(piece)
        array[n_written : n_written + len(piece)] = piece
        n_written += len(piece)
    if n_written != rows.shape[0]:
        raise RuntimeError(f"{n_written} rows came, {rows.shape[0]} were announced")


def _steps_per_file(rows: ShardRows) -> int:
    """Return the steps per file: all of them, or as many whole chunks as fit in a file."""
    n_steps, dim = rows.shape
    chunk_bytes = CHUNK_STEPS * max(1, dim) * rows.dtype.itemsize
    n_chunks = max(1, -(-n_steps // CHUNK_STEPS))
    return CHUNK_STEPS * min(n_chunks, max(1, SHARD_FILE_BYTES // chunk_bytes))


def _add_array(group: zarr.Group, name: str, data: np.ndarray, dimension_names: tuple[str, ...]) -> None:
    """Write an array as a single chunk."""
    array = _create_array(group, name, data.shape, data.dtype, dimension_names)
    if data.size:
        array[:] = data


def _create_array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    dimension_names: tuple[str, ...],
    file_steps: int | None = None,
) -> zarr.Array:
    """Create an array that is cut into chunks inside files of `file_steps` steps, or is a single chunk."""
    channels = tuple(max(1, size) for size in shape[1:])
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(CHUNK_STEPS if file_steps else max(1, shape[0]), *channels),
        shards=(file_steps, *channels) if file_steps else None,
        compressors=[_COMPRESSOR],
        fill_value=FILL_VALUES[dtype.kind],
        dimension_names=dimension_names,
        config={"write_empty_chunks": True},
    )


def _sync_tree(folder: Path) -> None:
    for path in sorted(folder.rglob("*")):
        fsync_path(path)
    fsync_path(folder)


def _put_in_place(new: Path, path: Path) -> None:
    """Exchange two folders at once where the file system can; elsewhere there is a moment without a store."""
    if not path.exists():
        new.rename(path)
        return
    old = new
    if not _exchange(new, path):
        old = sibling(path, "old")
        path.rename(old)
        new.rename(path)
    remove_tree(old)


def _exchange(one: Path, other: Path) -> bool:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(code, os.strerror(code), str(other))
