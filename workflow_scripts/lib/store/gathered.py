"""The finished rows of a shard that is being made: in memory while they are few, else where they can be read again."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from workflow_scripts.lib.store.parts import Part
from workflow_scripts.lib.store.shard_rows import ShardRows, VideoRows, joined_times, placed

FAILED = "failed"
KEPT_BYTES = 64 * 2**20
"""Values of a shard that stay in memory; most features need less for all of a shard."""


class Finished(NamedTuple):
    """A finished video without its values.

    Attributes
    ----------
    shape : (T, D) of its values
    times : float32 (T, 2)
    status, reason, made_by : as in `Part`
    read : returns its values
    """

    shape: tuple[int, int]
    times: np.ndarray
    status: str
    reason: str
    made_by: tuple[str, ...]
    read: Callable[[], np.ndarray]


class Gathered:
    """Decides of finished videos, one after the other, whether their values stay in memory."""

    def __init__(self) -> None:
        self._left = KEPT_BYTES

    def __call__(self, part: Part, read_again: Callable[[], np.ndarray]) -> Finished:
        """Return a finished video.

        Parameters
        ----------
        part : with its values
        read_again : returns them once more, from where they are kept
        """
        read, values = read_again, part.values
        if values.nbytes <= self._left:
            self._left -= values.nbytes
            # Of a larger array only this part is to stay.
            read = _returning(values if values.base is None else values.copy())
        return Finished(values.shape, part.times.copy(), part.status, part.reason, part.made_by, read)


def _returning(values: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: values


def failed(video: Finished, reason: str, width: int) -> Finished:
    """Return a video as failed, without its rows."""
    nothing = np.zeros((0, width), np.float32)
    return video._replace(
        shape=nothing.shape, times=video.times[:0], status=FAILED, reason=reason, read=_returning(nothing)
    )


def shard_rows(finished: Mapping[str, Finished], keys: Mapping[str, str], width: int, dtype: np.dtype) -> ShardRows:
    """Return what a shard is written from, its videos sorted by id; values are read when they are written.

    Parameters
    ----------
    finished, keys : by id
    width, dtype : of a row
    """
    ordered = sorted(finished.items())
    videos = placed(
        [VideoRows(video_id, keys[video_id], 0, 0, video.status, video.reason) for video_id, video in ordered],
        [video.shape[0] for _, video in ordered],
    )
    times = joined_times([video.times for _, video in ordered])
    values = (video.read() for _, video in ordered if video.shape[0])
    return ShardRows(videos, times, dtype, (len(times), width), values)
