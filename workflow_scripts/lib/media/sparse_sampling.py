"""Positions of single frames: one per second, or a fixed number per video. Pure functions."""

from fractions import Fraction

import numpy as np


def seek_per_second(
    pts: np.ndarray, time_base: Fraction, end: int, rate: Fraction, average_rate: Fraction | None
) -> np.ndarray:
    """Return the frames that a player finds at 0, 1/rate, 2/rate, ... seconds after the first frame.

    Parameters
    ----------
    pts : int64 (N,)
        Presentation times in ticks, strictly increasing.
    time_base : Fraction
        Seconds per tick.
    end : int
        End of the last frame in ticks.
    rate : Fraction
        Wanted frames per second; 1 is the published value.
    average_rate : Fraction or None
        Frame rate F that the header states.

    Returns
    -------
    int64 (T,)
        Never decreasing.

    Notes
    -----
    Source: HiREST (OpenCV seek in steps of 1000 ms), table `cv2_seek_1fps` of the goldens. At a constant rate it is
    frame floor(s * F + 1/2) while there is one. parity: with a variable rate the published loop gives frames out of
    order (mkv) or never ends (mp4); here it is the last frame that has started, until the last frame ends.
    """
    if average_rate is not None and is_constant(pts, time_base, average_rate):
        step = average_rate / rate
        n_rows = _count_below(len(pts), step)
        return np.array([_round_half_up(slot * step) for slot in range(n_rows)], np.int64)
    ticks = 1 / (rate * time_base)
    n_rows = -(-(end - int(pts[0])) // ticks)
    starts = np.array([int(pts[0]) + slot * ticks.numerator // ticks.denominator for slot in range(n_rows)], np.int64)
    return np.searchsorted(pts, starts, side="right") - 1


def is_constant(pts: np.ndarray, time_base: Fraction, rate: Fraction) -> bool:
    """Return whether every frame is within one tick of where a constant rate would put it."""
    ticks = 1 / (rate * time_base)
    expected = np.arange(len(pts)) * (ticks.numerator / ticks.denominator)
    return bool(np.all(np.abs(pts - pts[0] - expected) <= 1 + 1e-6))


def _round_half_up(value: Fraction) -> int:
    return int((value + Fraction(1, 2)) // 1)


def _count_below(n_frames: int, step: Fraction) -> int:
    """Return the number of slots s from 0 with floor(s * step + 1/2) < n_frames."""
    return int(-(-(n_frames - Fraction(1, 2)) // step))


def lavis_edges(start: int, end: int, n_frames: int) -> np.ndarray:
    """Return int64 (n + 1,): borders of n = min(n_frames, end - start) equal parts of the frames [start, end).

    Notes
    -----
    Source: LAVIS `load_video` (decord), read by CALCE and mr-Blip; borders are truncated.
    """
    return np.linspace(start, end, min(n_frames, end - start) + 1).astype(np.int64)


def lavis_head(edges: np.ndarray) -> np.ndarray:
    """Return the first frame of each part: what CALCE trains and tests with."""
    return edges[:-1]


def lavis_uniform(edges: np.ndarray) -> np.ndarray:
    """Return the middle frame of each part."""
    return (edges[:-1] + edges[1:]) // 2


def linspace_frames(n_source: int, n_frames: int) -> np.ndarray:
    """Return int64 (n_frames,): evenly spaced positions from the first to the last frame, truncated.

    A video with fewer frames repeats some of them.
    """
    return np.linspace(0, n_source - 1, n_frames).astype(np.int64)
