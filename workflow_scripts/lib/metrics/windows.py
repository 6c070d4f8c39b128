"""Lists of windows of many queries as one padded array, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.metrics.errors import (
    Caution,
    NonFiniteScore,
    NonFiniteSpan,
    ReversedSpan,
    caution,
    name_some,
)


@dataclass(frozen=True)
class Windows:
    """Windows of N queries, at most K each.

    Attributes
    ----------
    spans : float64 (N, K, 2), start and end in seconds; zeros past the last window of a query
    scores : float64 (N, K), zeros likewise; None if windows are ranked by their place in the list
    counts : int64 (N,), windows of every query
    """

    spans: np.ndarray
    scores: np.ndarray | None
    counts: np.ndarray

    @property
    def valid_mask(self) -> np.ndarray:
        """Bool (N, K), True where there is a window."""
        return np.arange(self.spans.shape[1]) < self.counts[:, None]

    @property
    def is_ranked(self) -> bool:
        """Whether every window has a score."""
        return self.scores is not None or not self.counts.any()

    def rows(self, chosen: np.ndarray) -> "Windows":
        """Return the windows of some queries, given as indices or bool (N,)."""
        scores = None if self.scores is None else self.scores[chosen]
        return Windows(self.spans[chosen], scores, self.counts[chosen])

    def head(self, n: int) -> "Windows":
        """Return the first `n` listed windows of every query."""
        scores = None if self.scores is None else self.scores[:, :n]
        return Windows(self.spans[:, :n], scores, np.minimum(self.counts, n))

    def ranked(self) -> "Windows":
        """Return the windows sorted by descending score; equal scores keep their order."""
        if self.scores is None:
            return self
        order = np.argsort(np.where(self.valid_mask, -self.scores, np.inf), axis=1, kind="stable")
        spans = np.take_along_axis(self.spans, order[..., None], axis=1)
        return Windows(spans, np.take_along_axis(self.scores, order, axis=1), self.counts)

    def where(self, mask: np.ndarray) -> "Windows":
        """Return the windows of a bool (N, K) mask, moved to the front in their order; scores are dropped."""
        mask = mask & self.valid_mask
        order = np.argsort(~mask, axis=1, kind="stable")
        counts = mask.sum(axis=1)
        spans = np.take_along_axis(self.spans, order[..., None], axis=1)[:, : max(1, counts.max(initial=0))]
        return Windows(spans, None, counts)

    def clipped(self, durations_s: np.ndarray) -> "Windows":
        """Return the windows cut to [0, duration]; `durations_s` is float64 (N,)."""
        return Windows(np.clip(self.spans, 0.0, durations_s[:, None, None]), self.scores, self.counts)


def list_windows(
    ids: Sequence[Any], lists: Sequence[Sequence[Sequence[float]]], *, allow_reversed: bool = False
) -> Windows:
    """Return lists of `[start, end]`, or `[start, end, score]`, as one array; a query may have no window.

    Parameters
    ----------
    ids : N names, for messages
    lists : windows of N queries, all of the same width
    allow_reversed : see `pad_windows`

    Raises
    ------
    NonFiniteSpan, ReversedSpan, NonFiniteScore
        If a window is unusable; the message names query and rank.
    """
    counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    flat = list(chain.from_iterable(lists))
    values = np.array(flat, dtype=np.float64) if flat else np.zeros((0, 2))
    return pad_windows(ids, counts, values, allow_reversed=allow_reversed)


def pad_windows(ids: Sequence[Any], counts: np.ndarray, values: np.ndarray, *, allow_reversed: bool = False) -> Windows:
    """Return windows that lie one after another, those of the first query first, as one array.

    Parameters
    ----------
    ids : N names, for messages
    counts : int64 (N,), windows of every query
    values : float64 (W, 2) start and end, or (W, 3) with score, W = sum of `counts`
    allow_reversed : take windows that end before they start, for a rule set that counts them as misses

    Raises
    ------
    NonFiniteSpan, ReversedSpan, NonFiniteScore
        If a window is unusable; the message names query and rank.
    """
    query, rank = np.repeat(np.arange(len(counts)), counts), _ranks(counts)
    for is_wrong, error, what in (
        (~np.isfinite(values[:, :2]).all(axis=1), NonFiniteSpan, "a start or end that is not a finite number"),
        (not allow_reversed and values[:, 1] < values[:, 0], ReversedSpan, "an end before its start"),
        (~np.isfinite(values[:, 2:]).all(axis=1), NonFiniteScore, "a score that is not a finite number"),
    ):
        if np.any(is_wrong):
            raise _at(error, what, [(ids[query[i]], rank[i]) for i in np.flatnonzero(is_wrong)])
    n_columns = int(max(1, counts.max(initial=0)))
    spans = np.zeros((len(counts), n_columns, 2))
    spans[query, rank] = values[:, :2]
    if values.shape[1] == 2:
        return Windows(spans, None, counts)
    scores = np.zeros((len(counts), n_columns))
    scores[query, rank] = values[:, 2]
    return Windows(spans, scores, counts)


def _ranks(counts: np.ndarray) -> np.ndarray:
    firsts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(firsts, counts)


def as_float(value: Any) -> float:
    """Return a number as float, anything else as NaN, which the checks refuse by name."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _at(error: type[DataError], what: str, places: list[tuple[Any, int]]) -> DataError:
    return error(f"windows with {what}: query {name_some([f'{i} (rank {rank})' for i, rank in places])}")


def window_cautions(
    ids: Sequence[Any], windows: Windows, durations_s: np.ndarray | None, ignored: np.ndarray | None = None
) -> tuple[Caution, ...]:
    """Return the cautions about empty and reversed windows, and about windows outside their video.

    Parameters
    ----------
    ids : N names
    windows : Windows
    durations_s : float64 (N,), or None where the videos' durations are not known
    ignored : bool (N, K), windows to leave out, e.g. stand-ins for unreadable answers
    """
    mask = windows.valid_mask if ignored is None else windows.valid_mask & ~ignored
    start, end = windows.spans[..., 0], windows.spans[..., 1]
    odd = {"ZeroLengthSpan": start == end, "ReversedSpan": start > end}
    if durations_s is not None:
        odd["SpanOutsideVideo"] = (start < 0) | (end > durations_s[:, None])
    counts = {name: (mask & is_odd).sum(axis=1) for name, is_odd in odd.items()}
    found = (caution(name, n.sum(), (ids[i] for i in np.flatnonzero(n).tolist())) for name, n in counts.items())
    return tuple(chain.from_iterable(found))
