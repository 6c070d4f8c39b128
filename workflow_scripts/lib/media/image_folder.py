"""Frames of a video that lie in a folder as numbered images: colour pictures, or optical flow as two grey ones each."""

import re
from collections.abc import Generator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.media_error import DecodeError, MediaError
from workflow_scripts.lib.media.resize import resize_for
from workflow_scripts.lib.media.sampling import FrameTimes

FRAME = "{frame}"
VIDEO = "{video_id}"

_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
"""Others, such as EPS, are drawn by programs of their own."""
_MOST_PIXELS = 2**26

Frames = list[tuple[Path, ...]]
"""The files of each frame, one or (x, y), by number."""


def list_images(folder: Path, patterns: Sequence[str], video_id: str) -> Frames:
    """Return the files of every frame of a video.

    Parameters
    ----------
    folder : the folder of this video
    patterns : one file name for colour pictures, two (x and y) for flow; `{frame}` stands for the number, with or
        without leading zeros, and `{video_id}` for the video
    video_id : of the video

    Raises
    ------
    MediaError
        The folder or its files are not there, numbers do not run from 0 or 1 without a gap, two files have the same
        number, or a flow image has no partner.
    """
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder of images.")
    names = sorted(path.name for path in folder.iterdir())
    found = [_numbered(folder, names, pattern.replace(VIDEO, video_id)) for pattern in patterns]
    if not any(found):
        example = f", found e.g. {names[0]}" if names else ", which is empty"
        raise MediaError(f"{folder}: no file there is called as {' or '.join(patterns)}{example}.")
    every = sorted(set().union(*found))
    for side, pattern in zip(found, patterns, strict=True):
        lonely = next((number for number in every if number not in side), None)
        if lonely is not None:
            partner = next(other[lonely] for other in found if lonely in other)
            raise MediaError(f"{folder}: {partner.name} has no partner called as {pattern}.")
    first = min(every[0], 1)
    gap = next((number for number, there in enumerate(every, first) if number != there), None)
    if gap is not None:
        raise MediaError(f"{folder}: frame {gap} is missing, the last one is {every[-1]}.")
    return [tuple(side[number] for side in found) for number in every]


def _numbered(folder: Path, names: Sequence[str], pattern: str) -> dict[int, Path]:
    before, after = map(re.escape, pattern.split(FRAME))
    regex = re.compile(f"{before}([0-9]+){after}")
    found: dict[int, Path] = {}
    for name in names:
        match = regex.fullmatch(name)
        if match is None:
            continue
        number = int(match[1])
        if number in found:
            raise MediaError(f"{folder}: {found[number].name} and {name} have the same number.")
        found[number] = folder / name
    return found


def image_times(n_frames: int, rate: Fraction) -> FrameTimes:
    """Return the times of numbered frames: the first at second 0, then `rate` per second."""
    return FrameTimes(
        pts=np.arange(n_frames, dtype=np.int64),
        time_base=1 / rate,
        start=0,
        end=n_frames,
        duration_s=float(n_frames / rate),
        average_rate=rate,
    )


def read_images(
    frames: Frames, frame_idx: Sequence[int] | np.ndarray, resize: dict[str, Any] | None
) -> Generator[np.ndarray, None, None]:
    """Yield the planned frames in order.

    Parameters
    ----------
    frames : as `list_images`
    frame_idx : positions in it
    resize : a resize rule as in a feature file, one that works on the native frame; None: native size

    Yields
    ------
    uint8 (H, W, 3), RGB; or (H, W, 2), flow in x and y

    Raises
    ------
    DecodeError
        If a file is gone or is no image, or if x and y differ in size.
    UserError
        If the resize rule is one of ffmpeg's.
    """
    for position in np.asarray(frame_idx).tolist():
        if position >= len(frames):
            raise DecodeError(f"{frames[0][0].parent}: {len(frames)} frames are left, frame {position} was planned.")
        picture = _read(frames[position])
        rule = resize_for(resize, picture.shape[1], picture.shape[0])
        if resize is not None and rule.by == "ffmpeg":
            raise UserError(f"resize: rule {resize['rule']} is not for images; try clip_pil, vf_i3d or vslnet_charades")
        yield rule.finish(picture)[:, :, : 3 if len(frames[position]) == 1 else 2]


def _read(files: tuple[Path, ...]) -> np.ndarray:
    """Return uint8 (H, W, 3): RGB, or x, y and an empty channel, so that every resize rule takes it."""
    if len(files) == 1:
        return _pixels(files[0], "RGB")
    x, y = (_pixels(path, "L") for path in files)
    if x.shape != y.shape:
        raise DecodeError(f"{files[1]}: is not as large as {files[0].name}.")
    return np.stack([x, y, np.zeros_like(x)], axis=2)


def _pixels(path: Path, mode: str) -> np.ndarray:
    try:
        with Image.open(path, formats=_FORMATS) as picture:
            width, height = picture.size
            if width * height > _MOST_PIXELS:
                raise DecodeError(f"{path}: claims {width} x {height} pixels, which no frame of a video has.")
            return np.asarray(picture.convert(mode))
    except DecodeError:
        raise
    # Pillow raises what it likes at damaged bytes: SyntaxError, struct.error, MemoryError and others.
    except Exception as error:
        raise DecodeError(f"{path}: cannot be read as an image ({str(error) or type(error).__name__}).") from error
