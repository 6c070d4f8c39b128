"""Frames of a video, only those that a plan names, already resized, in one sequential pass of a decoder."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.decode_program import ffmpeg_frames, nvdec_frames, require_nvdec
from workflow_scripts.lib.media.decode_pyav import pyav_frames, pyav_frames_together
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.frame_request import FrameClock, FrameRequest, Video, existing_frames
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.resize import PictureResize, resize_for

DECODERS = ("auto", "pyav", "ffmpeg", "nvdec")
# Starting the program costs about as much as decoding and delivering this many frames here; beyond, its own threads
# decode and resize at the same time (tests/benchmarks/decoders.py).
_WORTH_A_PROCESS = 300


def decode_frames(
    video: Video,
    clock: FrameClock,
    frame_idx: Sequence[int] | np.ndarray,
    resize: dict[str, Any] | None,
    ffmpeg: str | None = None,
    decoder: str = "auto",
) -> Generator[np.ndarray, None, None]:
    """Yield the planned frames of a video in order.

    Parameters
    ----------
    video : Video
        The file, and what its probe found.
    clock : FrameClock
        That of these frames.
    frame_idx : int (T,)
        Positions in presentation order, never decreasing. A repeated position yields the same frame again.
    resize : dict or None
        A resize rule as in a feature file; None: native size.
    ffmpeg : str, optional
        As `ffmpeg_exe`.
    decoder : {"auto", "pyav", "ffmpeg", "nvdec"}
        Who decodes; the frames are the same. `auto`: the ffmpeg program, but this process (PyAV) for a few frames of a
        short video.

    Yields
    ------
    uint8 (size, size, 3) or (H, W, 3)
        RGB. Rotation that the file asks for is applied first.

    Raises
    ------
    DecodeError
        If the file cannot be opened; or, after everything that exists was yielded, if frames are missing.

    Notes
    -----
    Frames are selected by their presentation time (where there is one), so that a frame that the decoder drops, as in a
    stream cut between key frames, never shifts the following ones. One thread, so that the bytes do not depend on the
    machine.
    """
    wanted = np.asarray(frame_idx, np.int64)
    if len(wanted) == 0:
        return
    if wanted[0] < 0 or np.any(np.diff(wanted) < 0):
        raise ValueError("frame_idx must not be negative or decrease")
    distinct, repeats = np.unique(wanted, return_counts=True)
    n_delivered = 0
    for frame, n_times in zip(_distinct_frames(video, clock, distinct, resize, ffmpeg, decoder), repeats, strict=False):
        for _ in range(n_times):
            yield frame
        n_delivered += 1
    if n_delivered < len(distinct):
        raise DecodeError(f"{video.path}: {len(distinct)} frames were planned, {n_delivered} could be decoded.")


@dataclass(frozen=True)
class Taker:
    """What one of several takers wants of a video.

    Attributes
    ----------
    clock : FrameClock
        That of its frames.
    positions : int64 (K,)
        In presentation order, each once, increasing.
    resize : dict or None
        As for `decode_frames`.
    """

    clock: FrameClock
    positions: np.ndarray
    resize: dict[str, Any] | None


def decode_together(video: Video, takers: Sequence[Taker]) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yield the frames of several takers in one pass over a video: to each those that `decode_frames` would give it.

    Parameters
    ----------
    video : Video
    takers : sequence of Taker

    Yields
    ------
    number of the taker, uint8 (size, size, 3) or (H, W, 3)
        The frames of each taker in order.

    Raises
    ------
    DecodeError
        If the file cannot be opened; or, after everything that exists was yielded, if frames of any taker are missing.
    """
    missing = [len(taker.positions) for taker in takers]
    asked = [_request(video, taker.clock, taker.positions, taker.resize) for taker in takers]
    # Of positions that the video does not have, nothing is asked.
    numbers = [number for number, (request, _) in enumerate(asked) if len(request.chosen)]
    if numbers:
        for place, frame in pyav_frames_together([asked[number][0] for number in numbers]):
            number = numbers[place]
            missing[number] -= 1
            yield number, asked[number][1].finish(frame)
    if any(missing):
        raise DecodeError(f"{video.path}: {sum(missing)} of the frames that were planned could not be decoded.")


def _distinct_frames(
    video: Video,
    clock: FrameClock,
    wanted: np.ndarray,
    resize: dict[str, Any] | None,
    ffmpeg: str | None,
    decoder: str,
) -> Iterator[np.ndarray]:
    """Yield the frames at increasing positions, as many as the decoder gives."""
    request, picture = _request(video, clock, wanted, resize)
    if len(request.chosen):
        for frame in _run(decoder, request, ffmpeg):
            yield picture.finish(frame)


def _request(
    video: Video, clock: FrameClock, wanted: np.ndarray, resize: dict[str, Any] | None
) -> tuple[FrameRequest, PictureResize]:
    """Return what a decoder is asked for, and what is left to be done with its frames."""
    chosen = existing_frames(wanted, clock.n_frames)
    if len(chosen) != len(clock.after):
        raise ValueError(f"the clock is for {len(clock.after)} frames, {len(chosen)} are wanted")
    picture = resize_for(resize, video.width, video.height)
    shape = (picture.size, picture.size, 3) if picture.by == "ffmpeg" else (video.height, video.width, 3)
    # A stream may change its size on the way: frames at native size take that of the first picture.
    filters = picture.filters() or f"scale={video.width}:{video.height}:flags=bicubic"
    return FrameRequest(video.path, video.stream_index, clock, chosen, filters, shape), picture


def _run(decoder: str, request: FrameRequest, ffmpeg: str | None) -> Iterator[np.ndarray]:
    if decoder == "nvdec":
        return nvdec_frames(request, ffmpeg)
    is_long = request.clock.n_frames + len(request.chosen) >= _WORTH_A_PROCESS
    if decoder == "ffmpeg" or (decoder == "auto" and is_long):
        return ffmpeg_frames(request, ffmpeg)
    return pyav_frames(request)


def check_decoder(decoder: str, ffmpeg: str | None = None) -> None:
    """Check that a decoder can be used on this machine, before any video is blamed for it.

    Raises
    ------
    UserError
        It is unknown, it is `nvdec` and there is no GPU, or the ffmpeg program cannot be run.
    """
    if decoder not in DECODERS:
        raise UserError(f"decoder: expected one of {', '.join(DECODERS)}, found {decoder!r}.")
    if decoder == "nvdec":
        require_nvdec(ffmpeg)
    if decoder != "pyav":
        ffmpeg_exe(ffmpeg)


def frame_rows(
    deliver: Callable[[np.ndarray], Generator[np.ndarray, None, None]],
    frame_idx: Sequence[int] | np.ndarray,
    frames_per_row: Sequence[int] | np.ndarray,
) -> Iterator[np.ndarray]:
    """Yield the frames of each planned row in order; rows may share frames.

    Parameters
    ----------
    deliver : callable
        Increasing positions -> their frames, uint8 (H, W, C).
    frame_idx, frames_per_row
        As for `Rows`.

    Yields
    ------
    uint8 (K, H, W, C)
    """
    rows = Rows(frame_idx, frames_per_row)
    with contextlib.closing(deliver(rows.positions)) as frames:
        for frame in frames:
            yield from rows.add(frame)


class Rows:
    """The planned rows of a video, put together from its frames as they come.

    Parameters
    ----------
    frame_idx : int (sum of frames_per_row,)
        Positions in presentation order, row after row.
    frames_per_row : int (T,), optional
        Number of frames K of each row, at least 1. None: every row is one frame.

    Attributes
    ----------
    positions : int64 (N,)
        The frames that are needed, each once, increasing.

    Notes
    -----
    Each frame is held until the last row that needs it.
    """

    def __init__(
        self, frame_idx: Sequence[int] | np.ndarray, frames_per_row: Sequence[int] | np.ndarray | None = None
    ) -> None:
        wanted = np.asarray(frame_idx, np.int64)
        self._has_windows = frames_per_row is not None
        cuts = np.cumsum(np.ones(len(wanted), int) if frames_per_row is None else frames_per_row)[:-1]
        self._rows = np.split(wanted, cuts) if len(wanted) else []
        self._needed_later = _first_needed_later(self._rows)
        self.positions = np.unique(wanted)
        self._n_frames = self._n_rows = 0
        self._held: dict[int, np.ndarray] = {}

    def add(self, frame: np.ndarray) -> Iterator[np.ndarray]:
        """Take the next of `positions`, uint8 (H, W, C); yield the rows that it completes, of K frames or one."""
        newest = int(self.positions[self._n_frames])
        self._held[newest] = frame
        self._n_frames += 1
        while self._n_rows < len(self._rows) and self._rows[self._n_rows].max() <= newest:
            row, first_needed = self._rows[self._n_rows].tolist(), self._needed_later[self._n_rows]
            self._n_rows += 1
            yield np.stack([self._held[position] for position in row]) if self._has_windows else frame
            self._held = {position: held for position, held in self._held.items() if position >= first_needed}


def _first_needed_later(rows: list[np.ndarray]) -> list[int]:
    """Return for each row the smallest position that a later row needs."""
    smallest, found = 2**62, []
    for row in reversed(rows):
        found.append(smallest)
        smallest = min(smallest, int(row.min()))
    return found[::-1]
