"""Frames of a video as the workflow decodes them: probed and timed first, then decoded with what was found."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.media.decode import decode_frames, frame_rows
from workflow_scripts.lib.media.frame_request import FrameClock, Video
from workflow_scripts.lib.media.probe import frame_times, probe

Frames = Sequence[int] | np.ndarray
ResizeRule = dict[str, Any] | None


def found(path: Path | str, frame_idx: Frames) -> tuple[Video, FrameClock]:
    """Return what probe and plan find for frames of a video, even of one that the probe finds fault with."""
    if len(frame_idx) == 0:
        return Video(path, 0, 0, 0), FrameClock(True, 0, np.zeros(0), np.zeros(0))
    clock = FrameClock.of_frames(frame_times(path), np.asarray(frame_idx))
    info, place = asdict(probe(path)), Path(path)
    return Video.of_row({**info, "rotation": info["rotation"] or 0, "path": place.name}, place.parent), clock


def decoded(
    path: Path | str, frame_idx: Frames, resize: ResizeRule, *program: Any, **options: Any
) -> Generator[np.ndarray, None, None]:
    """Yield the frames at these positions; see `decode_frames`, to which further arguments go."""
    return decode_frames(*found(path, frame_idx), frame_idx, resize, *program, **options)


def decoded_rows(
    path: Path | str, frame_idx: Frames, frames_per_row: Sequence[int], resize: ResizeRule, *program: Any
) -> Iterator[np.ndarray]:
    """Yield the frames of each planned row; see `frame_rows`."""
    return frame_rows(lambda positions: decoded(path, positions, resize, *program), frame_idx, frames_per_row)
