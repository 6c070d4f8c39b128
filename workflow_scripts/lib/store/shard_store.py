"""One shard of a feature on disk: a zarr group that appears complete, and that a damaged byte cannot pass through.

Layout of `{shard}.zarr/`

- `zarr.json`: attributes (format, generation, recipe, sizes, revisions of the code that made the rows) and consolidated
  metadata; the declared output of a job;
- `features/` (steps, channels): float16 or float32, one file per 256 MB, zstd with its own checksum;
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
import hashlib
import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import fsync_path, json_text, remove_tree, sibling
from workflow_scripts.lib.store.digest import digest_json, file_sha256
from workflow_scripts.lib.store.zarr_rows import open_rows
from workflow_scripts.lib.versions import UNKNOWN_REVISION, code_revision

FORMAT_VERSION = 2
CHUNK_STEPS = 32
SHARD_FILE_BYTES = 256 * 2**20
# The fastest level; features are almost incompressible, what counts is the checksum.
_COMPRESSOR = ZstdCodec(level=-5, checksum=True)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


class StoreBeingRewritten(UserError):
    """The shard was replaced, or is being made, while it was read: read again."""


class StoreDamaged(UserError):
    """The shard's files do not hold what was written."""


@dataclass(frozen=True)
class VideoRows:
    """One video (or query) of a shard, as in `index.json`.

    Attributes
    ----------
    id : str
    key : str
        Digest of content and recipe: equal key, equal rows.
    start, stop : int
        Its steps in the arrays.
    status, reason : str
        `ok`, `no_audio`, `no_speech`, `failed`; why it is not `ok`.
    """

    id: str
    key: str
    start: int
    stop: int
    status: str
    reason: str


@dataclass(frozen=True)
class ShardContent:
    """Everything in a shard.

    Attributes
    ----------
    videos : list of VideoRows
        Sorted by id; rows follow one another.
    values : float16 or float32 (T, D)
    times : float32 (T, 2)
        Start and end second.
    """

    videos: list[VideoRows]
    values: np.ndarray
    times: np.ndarray

    def generation(self) -> str:
        """Return the digest of everything in the shard but the recipe, which the keys stand for."""
        sha = hashlib.sha256(digest_json([asdict(video) for video in self.videos]).encode())
        for array in (self.values, self.times):
            sha.update(f"{array.dtype.str} {array.shape}".encode())
            sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


def publish_shard(
    path: Path, content: ShardContent, recipe: dict[str, Any], made_by: Collection[str] | None = None
) -> str:
    """Write a shard beside `path` and put it in place of what is there in one step.

    Parameters
    ----------
    path : Path
        The `.zarr` folder. Its old content stays untouched if anything fails.
    content : ShardContent
        What to write.
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
        generation = _write(temporary, content, recipe, sorted(made_by or {code_revision()}))
        _sync_tree(temporary)
        # Snakemake compares this time with the inputs': it must be that of the publication.
        os.utime(temporary / "zarr.json")
        _put_in_place(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise
    fsync_path(path.parent)
    return generation


def _write(folder: Path, content: ShardContent, recipe: dict[str, Any], made_by: Sequence[str]) -> str:
    n_steps, dim = content.values.shape
    generation = content.generation()
    attributes = {
        "format": "momentflow features",
        "format_version": FORMAT_VERSION,
        "generation": generation,
        "recipe": recipe,
        "recipe_digest": digest_json(recipe),
        "code_revisions": made_by,
        "n_videos": len(content.videos),
        "n_steps": n_steps,
        "dim": dim,
        "written_with": {"zarr": zarr.__version__, "numpy": np.__version__},
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        group = zarr.create_group(folder, zarr_format=3, attributes=attributes)
        offsets = np.array([0, *(video.stop for video in content.videos)], np.int64)
        _add_array(group, "features", content.values, np.nan, ("step", "channel"), _shard_file_steps(content.values))
        _add_array(group, "timestamps", content.times, np.nan, ("step", "edge"))
        _add_array(group, "offsets", offsets, -1, ("video",))
        zarr.consolidate_metadata(folder, zarr_format=3)
    body = {
        "format_version": FORMAT_VERSION,
        "generation": generation,
        "recipe_digest": attributes["recipe_digest"],
        "code_revisions": made_by,
        "metadata_sha256": file_sha256(folder / "zarr.json"),
        "videos": [asdict(video) for video in content.videos],
    }
    (folder / "index.json").write_text(json_text(body | {"sha256": digest_json(body)}), encoding="utf-8")
    return generation


def _shard_file_steps(values: np.ndarray) -> int:
    """Return the steps per file: all of them, or as many whole chunks as fit in a file."""
    chunk_bytes = CHUNK_STEPS * max(1, values.shape[1]) * values.itemsize
    n_chunks = max(1, -(-len(values) // CHUNK_STEPS))
    return CHUNK_STEPS * min(n_chunks, max(1, SHARD_FILE_BYTES // chunk_bytes))


def _add_array(
    group: zarr.Group,
    name: str,
    data: np.ndarray,
    fill_value: float,
    dimension_names: tuple[str, ...],
    shard_steps: int | None = None,
) -> None:
    """Write an array; it is cut into chunks inside files of `shard_steps` steps, or is a single chunk."""
    channels = tuple(max(1, size) for size in data.shape[1:])
    array = group.create_array(
        name,
        shape=data.shape,
        dtype=data.dtype,
        chunks=(CHUNK_STEPS if shard_steps else max(1, len(data)), *channels),
        shards=(shard_steps, *channels) if shard_steps else None,
        compressors=[_COMPRESSOR],
        fill_value=fill_value,
        dimension_names=dimension_names,
        config={"write_empty_chunks": True},
    )
    if data.size:
        array[:] = data


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


def concatenate(parts: Sequence[tuple[VideoRows, np.ndarray, np.ndarray]], dim: int, dtype: str) -> ShardContent:
    """Put the rows of videos one after another, sorted by id; their `start` and `stop` are set anew."""
    ordered = sorted(parts, key=lambda part: part[0].id)
    stops = np.cumsum([0, *(len(values) for _, values, _ in ordered)]).tolist()
    videos = [
        VideoRows(video.id, video.key, start, stop, video.status, video.reason)
        for (video, _, _), start, stop in zip(ordered, stops[:-1], stops[1:], strict=True)
    ]
    values = np.concatenate([np.zeros((0, dim), dtype), *(values for _, values, _ in ordered if len(values))])
    times = np.concatenate([np.zeros((0, 2), np.float32), *(times for _, _, times in ordered)])
    return ShardContent(videos, values.astype(dtype, copy=False), times.astype(np.float32, copy=False))
