"""The rows of a shard as they are written and compared: all in memory, or one video after the other."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.store.digest import digest_json


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


class Generation:
    """The digest of everything in a shard but the recipe, which the keys stand for; values are added in their order."""

    def __init__(self, videos: Sequence[VideoRows], dtype: np.dtype, shape: tuple[int, ...]) -> None:
        self._sha = hashlib.sha256(digest_json([vars(video) for video in videos]).encode())
        self._sha.update(f"{dtype.str} {shape}".encode())

    def add(self, values: np.ndarray) -> None:
        """Take in the next rows (n, D)."""
        self._sha.update(np.ascontiguousarray(values).data)

    def ending_with(self, times: np.ndarray) -> str:
        """Return the digest after all values, with the times (T, 2)."""
        self._sha.update(f"{times.dtype.str} {times.shape}".encode())
        self.add(times)
        return self._sha.hexdigest()


@dataclass(frozen=True)
class ShardContent:
    """Everything in a shard.

    Attributes
    ----------
    videos : list of VideoRows
        Sorted by id; rows follow one another.
    values : float16, float32 or uint8 (T, D)
    times : float32 (T, 2)
        Start and end second.
    """

    videos: list[VideoRows]
    values: np.ndarray
    times: np.ndarray

    def generation(self) -> str:
        """Return the digest of everything in the shard but the recipe, which the keys stand for."""
        generation = Generation(self.videos, self.values.dtype, self.values.shape)
        generation.add(self.values)
        return generation.ending_with(self.times)


@dataclass(frozen=True)
class ShardRows:
    """What a shard is written from: the same, but the values need not be in memory together.

    Attributes
    ----------
    videos, times : as in `ShardContent`
    dtype : np.dtype
    shape : (T, D)
    values : iterable of arrays (n, D) in the order of the rows, T in all; taken once
    """

    videos: list[VideoRows]
    times: np.ndarray
    dtype: np.dtype
    shape: tuple[int, int]
    values: Iterable[np.ndarray]

    @classmethod
    def of(cls, content: ShardContent) -> "ShardRows":
        """Return rows that are in memory."""
        return cls(content.videos, content.times, content.values.dtype, content.values.shape, [content.values])


def placed(videos: Sequence[VideoRows], lengths: Sequence[int]) -> list[VideoRows]:
    """Return videos with the places that they have one after another."""
    stops = np.cumsum([0, *lengths]).tolist()
    return [
        VideoRows(video.id, video.key, start, stop, video.status, video.reason)
        for video, start, stop in zip(videos, stops[:-1], stops[1:], strict=True)
    ]


def concatenate(parts: Sequence[tuple[VideoRows, np.ndarray, np.ndarray]], dim: int, dtype: str) -> ShardContent:
    """Put the rows of videos one after another, sorted by id; their `start` and `stop` are set anew."""
    ordered = sorted(parts, key=lambda part: part[0].id)
    videos = placed([video for video, _, _ in ordered], [len(values) for _, values, _ in ordered])
    values = np.concatenate([np.zeros((0, dim), dtype), *(values for _, values, _ in ordered if len(values))])
    return ShardContent(videos, values.astype(dtype, copy=False), joined_times([times for _, _, times in ordered]))


def joined_times(times: Sequence[np.ndarray]) -> np.ndarray:
    """Return float32 (T, 2) of the times of videos that follow one another."""
    return np.concatenate([np.zeros((0, 2), np.float32), *times]).astype(np.float32, copy=False)


def recut(parts: Iterable[np.ndarray], n_rows: int) -> Iterator[np.ndarray]:
    """Yield the rows of parts (n, D) in pieces of `n_rows`, the last one shorter; use each before the next is asked."""
    buffer: np.ndarray | None = None
    n_held = 0
    for part in parts:
        left = part
        while len(left):
            if not n_held and len(left) >= n_rows:
                yield left[:n_rows]
                left = left[n_rows:]
                continue
            if buffer is None:
                buffer = np.empty((n_rows, *part.shape[1:]), part.dtype)
            taken, left = left[: n_rows - n_held], left[n_rows - n_held :]
            buffer[n_held : n_held + len(taken)] = taken
            n_held += len(taken)
            if n_held == n_rows:
                yield buffer
                n_held = 0
    if buffer is not None and n_held:
        yield buffer[:n_held]
