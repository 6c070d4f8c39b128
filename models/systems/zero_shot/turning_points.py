"""Where the scores that lead up to a span began to rise."""

import numpy as np

STEEP = 0.0005
"""Rise that is none below."""
BELL = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / 2) / np.sqrt(2 * np.pi)
"""Smooths scores; published without the normalisation to a sum of 1."""


def earlier_starts(starts: np.ndarray, scores: np.ndarray, counts: np.ndarray, stride: int) -> np.ndarray:
    """Return the starts (frame numbers) moved back over the frames through which the score has not risen since.

    Parameters
    ----------
    scores : (T,), of the frames
    counts : bool (T,), frames whose score counts
    stride : from 3 on, in a video of twice as many frames, the scores are smoothed
    """
    marks = _marks(_slopes(scores * counts, stride) * counts)
    moved = []
    for start in starts:
        first = start
        while first > 0 and marks[first - 1] == marks[start]:
            first -= 1
        moved.append(first)
    return np.array(moved)


def _slopes(scores: np.ndarray, stride: int) -> np.ndarray:
    """Return differences of neighbouring scores (T,), with zeros at the ends, one more behind if they are odd."""
    n_frames = len(scores)
    if min(stride, n_frames // 2) >= 3:
        scores = np.convolve(scores, BELL, mode="valid")
    slopes = np.diff(scores)
    missing = n_frames - len(slopes)
    return np.pad(slopes, (missing // 2, missing - missing // 2))


def _marks(slopes: np.ndarray) -> np.ndarray:
    """Return for every frame the last one, itself included, at which the scores did not rise; 0 before the first."""
    before, earlier = np.concatenate([[0], slopes[:-1]]), np.concatenate([[0, 0], slopes[:-2]])[: len(slopes)]
    rises = np.maximum.reduce([3 * slopes, 2 * slopes + before, slopes + before + earlier]) > STEEP
    return np.maximum.accumulate(np.where(rises, 0, np.arange(len(slopes))))
