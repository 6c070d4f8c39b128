"""Read a feature of a dataset by video id."""

import contextlib
import itertools
import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.digest import digest_bytes
from workflow_scripts.lib.store.halves import as_float32
from workflow_scripts.lib.store.shard_store import (
    CHUNK_STEPS,
    StoreDamaged,
    VideoRows,
    being_rewritten,
    current_publication,
    read_shard_index,
    reading,
    revisions_of,
)
from workflow_scripts.lib.store.tables import read_table, write_table
from workflow_scripts.lib.store.zarr_rows import Places, open_rows

log = logging.getLogger(__name__)

T = TypeVar("T")

INDEX_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("shard", pa.string()),
        ("row_start", pa.int64()),
        ("row_end", pa.int64()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
    ]
)
"""Columns of `index.parquet`; `shard` is the name of the shard without `.zarr`."""

BLOCK_BYTES = 2 * 2**20
"""Most that is read at once of rows that are to be kept, unless one id has more; it is held beside them for a while.

So little stays in a processor's cache until it is copied, and its memory is used again for the next.
"""


class UnknownId(UserError, KeyError):
    """A feature has no rows and no status for this id."""

    __str__ = Exception.__str__


class StoredRows(NamedTuple):
    """One video's (or query's) rows of a feature.

    Attributes
    ----------
    values : float32 (T, D)
    times : float32 (T, 2)
        Start and end second of every row.
    status : str
        `ok`; or a state in which T may be 0: `no_audio`, `no_speech`, `failed`.
    reason : str
        Why it is not `ok`.
    """

    values: np.ndarray
    times: np.ndarray
    status: str
    reason: str


def write_index(shard_paths: Sequence[Path], out: Path) -> None:
    """Write the `index.parquet` that ties the shards of a feature together.

    Parameters
    ----------
    shard_paths : sequence of Path
        All `.zarr` folders of the feature.
    out : Path
        The table; recipe, width and code revisions are in its metadata.

    Raises
    ------
    UserError
        If shards differ in recipe or width, or share an id.
    """
    rows: list[dict[str, Any]] = []
    headers: dict[str, dict[str, Any]] = {}
    for path in shard_paths:
        shard = _Shard(path)
        headers[path.stem] = shard.attributes
        rows.extend(
            {"id": video.id, "shard": path.stem, "row_start": video.start, "row_end": video.stop}
            | {"key": video.key, "status": video.status, "reason": video.reason}
            for video in shard.videos.values()
        )
    recipes = {header["recipe_digest"]: name for name, header in headers.items()}
    if len(recipes) > 1:
        raise UserError(
            f"{out.parent}: shards {', '.join(recipes.values())} were made by different recipes. Run again."
        )
    widths = {header["dim"]: name for name, header in headers.items() if header["dim"]}
    if len(widths) > 1:
        raise UserError(f"{out.parent}: shards {', '.join(widths.values())} differ in width: {sorted(widths)}.")
    table = pa.Table.from_pylist(rows, INDEX_SCHEMA).sort_by("id")
    ids = table.column("id").to_pylist()
    twice = next((a for a, b in itertools.pairwise(ids) if a == b), None)
    if twice is not None:
        raise UserError(
            f"{out.parent}: {twice} is in two shards. Delete the shards of an older sharding and run again."
        )
    recipe = next(iter(headers.values()))["recipe"] if headers else {}
    revisions = sorted({revision for header in headers.values() for revision in revisions_of(header)})
    metadata = {"recipe": json.dumps(recipe, sort_keys=True), "dim": str(next(iter(widths), 0))}
    metadata["code_revisions"] = json.dumps(revisions)
    write_table(out, table, metadata)


class FeatureStore:
    """A feature of a dataset: `store[video_id]` gives its rows.

    Parameters
    ----------
    root : Path or str
        `results/{dataset}/features/{feature}`; it holds `index.parquet` and the shards.

    Raises
    ------
    UserError
        If there is no index.

    Notes
    -----
    What a shard says of its rows is read when it is first needed, and kept. Threads may share a store. After a fork,
    rows in memory are used and shards read anew. A shard that is replaced while it is read gives its old rows, its new
    rows, or `StoreBeingRewritten`, after which reading again finds the new one.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        table = read_table(self.root / "index.parquet", ["id", "shard", "key", "status", "row_start", "row_end"])
        metadata = table.schema.metadata
        self.recipe: dict[str, Any] = json.loads(metadata[b"recipe"])
        self.dim = int(metadata[b"dim"])
        self.code_revisions: list[str] = json.loads(metadata.get(b"code_revisions", json.dumps(revisions_of({}))))
        ids = table.column("id").to_pylist()
        self._shard_of, self._key_of, self._status_of = (
            dict(zip(ids, table.column(name).to_pylist(), strict=True)) for name in ("shard", "key", "status")
        )
        counts = pc.subtract(table.column("row_end"), table.column("row_start")).to_pylist()
        self._n_rows_of: dict[str, int] = dict(zip(ids, counts, strict=True))
        self._kept: dict[str, StoredRows] = {}
        self._shards: dict[str, _Shard] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def keys(self) -> list[str]:
        """Return all ids, sorted; also those without rows."""
        return list(self._shard_of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shard_of)

    def __len__(self) -> int:
        return len(self._shard_of)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._shard_of

    def __getitem__(self, video_id: str) -> StoredRows:
        return self.read(video_id)

    def read(self, video_id: str, rows: Places = slice(None)) -> StoredRows:
        """Return some rows of an id, by default all; only these are read."""
        if video_id in self._kept:
            found = self._kept[video_id]
            return found._replace(values=as_float32(found.values[rows]), times=found.times[rows].copy())
        with self._shard(self._name_of_shard(video_id)) as shard:
            return shard.read(video_id, self._key_of[video_id], self.dim, rows)

    def times_of(self, video_id: str) -> np.ndarray:
        """Return start and end second of every row of an id, float32 (T, 2), without reading the rows."""
        if video_id in self._kept:
            return self._kept[video_id].times.copy()
        with self._shard(self._name_of_shard(video_id)) as shard:
            return shard.times_of(video_id, self._key_of[video_id])

    def n_rows_of(self, video_id: str) -> int:
        """Return how many rows an id has, without opening its shard."""
        return self._of(self._n_rows_of, video_id)

    def _name_of_shard(self, video_id: str) -> str:
        return self._of(self._shard_of, video_id)

    @contextlib.contextmanager
    def _shard(self, shard_name: str) -> Iterator["_Shard"]:
        try:
            yield self._open(shard_name)
        except UserError:
            with self._lock:
                self._shards.pop(shard_name, None)
            raise

    def key_of(self, video_id: str) -> str:
        """Return what identifies the rows of an id: equal keys, equal rows."""
        return self._of(self._key_of, video_id)

    def status_of(self, video_id: str) -> str:
        """Return the status of an id, without reading its rows."""
        return self._of(self._status_of, video_id)

    def _of(self, known: Mapping[str, T], video_id: str) -> T:
        if video_id not in known:
            feature, dataset = self.root.name, self.root.parent.parent.name
            raise UnknownId(f"feature {feature!r} of dataset {dataset!r} has nothing for {video_id!r} ({self.root}).")
        return known[video_id]

    def preload(self) -> "FeatureStore":
        """Keep the rows of all ids; return the store."""
        self.keep(self)
        return self

    def keep(self, ids: Iterable[str]) -> None:
        """Read the rows of some ids into memory, once and as they are stored; they come from there from then on."""
        by_shard: dict[str, dict[str, str]] = {}
        for video_id in set(ids) - self._kept.keys():
            by_shard.setdefault(self._name_of_shard(video_id), {})[video_id] = self._key_of[video_id]
        for shard_name, keys in sorted(by_shard.items()):
            with self._shard(shard_name) as shard:
                self._kept.update(shard.read_many(keys, self.dim))
            with self._lock:
                self._shards.pop(shard_name, None)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Any]) -> None:
        FeatureStore.__init__(self, state["root"])

    def _open(self, shard_name: str) -> "_Shard":
        if os.getpid() != self._pid:
            # Another thread of the parent may have held the lock.
            self._shards, self._lock, self._pid = {}, threading.Lock(), os.getpid()
        with self._lock:
            if shard_name not in self._shards:
                self._shards[shard_name] = _Shard(self.root / f"{shard_name}.zarr")
            return self._shards[shard_name]


class _Shard:
    """An open shard as it was published once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._publication = current_publication(path)
        header, videos = read_shard_index(path)
        self.videos: dict[str, VideoRows] = {video.id: video for video in videos}
        with self._of_one_publication(), reading(path):
            if digest_bytes(self._publication.metadata) != header["metadata_sha256"]:
                raise ValueError("zarr.json is not the one that index.json was written with")
            metadata = json.loads(self._publication.metadata)
            self.attributes: dict[str, Any] = metadata["attributes"]
            arrays = metadata["consolidated_metadata"]["metadata"]
            self._features = open_rows(path / "features", arrays["features"])
            self._times = open_rows(path / "timestamps", arrays["timestamps"]).read()
            offsets = open_rows(path / "offsets", arrays["offsets"]).read()
            if not np.array_equal(offsets, [0, *(video.stop for video in videos)]):
                raise ValueError("offsets and index.json differ")

    def read(self, video_id: str, key: str, dim: int, rows: Places) -> StoredRows:
        """Return rows of one video as of this publication."""
        video = self._video(video_id, key)
        if isinstance(rows, slice):
            first, last, _ = rows.indices(video.stop - video.start)
            places: Places = slice(video.start + first, video.start + max(first, last))
        else:
            places = np.arange(video.start, video.stop)[rows]
        return self._rows_of(video, places, self._values(places, dim, np.float32))

    def read_many(self, keys: Mapping[str, str], dim: int) -> Iterator[tuple[str, StoredRows]]:
        """Yield the rows of some videos, in the number format of the shard.

        Parameters
        ----------
        keys : id -> key
        """
        found = (self._video(video_id, key) for video_id, key in keys.items())
        # One without rows starts where another does, and comes before it: the last of a run has its last row.
        videos = sorted(found, key=lambda video: (video.start, video.stop))
        for run in _runs(videos, BLOCK_BYTES // max(1, self._features.dtype.itemsize * self._features.shape[1])):
            first = run[0].start
            values = self._values(slice(first, run[-1].stop), dim)
            for video in run:
                own = values[video.start - first : video.stop - first].copy()
                yield video.id, self._rows_of(video, slice(video.start, video.stop), own)

    def _rows_of(self, video: VideoRows, places: Places, values: np.ndarray) -> StoredRows:
        return StoredRows(values, self._times[places].copy(), video.status, video.reason)

    def _values(self, places: Places, dim: int, dtype: DTypeLike | None = None) -> np.ndarray:
        n_places = places.stop - places.start if isinstance(places, slice) else len(places)
        if not n_places:
            # A shard in which everything failed does not know its width; the feature does.
            return np.zeros((0, dim), dtype or self._features.dtype)
        with self._of_one_publication(), reading(self.path):
            return self._features.read(places, dtype)

    def times_of(self, video_id: str, key: str) -> np.ndarray:
        """Return the times of the rows of one video as of this publication."""
        video = self._video(video_id, key)
        return self._times[video.start : video.stop].copy()

    def _video(self, video_id: str, key: str) -> VideoRows:
        video = self.videos.get(video_id)
        if video is None or video.key != key:
            # The shard is newer than the index.
            raise being_rewritten(self.path)
        return video

    @contextlib.contextmanager
    def _of_one_publication(self) -> Iterator[None]:
        """Refuse what was read inside if the shard was replaced meanwhile."""
        try:
            yield
        except StoreDamaged:
            self._require_same_publication()
            raise
        self._require_same_publication()

    def _require_same_publication(self) -> None:
        if current_publication(self.path) != self._publication:
            raise being_rewritten(self.path)


def _runs(videos: Sequence[VideoRows], most_rows: int) -> Iterator[list[VideoRows]]:
    """Yield videos, sorted by their rows, that are read at once: hardly anything lies between them."""
    run: list[VideoRows] = []
    for video in videos:
        is_far = bool(run) and video.start - run[-1].stop > CHUNK_STEPS
        if is_far or (run and video.stop - run[0].start > most_rows):
            yield run
            run = []
        run.append(video)
    if run:
        yield run
