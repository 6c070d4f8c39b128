"""What a decoder is asked for: which frames of which stream, and what becomes of them.

What the probe and the sampling plan found is handed over, so that a decoder opens its video once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from workflow_scripts.lib.media.sampling import FrameTimes


@dataclass(frozen=True)
class Video:
    """A video file and what the probe found about its pictures.

    Attributes
    ----------
    path : Path or str
    stream_index : int
        Number of the video stream in the container.
    width, height : int
        Pixels of the first picture after the rotation that the file asks for.
    """

    path: Path | str
    stream_index: int
    width: int
    height: int
    COLUMNS: ClassVar = ("path", "stream_index", "width", "height", "rotation")

    @classmethod
    def of_row(cls, row: Mapping[str, Any], folder: Path) -> Self:
        """Return the video of a row of a media table, its `COLUMNS`; `folder` is that of the videos."""
        size = row["width"], row["height"]
        width, height = reversed(size) if row["rotation"] % 180 else size
        return cls(folder / row["path"], row["stream_index"], width, height)


@dataclass(frozen=True)
class FrameClock:
    """How the frames of a plan are told from all others while a video is decoded.

    Attributes
    ----------
    is_timed : bool
        True: by their presentation times in seconds. False, where the container has none: by their numbers in the order
        in which they are decoded.
    n_frames : int
        Frames of the video.
    after, until : float64 (K,)
        Frame k of the K different ones that are wanted, in order, is the one whose value is above `after[k]` and not
        above `until[k]`: half-way to its neighbours in the video, so that rounding cannot matter.
    """

    is_timed: bool
    n_frames: int
    after: np.ndarray
    until: np.ndarray

    @classmethod
    def of_frames(cls, media: FrameTimes, frame_idx: np.ndarray) -> Self:
        """Return the clock for some frames of a video.

        Parameters
        ----------
        media : FrameTimes
            Of all frames.
        frame_idx : int (T,)
            Positions of the wanted ones; those that the video does not have are left out.
        """
        n_frames = len(media.pts)
        values = media.pts * float(media.time_base) if media.is_timed else np.arange(n_frames, dtype=float)
        borders = np.concatenate([[values[0] - 1], (values[:-1] + values[1:]) / 2, [values[-1] + 1]])
        chosen = existing_frames(frame_idx, n_frames)
        return cls(media.is_timed, n_frames, borders[chosen], borders[chosen + 1])

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Self:
        """Return the clock that a row of a plan holds."""
        return cls(row["is_timed"], row["n_frames"], np.array(row["clock_after"]), np.array(row["clock_until"]))

    def in_ticks(self, time_base: Fraction) -> tuple[list[int], list[int]]:
        """Return `after` and `until` in whole ticks of a stream, or numbers of frames: a frame's own is compared so.

        Parameters
        ----------
        time_base : Fraction
            Seconds per tick.
        """
        per_value = float(1 / time_base) if self.is_timed else 1
        after, until = np.floor(np.stack([self.after, self.until]) * per_value).astype(np.int64).tolist()
        return after, until

    def columns(self) -> dict[str, Any]:
        """Return the clock as columns of a plan."""
        borders = {"clock_after": self.after.tolist(), "clock_until": self.until.tolist()}
        return {"is_timed": self.is_timed, "n_frames": self.n_frames, **borders}


def existing_frames(frame_idx: np.ndarray, n_frames: int) -> np.ndarray:
    """Return the different positions among `frame_idx` that a video of `n_frames` has, increasing, int64 (K,)."""
    distinct = np.unique(np.asarray(frame_idx, np.int64))
    return distinct[distinct < n_frames]


@dataclass(frozen=True)
class FrameRequest:
    """One pass over a video stream.

    Attributes
    ----------
    path : Path or str
        The video.
    stream_index : int
        Number of the stream in the container.
    clock : FrameClock
        Tells which frames are wanted.
    chosen : int64 (K,)
        Their positions, increasing, at least one.
    filters : str
        ffmpeg filters that bring an upright picture to its size.
    shape : (height, width, 3)
        Of what the filters deliver.
    """

    path: Path | str
    stream_index: int
    clock: FrameClock
    chosen: np.ndarray
    filters: str
    shape: tuple[int, int, int]
