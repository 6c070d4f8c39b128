"""From logits to the rows of a moment, and of the steps in a moment."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from models.systems.quag.config import DecodingConfig
from models.systems.quag.network import CLOSED


def best_moments(
    start_logits: Tensor, end_logits: Tensor, valid_mask: Tensor, enforce_order: bool
) -> list[tuple[int, int]]:
    """Return first and last row of the moment of every video.

    Parameters
    ----------
    start_logits, end_logits : float (B, T)
    valid_mask : bool (B, T), True for rows of the video
    enforce_order : choose the pair with the largest sum whose end is not before its start; False (published): choose
        each by itself
    """
    start, end = (logits.masked_fill(~valid_mask, CLOSED).cpu().numpy() for logits in (start_logits, end_logits))
    if not enforce_order:
        return list(zip(start.argmax(1).tolist(), end.argmax(1).tolist(), strict=True))
    found = []
    for s, e in zip(start.astype(np.float64), end.astype(np.float64), strict=True):
        last = int((np.maximum.accumulate(s) + e).argmax())
        found.append((int(s[: last + 1].argmax()), last))
    return found


class MomentCut:
    """A moment that is being cut into steps, one step per round.

    Parameters
    ----------
    first, last : rows of the moment, inclusive
    n_video, n_rows : rows of the video, and of the longest one of its batch

    Attributes
    ----------
    is_left : bool (n_rows,), rows of the moment that belong to no step yet
    is_boundary : bool (n_rows,), the moment's first row and the ends of the steps so far

    Notes
    -----
    The published loop goes on for all its rounds. One that finds no step leaves everything as it is, and so do all that
    follow: here it is the last one.
    """

    def __init__(self, first: int, last: int, n_video: int, n_rows: int, options: DecodingConfig) -> None:
        self.options, self.last = options, last
        self.reach = n_rows if options.reach == "batch" else n_video
        self.is_left, self.is_boundary = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
        self.is_left[first : last + 1] = True
        self.is_boundary[first] = True
        self.pieces = [(first, first)]
        self.is_stuck = False

    @property
    def goes_on(self) -> bool:
        """Whether another round may find a step."""
        return not self.is_stuck and len(self.pieces) <= self.options.iterations and bool(self.is_left.any())

    def take(self, scores: np.ndarray) -> None:
        """Take the step that a round's scores show: float32 (n_rows,), the softmax over the rows left."""
        piece = widest_peak(scores[: self.reach], self.options)
        if piece is None:
            self.is_stuck = True
            return
        left, right = piece
        self.is_left[left : right + 1] = False
        self.is_boundary[[left, right]] = True
        self.pieces.append(piece)

    def boundaries(self) -> list[int]:
        """Return the boundaries of the steps so far, in rows, ascending."""
        return step_boundaries(self.pieces, self.last, self.options)


def widest_peak(scores: np.ndarray, options: DecodingConfig) -> tuple[int, int] | None:
    """Return the rows around the peak of scores (T,) where they are no longer above its share, None if it is no step.

    Notes
    -----
    parity: these rows lie one outside the peak, except at the first and the last row; a peak that reaches the first
    row is no step unless `first_row` says so. Exactly the share is not above it.
    """
    peak = int(scores.argmax())
    greatest = float(scores[peak])
    if greatest < options.min_peak:
        return None
    is_low = scores.astype(np.float64) / greatest <= options.peak_share
    before, after = np.flatnonzero(is_low[: peak + 1]), np.flatnonzero(is_low[peak:])
    left = int(before[-1]) if len(before) else 0
    right = peak + int(after[0]) if len(after) else len(scores) - 1
    if left == 0 and options.first_row == "skip":
        return None
    return left, right


def step_boundaries(pieces: Sequence[tuple[int, int]], last: int, options: DecodingConfig) -> list[int]:
    """Return the boundaries that the steps found so far leave.

    Parameters
    ----------
    pieces : first and last row of every step, and the first row of the moment twice
    last : last row of the moment
    """
    rows = [row for piece in sorted([*pieces, (last, last)], key=lambda piece: piece[0]) for row in piece]
    while rows[-1] > last:
        rows.pop()
    candidates = sorted(set(rows))
    if options.last_boundary == "end":
        candidates = [row for row in candidates if row <= last]
    kept = candidates[:1]
    # parity: the last boundary is never looked at, whatever it is.
    for row in candidates[1:-1]:
        if row - kept[-1] >= options.min_gap:
            kept.append(row)
    if options.last_boundary == "end" and last > kept[-1]:
        kept.append(last)
    return kept
