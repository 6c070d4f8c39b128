"""Frames of a video, only those that a plan names, already resized, in one sequential pass of ffmpeg."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import ffmpeg as ffmpeg_python
import numpy as np

from workflow_scripts.media.ffmpeg import file_url, read_blocks
from workflow_scripts.media.media_error import DecodeError
from workflow_scripts.media.probe import frame_times, open_video, video_stream
from workflow_scripts.media.resize import resize_for

# The kernel takes at most 128 KiB per argument.
_LONGEST_ARGUMENT = 100_000


def decode_frames(
    path: Path | str, frame_idx: Sequence[int] | np.ndarray, resize: dict[str, Any] | None, ffmpeg: str | None = None
) -> Iterator[np.ndarray]:
    """Yield the planned frames of a video in order.

    Parameters
    ----------
    path : Path or str
        The video.
    frame_idx : int (T,)
        Positions in presentation order, never decreasing. A repeated position yields the same frame again.
    resize : dict or None
        A resize rule as in a feature file; None: native size.
    ffmpeg : str, optional
        As `ffmpeg_exe`.

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
    for frame, n_times in zip(_distinct_frames(path, distinct, resize, ffmpeg), repeats, strict=False):
        for _ in range(n_times):
            yield frame
        n_delivered += 1
    if n_delivered < len(distinct):
        raise DecodeError(f"{path}: {len(distinct)} frames were planned, {n_delivered} could be decoded.")


def _distinct_frames(
    path: Path | str, wanted: np.ndarray, resize: dict[str, Any] | None, ffmpeg: str | None
) -> Iterator[np.ndarray]:
    """Yield the frames at increasing positions, as many as the decoder gives."""
    media = frame_times(path)
    chosen = wanted[wanted < len(media.pts)]
    if len(chosen) == 0:
        return
    stream_index, width, height = _first_picture(path)
    picture = resize_for(resize, width, height)
    shape = (picture.size, picture.size, 3) if picture.by == "ffmpeg" else (height, width, 3)
    if media.is_timed:
        expression = select_expression("t", media.pts * float(media.time_base), chosen)
    else:
        expression = select_expression("n", np.arange(len(media.pts), dtype=float), chosen)
    # A stream may change its size on the way: frames at native size take that of the first picture.
    chain = f"select='{expression}',{picture.filters() or f'scale={width}:{height}:flags=bicubic'}"
    for block in _filtered_frames(path, stream_index, chain, len(chosen), int(np.prod(shape)), ffmpeg):
        yield picture.finish(np.frombuffer(block, np.uint8).reshape(shape))


def decode_rows(
    path: Path | str,
    frame_idx: Sequence[int] | np.ndarray,
    frames_per_row: Sequence[int] | np.ndarray,
    resize: dict[str, Any] | None,
    ffmpeg: str | None = None,
) -> Iterator[np.ndarray]:
    """Yield the frames of each planned row in order; rows may share frames.

    Parameters
    ----------
    path, resize, ffmpeg
        As `decode_frames`.
    frame_idx : int (sum of frames_per_row,)
        Positions in presentation order, row after row.
    frames_per_row : int (T,)
        Number of frames K of each row, at least 1.

    Yields
    ------
    uint8 (K, size, size, 3)
        RGB.

    Raises
    ------
    DecodeError
        As `decode_frames`.

    Notes
    -----
    Each frame is decoded and resized once and held until the last row that needs it.
    """
    positions = np.asarray(frame_idx, np.int64)
    rows = np.split(positions, np.cumsum(frames_per_row)[:-1]) if len(positions) else []
    still_needed = _first_needed_later(rows)
    distinct = np.unique(positions)
    held: dict[int, np.ndarray] = {}
    with contextlib.closing(decode_frames(path, distinct, resize, ffmpeg)) as frames:
        arriving = zip(distinct.tolist(), frames, strict=True)
        newest = -1
        for row, first_needed in zip(rows, still_needed, strict=True):
            while newest < row.max():
                newest, frame = next(arriving)
                held[newest] = frame
            yield np.stack([held[position] for position in row.tolist()])
            held = {position: frame for position, frame in held.items() if position >= first_needed}


def _first_needed_later(rows: list[np.ndarray]) -> list[int]:
    """Return for each row the smallest position that a later row needs."""
    smallest, found = 2**62, []
    for row in reversed(rows):
        found.append(smallest)
        smallest = min(smallest, int(row.min()))
    return found[::-1]


def select_expression(clock: str, frame_clock: np.ndarray, chosen: np.ndarray) -> str:
    """Return an expression of ffmpeg's `select` filter that is true for the chosen frames only.

    Parameters
    ----------
    clock : {"t", "n"}
        The filter's variable that tells frames apart: seconds, or number.
    frame_clock : float64 (N,)
        Its value for every frame, strictly increasing.
    chosen : int64 (K,)
        Distinct positions in `frame_clock`, increasing.

    Returns
    -------
    str
        A balanced tree over the runs of neighbouring frames: a few comparisons per frame even for thousands of runs.
        A second frame with the value of the last selected one is refused.
    """
    # Borders lie half-way between neighbouring frames, so that rounding cannot matter.
    inner = (frame_clock[:-1] + frame_clock[1:]) / 2
    borders = np.concatenate([[frame_clock[0] - 1], inner, [frame_clock[-1] + 1]])
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(chosen) > 1) + 1])
    lasts = np.concatenate([firsts[1:] - 1, [len(chosen) - 1]])
    runs = [(borders[chosen[a]], borders[chosen[b] + 1]) for a, b in zip(firsts, lasts, strict=True)]

    def tree(low: int, high: int) -> str:
        if high - low == 1:
            return f"between({clock},{runs[low][0]:.7f},{runs[low][1]:.7f})"
        middle = (low + high) // 2
        border = (runs[middle - 1][1] + runs[middle][0]) / 2
        return f"if(lt({clock},{border:.7f}),{tree(low, middle)},{tree(middle, high)})"

    return f"({tree(0, len(runs))})*(isnan(prev_selected_{clock})+gt({clock},prev_selected_{clock}))"


def _filtered_frames(
    path: Path | str, stream_index: int, chain: str, n_frames: int, frame_bytes: int, program: str | None
) -> Iterator[bytearray]:
    """Run one pass with a filter chain over the video stream; a long chain travels in a file."""
    with contextlib.ExitStack() as stack:
        option = {"filter:v": chain}
        if len(chain) > _LONGEST_ARGUMENT:
            script = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".ffmpeg"))
            script.write(chain)
            script.flush()
            option = {"/filter:v": script.name}
        # copyts: times stay those of the packets, whatever the container's start.
        source = ffmpeg_python.input(file_url(path), threads=1, copyts=None)
        sink = ffmpeg_python.output(
            source[str(stream_index)],
            "pipe:1",
            format="rawvideo",
            pix_fmt="rgb24",
            fps_mode="passthrough",
            frames=n_frames,
            filter_threads=1,
            **option,
        )
        for block in read_blocks(sink, frame_bytes, program):
            if len(block) == frame_bytes:
                yield block


def _first_picture(path: Path | str) -> tuple[int, int, int]:
    """Return the number of the video stream, and width and height after the rotation that the file asks for."""
    with open_video(path) as container:
        stream = video_stream(container)
        stream.codec_context.thread_count = 1
        try:
            frame = next(container.decode(stream), None)
        except av.FFmpegError as error:
            raise DecodeError(f"{path}: no picture could be decoded ({error.strerror}).") from error
        if frame is None:
            raise DecodeError(f"{path}: no picture could be decoded.")
        size = (frame.height, frame.width) if frame.rotation % 180 else (frame.width, frame.height)
        return stream.index, *size
