"""One shard of a feature on disk: a zarr group that appears complete, and that a damaged byte cannot pass through.

Layout of `{shard}.zarr/`

- `zarr.json`: attributes (format, generation, recipe, sizes, revisions of the code that made the rows) and consolidated
  metadata; the declared output of a job;
- `features/` (steps, channels): float16, float32 or uint8, one file per 256 MB, zstd with its own checksum;
- `timestamps/` (steps, 2): float32 start and end second of every step;
- `offsets/` (videos + 1): int64 first step of every video;
- `index.json`: id, key, rows, status and reason of every video, with digests of itself and of `zarr.json`. Together
  with the arrays it is enough to reuse the rows when `zarr.json` is gone: Snakemake deletes a declared output before it
  runs a job again.

The generation is the digest of everything in the store: two stores of one generation are the same store.
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import fsync_path, json_text, remove_tree, sibling
from workflow_scripts.lib.store.digest import digest_json, file_sha256
from workflow_scripts.lib.store.number_formats import FILL_VALUES
from workflow_scripts.lib.store.shard_rows import Generation, ShardContent, ShardRows, VideoRows, recut
from workflow_scripts.lib.store.zarr_rows import open_rows
from workflow_scripts.lib.versions import UNKNOWN_REVISION, code_revision

FORMAT_VERSION = 2
CHUNK_STEPS = 32
SHARD_FILE_BYTES = 256 * 2**20
READ_BYTES = 16 * 2**20
"""After so many bytes of a shard that is compared with its digest, the next videos are read."""
# The fastest level; features are almost incompressible, what counts is the checksum.
_COMPRESSOR = ZstdCodec(level=-5, checksum=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class StoreBeingRewritten(UserError):
    """The shard was replaced, or is being made, while it was read: read again."""


class StoreDamaged(UserError):
    """The shard's files do not hold what was written."""


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


class Publication(NamedTuple):
    """One appearance of a shard: equal before and after a reading, it was not replaced meanwhile.

    The bytes of `zarr.json` alone would not do: a shard may be replaced twice, the second time by what it was before.
    """

    inode: int
    modified_ns: int
    metadata: bytes


def current_publication(path: Path) -> Publication:
    """Return what is published at the moment.

    Raises
    ------
    StoreBeingRewritten
        If there is no `zarr.json`.
    """
    try:
        with (path / "zarr.json").open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            return Publication(status.st_ino, status.st_mtime_ns, file.read())
    except FileNotFoundError:
        raise being_rewritten(path) from None


def read_shard_index(path: Path) -> tuple[dict[str, Any], list[VideoRows]]:
    """Read and verify `index.json`.

    Returns
    -------
    dict
        Format version, generation, recipe digest, code revisions and `metadata_sha256`, the digest of `zarr.json`.
    list of VideoRows

    Raises
    ------
    StoreBeingRewritten
        If it does not exist.
    StoreDamaged
        If it is not what was written.
    """
    try:
        body = json.loads((path / "index.json").read_text(encoding="utf-8"))
        recorded = body.pop("sha256")
        if recorded != digest_json(body):
            raise ValueError("its digest differs")
        if body["format_version"] != FORMAT_VERSION:
            raise StoreDamaged(
                f"{path}: a shard of format version {body['format_version']}, this code reads {FORMAT_VERSION}. Delete "
                "the folder and run again: its rows are computed anew."
            )
        return body, [VideoRows(**video) for video in body.pop("videos")]
    except FileNotFoundError:
        raise being_rewritten(path) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"index.json: {error}") from error


def revisions_of(header: Mapping[str, Any]) -> list[str]:
    """Return the revisions of the code that made a shard's rows, by its index or attributes.

    Shards of the first releases do not tell.
    """
    return header.get("code_revisions", [UNKNOWN_REVISION])


def read_whole_shard(path: Path) -> tuple[dict[str, Any], ShardContent]:
    """Read everything and compare it with the recorded generation; `zarr.json` is not needed.

    Returns
    -------
    dict
        As `read_shard_index`.
    ShardContent

    Raises
    ------
    StoreBeingRewritten, StoreDamaged
        As the names say; nothing that differs from what was written comes back.
    """
    header, videos = read_shard_index(path)
    with reading(path):
        content = ShardContent(videos, open_rows(path / "features").read(), open_rows(path / "timestamps").read())
    if content.generation() != header["generation"]:
        raise damaged(path, "the arrays are not those that were written")
    return header, content


def videos_of_whole_shard(path: Path) -> Iterator[tuple[VideoRows, np.ndarray, np.ndarray]]:
    """Yield every video of a shard with its values and times, few in memory at once; `zarr.json` is not needed.

    Raises
    ------
    StoreBeingRewritten, StoreDamaged
        As `read_whole_shard`; at the end if all together is not what was written, so wait for it before you use any.
    """
    header, videos = read_shard_index(path)
    with reading(path):
        array, times = open_rows(path / "features"), open_rows(path / "timestamps").read()
    row_bytes = array.dtype.itemsize * array.shape[1]
    digest = Generation(videos, array.dtype, array.shape)
    for _, group in itertools.groupby(videos, lambda video: video.start * row_bytes // READ_BYTES):
        run = list(group)
        with reading(path):
            values = array.read(slice(run[0].start, run[-1].stop))
        digest.add(values)
        for video in run:
            own = slice(video.start - run[0].start, video.stop - run[0].start)
            yield video, values[own], times[video.start : video.stop]
    if digest.ending_with(times) != header["generation"]:
        raise damaged(path, "the arrays are not those that were written")


def read_again(path: Path, video: VideoRows, generation: str) -> np.ndarray:
    """Return the values of a video of a shard that was read whole before.

    Raises
    ------
    StoreBeingRewritten, StoreDamaged
        If it is another shard now, or not as written.
    """
    with reading(path):
        values = open_rows(path / "features").read(slice(video.start, video.stop))
    if read_shard_index(path)[0]["generation"] != generation:
        raise being_rewritten(path)
    return values


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a codec or file raises inside into `StoreDamaged`."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        if isinstance(error, PermissionError):
            raise
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def being_rewritten(path: Path) -> StoreBeingRewritten:
    """Return the error for a shard that is not there at the moment."""
    return StoreBeingRewritten(
        f"{path}: this shard is being rewritten. Wait for the job that makes it; run the workflow if none is running."
    )


def damaged(path: Path, found: str) -> StoreDamaged:
    """Return the error for a shard whose files are not as written."""
    return StoreDamaged(
        f"{path}: damaged ({found}). "
        f"`python -m workflow_scripts.store repair {path.parent}` says which videos, and how to make them again."
    )
