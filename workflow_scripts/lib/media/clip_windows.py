"""Positions of the frames in fixed-length clips, for networks that see several frames per row. Pure functions.

Each window is a pair `(start, stop)` or a list of positions in a sequence of T frames: the frames of the video, or what
the fps filter makes of them.
"""

import math
from fractions import Fraction

import numpy as np

# HERO decodes at 30 frames per second and feeds SlowFast 32 frames, every second one (repository
# linjieli222/HERO_Video_Feature_Extractor, options num_frames, sampling_rate, target_fps).
HERO_RATE = 30
SLOWFAST_FRAMES = 32
SLOWFAST_SAMPLING_RATE = 2

# Chunks of the I3D extraction script (repository piergiaj/pytorch-i3d, extract_features.py).
I3D_CHUNK = 1600
I3D_CHUNK_BEFORE = 48
I3D_CHUNK_AFTER = 56

TAILS = ("drop", "shift_back", "pad")


def windows_in(n_frames: int, window: int, stride: int, tail: str, skip_last: bool = False) -> list[tuple[int, int]]:
    """Return the windows of a sequence of frames.

    Parameters
    ----------
    n_frames : int
        T.
    window, stride : int
        Frames per window, and between the starts of windows.
    tail : {"drop", "shift_back", "pad"}
        What becomes of windows that do not fit: left out; moved back until they end with the last frame (shorter
        sequences give one shorter window); kept, to be filled with the last frame.
    skip_last : bool
        Whether the last frame is never used.

    Returns
    -------
    list of (start, stop)
        `stop` is past the end for a window to be filled. A window may be empty: a sequence of one frame with
        `skip_last` and `shift_back`.

    Notes
    -----
    Source: v-iashin/video_features (`drop`, `skip_last`: a stack waits for one more frame, which optical flow needs);
    26hzhang/VSLNet prepare/extract_*.py (`shift_back`, `skip_last`). parity: the starts of `shift_back` run over the
    skipped frame too, so that T = k * stride + 1 repeats the last window.
    """
    usable = n_frames - skip_last
    if tail == "drop":
        return [(start, start + window) for start in range(0, usable - window + 1, stride)]
    if tail == "pad":
        return [(start, start + window) for start in range(0, usable, stride)]
    stops = [min(usable, start + window) for start in range(0, n_frames, stride)]
    return [(max(0, stop - window), stop) for stop in stops]


def windows_in_blocks(
    n_frames: int, block: int, window: int, stride: int, *, tail: str, skip_last: bool = False
) -> list[tuple[int, int]]:
    """Return the windows of a long video that is read in blocks, each with a window grid of its own.

    Notes
    -----
    Source: 26hzhang/VSLNet prepare/extract_activitynet.py with blocks of 10,000 frames; a shorter video is one block.
    parity: a last block shorter than a window starts earlier; a last block of one frame is left out.
    """
    if n_frames < block:
        return windows_in(n_frames, window, stride, tail, skip_last)
    found = []
    for start in range(0, n_frames - 1, block):
        stop = min(start + block, n_frames)
        first = max(0, min(start, stop - window))
        found += [(first + a, first + b) for a, b in windows_in(stop - first, window, stride, tail, skip_last)]
    return found


def i3d_chunks(n_frames: int) -> list[tuple[int, int]]:
    """Return the chunks in which the I3D script reads a video: whole up to 1600 frames, else overlapping pieces.

    Notes
    -----
    Source: piergiaj/pytorch-i3d extract_features.py, used for LGI's Charades features. parity: chunked videos lose
    their first and last frame, and neighbouring chunks share up to 104 frames.
    """
    if n_frames <= I3D_CHUNK:
        return [(0, n_frames)] if n_frames else []
    starts = range(1, n_frames - I3D_CHUNK_AFTER, I3D_CHUNK)
    return [
        (max(1, start - I3D_CHUNK_BEFORE), min(n_frames - 1, start + I3D_CHUNK + I3D_CHUNK_AFTER)) for start in starts
    ]


def hero_clips(n_frames: int, clip_s: Fraction, duration_s: float | None) -> np.ndarray:
    """Return the clips of HERO's SlowFast loader.

    Parameters
    ----------
    n_frames : int
        T, frames at 30 per second.
    clip_s : Fraction
        Length of a clip in seconds.
    duration_s : float or None
        Duration of the stream's header; None keeps all clips.

    Returns
    -------
    int64 (K, F)
        Positions in the sequence, F = floor(30 * clip_s).

    Notes
    -----
    Source: HERO_Video_Feature_Extractor. The last frame fills the last second, then the last second is repeated until
    the number of seconds is a multiple of the clip (of the numerator of a fraction); ceil(duration / clip) clips stay.
    """
    if n_frames == 0:
        return np.zeros((0, int(HERO_RATE * clip_s)), np.int64)
    n_seconds = math.ceil(n_frames / HERO_RATE)
    seconds = np.minimum(np.arange(n_seconds * HERO_RATE), n_frames - 1).reshape(n_seconds, HERO_RATE)
    missing = -n_seconds % clip_s.numerator
    frames = np.concatenate([seconds, np.repeat(seconds[-1:], missing, axis=0)]).reshape(-1)
    clips = frames.reshape(-1, int(HERO_RATE * clip_s))
    return clips if duration_s is None else clips[: math.ceil(duration_s / float(clip_s))]


def slowfast_positions(clip_s: Fraction, average_rate: Fraction, end: str) -> np.ndarray:
    """Return int64 (32,): which frames of a clip at 30 per second SlowFast's fast pathway sees.

    Parameters
    ----------
    clip_s : Fraction
        Length of the clip in seconds.
    average_rate : Fraction
        Frame rate of the source.
    end : {"float", "int"}
        Whether the end of the span keeps its fraction (HERO) or loses it (lighthouse).

    Notes
    -----
    Source: HERO_Video_Feature_Extractor and line/lighthouse. parity: the frames are at 30 per second already, yet the
    span is scaled by the rate of the source, so that a 60 fps source repeats the clip's last frame.
    """
    span = SLOWFAST_FRAMES * SLOWFAST_SAMPLING_RATE * math.floor(average_rate) / HERO_RATE
    last = int(span - 1) if end == "int" else span - 1
    positions = _float32_linspace(last, SLOWFAST_FRAMES)
    return np.clip(positions, 0, int(HERO_RATE * clip_s) - 1).astype(np.int64)


def _float32_linspace(last: float, n: int) -> np.ndarray:
    """Return n values from 0 to `last` in single precision, the second half counted from the end."""
    # parity: torch.linspace does so, and truncation shows the last bit.
    end = np.float32(last)
    step = end / np.float32(n - 1)
    i = np.arange(n, dtype=np.float32)
    return np.where(i < n // 2, step * i, end - step * (np.float32(n - 1) - i))
