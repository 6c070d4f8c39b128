"""Frames of a video, only those that a plan names, already resized, in one sequential pass of ffmpeg."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import av
import ffmpeg as ffmpeg_python
import numpy as np

from workflow_scripts.errors import UserError
from workflow_scripts.media.ffmpeg import file_url, read_blocks
from workflow_scripts.media.media_error import DecodeError
from workflow_scripts.media.probe import frame_times, open_video, video_stream

# The kernel takes at most 128 KiB per argument.
_LONGEST_ARGUMENT = 100_000


class Resize(NamedTuple):
    """A resize rule applied to a picture of known size: scale to `width` x `height`, then cut `size` x `size` out."""

    size: int
    width: int
    height: int
    interpolation: str

    def filters(self) -> str:
        """Return the ffmpeg filters."""
        scale = f"scale={self.width}:{self.height}:flags={self.interpolation}"
        if (self.width, self.height) == (self.size, self.size):
            return scale
        left, top = (self.width - self.size) // 2, (self.height - self.size) // 2
        return f"{scale},crop={self.size}:{self.size}:{left}:{top}"


def _squash(size: int, width: int, height: int) -> Resize:
    """Both sides to `size`, aspect ratio lost, bilinear: what decord and LAVIS do."""
    return Resize(size, size, size, "bilinear")


def _hero(size: int, width: int, height: int) -> Resize:
    """Shorter side to `size`, the other truncated, bicubic, centre crop: what HERO's video loaders do."""
    if height >= width:
        return Resize(size, size, int(height * size / width), "bicubic")
    return Resize(size, int(width * size / height), size, "bicubic")


RESIZE_RULES = {"squash": _squash, "hero": _hero}


def resize_for(rule: dict[str, Any], width: int, height: int) -> Resize:
    """Apply a resize rule, given as in a feature file (`{rule: hero, size: 224}`), to a picture as displayed.

    Raises
    ------
    UserError
        If the rule is unknown or its size is not a whole number from 1.
    """
    name, size = rule.get("rule"), rule.get("size")
    if name not in RESIZE_RULES:
        raise UserError(f"resize: unknown rule {name!r}. Known: {', '.join(sorted(RESIZE_RULES))}.")
    if not isinstance(size, int) or size < 1 or set(rule) != {"rule", "size"}:
        raise UserError(f"resize: expected {{rule: {name}, size: <pixels>}}, found {rule!r}.")
    return RESIZE_RULES[name](size, width, height)


def decode_frames(
    path: Path | str, frame_idx: Sequence[int] | np.ndarray, resize: dict[str, Any], ffmpeg: str | None = None
) -> Iterator[np.ndarray]:
    """Yield the planned frames of a video in order.

    Parameters
    ----------
    path : Path or str
        The video.
    frame_idx : int (T,)
        Positions in presentation order, never decreasing. A repeated position yields the same frame again.
    resize : dict
        A resize rule as in a feature file.
    ffmpeg : str, optional
        As `ffmpeg_exe`.

    Yields
    ------
    uint8 (size, size, 3)
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
    media = frame_times(path)
    distinct, repeats = np.unique(wanted, return_counts=True)
    present = distinct < len(media.pts)
    n_delivered = 0
    if present.any():
        chosen = distinct[present]
        stream_index, width, height = _first_picture(path)
        picture = resize_for(resize, width, height)
        shape = (picture.size, picture.size, 3)
        if media.is_timed:
            expression = select_expression("t", media.pts * float(media.time_base), chosen)
        else:
            expression = select_expression("n", np.arange(len(media.pts), dtype=float), chosen)
        chain = f"select='{expression}',{picture.filters()}"
        for block in _filtered_frames(path, stream_index, chain, len(chosen), int(np.prod(shape)), ffmpeg):
            frame = np.frombuffer(block, np.uint8).reshape(shape)
            for _ in range(repeats[n_delivered]):
                yield frame
            n_delivered += 1
    if n_delivered < len(distinct):
        raise DecodeError(f"{path}: {len(distinct)} frames were planned, {n_delivered} could be decoded.")


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
