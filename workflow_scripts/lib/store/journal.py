"""The finished videos of a shard that is being made: one file that only grows.

A record is its length (8 bytes, little-endian), the sha256 of what follows, and the body: a line of JSON (key, status,
reason, revisions, number format and shape), the values and the times. What a kill or a full disk leaves of the last
record is recognised by length or digest and cut off. Only the job of the shard writes here; should two processes do so
by a mistake, digests would cost rows and never mix them. Nothing is locked or mapped, so that any file system will do.

What was written survives the process at once. Against a loss of power it is forced to disk at most every 50 ms: that
may cost the videos of the last moment, which are computed again.
"""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np

from workflow_scripts.lib.store.parts import Part

log = logging.getLogger(__name__)

SYNC_EVERY_S = 0.05
_FIRST_LINE = b"momentflow journal 1\n"
_LENGTH_BYTES, _DIGEST_BYTES = 8, 32
_HEAD_BYTES = _LENGTH_BYTES + _DIGEST_BYTES
_TIMES = np.dtype(np.float32)


class _Body(NamedTuple):
    """Where a record's body is in the file, and its digest."""

    start: int
    n_bytes: int
    digest: bytes


class Journal:
    """Parts of one shard; which are whole is seen when it is opened, their rows are read when they are asked for.

    Nothing is written before the first part is added.

    Parameters
    ----------
    path : Path
        The file. Its folder is created when missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bodies, self._n_bytes = _read(path)
        self._descriptor: int | None = None
        self._synced_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __len__(self) -> int:
        return len(self._bodies)

    def get(self, key: str) -> Part | None:
        """Return the rows of one key, None if they are not there, or not any more as they were written."""
        if key not in self._bodies:
            return None
        place = self._bodies[key]
        with self._path.open("rb") as file:
            file.seek(place.start)
            body = file.read(place.n_bytes)
        return _part(body) if hashlib.sha256(body).digest() == place.digest else None

    def add(self, key: str, part: Part) -> None:
        """Append the rows of one key."""
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            start = os.fstat(self._descriptor).st_size
            record = _record(key, part)
            _write(self._descriptor, record)
            if time.monotonic() - self._synced_s >= SYNC_EVERY_S:
                os.fdatasync(self._descriptor)
                self._synced_s = time.monotonic()
        except OSError as error:
            error.filename = str(self._path)
            raise
        self._bodies[key] = _Body(
            start + _HEAD_BYTES, len(record) - _HEAD_BYTES, bytes(record[_LENGTH_BYTES:_HEAD_BYTES])
        )

    def _open(self) -> int:
        """Open the file for appending behind its last whole record."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        os.ftruncate(descriptor, self._n_bytes)
        if not self._n_bytes:
            _write(descriptor, _FIRST_LINE)
        self._synced_s = time.monotonic()
        return descriptor


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _record(key: str, part: Part) -> bytes:
    header = {"key": key, "status": part.status, "reason": part.reason, "made_by": part.made_by}
    header |= {"dtype": part.values.dtype.str, "shape": part.values.shape}
    line = json.dumps(header).encode() + b"\n"
    body: list[bytes | memoryview] = [line, _bytes_of(part.values), _bytes_of(np.asarray(part.times, _TIMES))]
    digest = hashlib.sha256()
    for piece in body:
        digest.update(piece)
    return b"".join([sum(map(len, body)).to_bytes(_LENGTH_BYTES, "little"), digest.digest(), *body])


def _bytes_of(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _read(path: Path) -> tuple[dict[str, _Body], int]:
    """Return where the bodies of keys are, and how many bytes from the start of the file are as they were written."""
    bodies, n_bytes = {}, 0
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if file.readline(len(_FIRST_LINE)) == _FIRST_LINE:
                n_bytes = file.tell()
                for key, body in _whole_bodies(file, size):
                    bodies[key] = body
                    n_bytes = file.tell()
    except FileNotFoundError:
        return {}, 0
    if n_bytes < size:
        log.info("%s: %d finished videos; behind them %d bytes of no whole record", path, len(bodies), size - n_bytes)
    return bodies, n_bytes


def _whole_bodies(file: BinaryIO, size: int) -> Iterator[tuple[str, _Body]]:
    """Yield key and place of records, up to the first that is not as it was written."""
    while len(head := file.read(_HEAD_BYTES)) == _HEAD_BYTES:
        length, digest = int.from_bytes(head[:_LENGTH_BYTES], "little"), head[_LENGTH_BYTES:]
        start = file.tell()
        if length > size - start:
            return
        body = file.read(length)
        if hashlib.sha256(body).digest() != digest:
            return
        yield _header(body)["key"], _Body(start, length, digest)


def _header(body: bytes) -> dict[str, Any]:
    return json.loads(body[: body.index(b"\n")])


def _part(body: bytes) -> Part:
    header, start = _header(body), body.index(b"\n") + 1
    n_rows, dim = header["shape"]
    values = np.ndarray((n_rows, dim), header["dtype"], body, offset=start)
    times = np.ndarray((n_rows, 2), _TIMES, body, offset=start + values.nbytes)
    return Part(values, times, header["status"], header["reason"], tuple(header["made_by"]))
