"""Rank a corpus of videos for queries: exact, in blocks, with a defined order of equal scores."""

from collections.abc import Iterator, Sequence

import numpy as np

ROUNDING = 1e-5
"""More than the error of a product of two rows of length 1 in single precision."""


def mean_row(rows: np.ndarray, frames: int | None) -> np.ndarray:
    """Return the direction of a video, float32 (D,): the mean of some of its rows, of length 1.

    Parameters
    ----------
    rows : (T, D), T at least 1; not normalised, so that longer rows count for more, as published
    frames : how many rows are taken, evenly spread and rounded down; None or more than there are: all

    Notes
    -----
    Source: j-min/HiREST, `inference_video_retrieval.py`.
    """
    if frames is not None and frames < len(rows):
        rows = rows[np.linspace(0, len(rows) - 1, frames).astype(int)]
    return directions(np.asarray(rows, dtype=np.float32).mean(axis=0)[None])[0]


def directions(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, D) as float32 of length 1; a row of zeros stays one."""
    rows = np.asarray(rows, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1, lengths)


def best_videos(
    queries: np.ndarray, videos: np.ndarray, names: Sequence[str], keep: int, block: int = 256
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for every query the numbers of its best videos and their scores, the best first.

    Parameters
    ----------
    queries, videos : float32 (Q, D), (N, D), rows of length 1
    names : of the videos; of equal scores the name that comes later in the alphabet is the better one, as published
    keep : how many videos are named
    block : queries whose scores are in memory at a time: N x block numbers
    """
    order = np.empty(len(names), dtype=np.int64)
    order[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
    keep = min(keep, len(names))
    for start in range(0, len(queries), block):
        part = queries[start : start + block]
        for query, rough in zip(part, part @ videos.T, strict=True):
            # A product of matrices rounds equal rows differently: what may be among the best is multiplied again, row
            # by row, so that equal rows are equal and the name decides.
            worst = np.partition(rough, len(rough) - keep)[len(rough) - keep]
            found = np.flatnonzero(rough >= worst - ROUNDING)
            scores = (videos[found].astype(np.float64) * query).sum(axis=1)
            ranked = np.lexsort((order[found], scores))[::-1][:keep]
            yield found[ranked], scores[ranked]
