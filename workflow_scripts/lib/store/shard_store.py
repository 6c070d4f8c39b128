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
import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_json
from workflow_scripts.lib.store.shard_rows import Generation, ShardContent, VideoRows
from workflow_scripts.lib.store.zarr_rows import open_rows
from workflow_scripts.lib.versions import UNKNOWN_REVISION

FORMAT_VERSION = 2
CHUNK_STEPS = 32
READ_BYTES = 16 * 2**20
"""After so many bytes of a shard that is compared with its digest, the next videos are read."""


class StoreBeingRewritten(UserError):
    """The shard was replaced, or is being made, while it was read: read again."""


class StoreDamaged(UserError):
    """The shard's files do not hold what was written."""


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
