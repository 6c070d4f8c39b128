"""Lines of a transcript -> rows per second or per clip; seconds of a video -> rows of its features."""

import math
from collections.abc import Sequence

import numpy as np


def warp_to_seconds(rows: np.ndarray, spans_s: Sequence[tuple[float, float]], n_rows: int) -> np.ndarray:
    """Spread the embeddings of subtitles over the seconds in which they are spoken.

    Parameters
    ----------
    rows : (n, D), one per subtitle, in the order of the file
    spans_s : n pairs of start and end
    n_rows : T, seconds of the video (HiREST: its duration, rounded half to even)

    Returns
    -------
    (T, D) of the type of `rows`; seconds without speech are zero

    Notes
    -----
    Source: j-min/HiREST, hirest_dataset.py. parity: both ends lose their fraction, the end is exclusive, so that a
    subtitle inside one second vanishes; of overlapping subtitles the later one stays; what lies past the video is cut.
    """
    seconds = np.zeros((n_rows, rows.shape[1]), rows.dtype)
    for row, (start_s, end_s) in zip(rows, spans_s, strict=True):
        seconds[math.floor(start_s) : math.floor(end_s)] = row
    return seconds


def warp_to_clips(rows: np.ndarray, spans_s: Sequence[tuple[float, float]], clip_s: float, n_rows: int) -> np.ndarray:
    """Average the embeddings of subtitles over equal clips, weighted by how long each is spoken in the clip.

    Parameters
    ----------
    rows, spans_s : as in `warp_to_seconds`
    clip_s : length of a clip
    n_rows : T, clips of the video

    Returns
    -------
    float32 (T, D); clips without speech are zero

    Notes
    -----
    Not a published rule: nothing of a short subtitle is lost, and the order of overlapping ones does not matter.
    """
    starts, ends = np.asarray(spans_s, np.float64).reshape(-1, 2).T
    clip_starts = np.arange(n_rows)[:, None] * clip_s
    spoken_s = np.minimum(ends, clip_starts + clip_s) - np.maximum(starts, clip_starts)
    shares = np.clip(spoken_s, 0, None)
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    return (shares @ rows).astype(np.float32)


def time_grid(duration: int, n_rows: int = -1) -> np.ndarray:
    """Return the seconds float64 (T,) that the rows of a video stand for; `n_rows` -1: one per second.

    Notes
    -----
    Source: j-min/HiREST, hirest_dataset.py.
    """
    return np.linspace(0, duration - 1, duration if n_rows < 0 else n_rows)


def row_of_second(time_s: float, grid: np.ndarray) -> int:
    """Return the first row at or after a time, at most the last one."""
    return min(int(np.digitize(time_s, grid, right=True)), len(grid) - 1)


def second_of_row(row: int, grid: np.ndarray) -> int:
    """Return the second of a row, its fraction cut off."""
    return int(grid[row])


def resample_rows(rows: np.ndarray, n_rows: int) -> np.ndarray:
    """Bring rows (T, D) to a fixed number: evenly spaced ones of more, repeated ones of fewer.

    Notes
    -----
    Source: j-min/HiREST, hirest_dataset.py. Row k of T <= n fills the places [k * n // T, (k + 1) * n // T).
    """
    length = len(rows)
    if length > n_rows:
        return rows[np.linspace(0, length - 1, n_rows).astype(int)]
    edges = np.arange(length + 1) * n_rows // length
    return np.repeat(rows, np.diff(edges), axis=0)
