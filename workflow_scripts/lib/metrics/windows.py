"""Lists of windows of many queries as one padded array, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import (
    Caution,
    EmptyPrediction,
    MalformedRow,
    MissingScore,
    NonFiniteScore,
    NonFiniteSpan,
    PredictionError,
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


def read_windows(
    ids: Sequence[Any], lists: Sequence[Sequence[Sequence[float]] | None], has_scores: bool, empty_ok: bool
) -> Windows:
    """Return lists of `[start, end]` or `[start, end, score]` as one array.

    Parameters
    ----------
    ids : N names, for messages
    lists : windows of N queries
    has_scores : whether the third number is needed; without, it is ignored
    empty_ok : whether a query may have no window

    Raises
    ------
    MalformedRow, EmptyPrediction, NonFiniteSpan, ReversedSpan, MissingScore, NonFiniteScore
        If a list or a window is unusable; the message names query and rank.
    """
    lists = [windows if windows is not None else () for windows in lists]
    other = [ids[i] for i, windows in enumerate(lists) if not isinstance(windows, (list, tuple, np.ndarray))]
    if other:
        raise MalformedRow(f"something else than a list of windows: query {name_some(other)}")
    counts = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    if not empty_ok and not counts.all():
        empty = [ids[i] for i in np.flatnonzero(counts == 0)]
        raise EmptyPrediction(f"no window at all: query {name_some(empty)}. --empty-as-miss counts them as misses.")
    width = 3 if has_scores else 2
    flat = list(chain.from_iterable(lists))
    if set(map(_width, flat)) - {width}:
        flat = _cut(ids, lists, width)
    return pad_windows(ids, counts, _as_floats(flat, width))


def pad_windows(ids: Sequence[Any], counts: np.ndarray, values: np.ndarray) -> Windows:
    """Return windows that lie one after another, those of the first query first, as one array.

    Parameters
    ----------
    ids : N names, for messages
    counts : int64 (N,), windows of every query
    values : float64 (W, 2) start and end, or (W, 3) with score, W = sum of `counts`

    Raises
    ------
    NonFiniteSpan, ReversedSpan, NonFiniteScore
        If a window is unusable; the message names query and rank.
    """
    query, rank = np.repeat(np.arange(len(counts)), counts), _ranks(counts)
    for is_wrong, error, what in (
        (~np.isfinite(values[:, :2]).all(axis=1), NonFiniteSpan, "a start or end that is not a finite number"),
        (values[:, 1] < values[:, 0], ReversedSpan, "an end before its start"),
        (~np.isfinite(values[:, 2:]).all(axis=1), NonFiniteScore, "a score that is not a finite number"),
    ):
        if is_wrong.any():
            raise _at(error, what, [(ids[query[i]], rank[i]) for i in np.flatnonzero(is_wrong)])
    n_columns = int(max(1, counts.max(initial=0)))
    spans = np.zeros((len(counts), n_columns, 2))
    spans[query, rank] = values[:, :2]
    if values.shape[1] == 2:
        return Windows(spans, None, counts)
    scores = np.zeros((len(counts), n_columns))
    scores[query, rank] = values[:, 2]
    return Windows(spans, scores, counts)


def _width(window: Any) -> int:
    return len(window) if isinstance(window, (list, tuple, np.ndarray)) else 0


def _ranks(counts: np.ndarray) -> np.ndarray:
    firsts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum())) - np.repeat(firsts, counts)


def _cut(ids: Sequence[Any], lists: Sequence[Sequence[Sequence[float]]], width: int) -> list[Sequence[float]]:
    places = [(i, rank, window) for i, windows in zip(ids, lists, strict=True) for rank, window in enumerate(windows)]
    without_end = [(i, rank) for i, rank, window in places if _width(window) < 2]
    if without_end:
        raise _at(NonFiniteSpan, "no start or no end", without_end)
    without_score = [(i, rank) for i, rank, window in places if _width(window) < width]
    if without_score:
        raise _at(MissingScore, "no score, by which they are ranked", without_score)
    return [window[:width] for _, _, window in places]


def _as_floats(flat: list[Sequence[float]], width: int) -> np.ndarray:
    try:
        return np.array(flat, dtype=np.float64).reshape(-1, width)
    except (TypeError, ValueError):
        return np.array([[as_float(value) for value in window] for window in flat]).reshape(-1, width)


def as_float(value: Any) -> float:
    """Return a number as float, anything else as NaN, which the checks refuse by name."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _at(error: type[PredictionError], what: str, places: list[tuple[Any, int]]) -> PredictionError:
    return error(f"windows with {what}: query {name_some([f'{i} (rank {rank})' for i, rank in places])}")


def window_cautions(
    ids: Sequence[Any], windows: Windows, durations_s: np.ndarray | None, ignored: np.ndarray | None = None
) -> tuple[Caution, ...]:
    """Return the cautions about empty windows and windows outside their video.

    Parameters
    ----------
    ids : N names
    windows : Windows
    durations_s : float64 (N,), or None where the videos' durations are not known
    ignored : bool (N, K), windows to leave out, e.g. stand-ins for unreadable answers
    """
    return count_cautions(ids, odd_windows(windows, durations_s, ignored))


def odd_windows(
    windows: Windows, durations_s: np.ndarray | None, ignored: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Return how many windows of every query are odd, int64 (N,), by the name of the caution; see `window_cautions`."""
    mask = windows.valid_mask if ignored is None else windows.valid_mask & ~ignored
    start, end = windows.spans[..., 0], windows.spans[..., 1]
    counts = {"ZeroLengthSpan": (mask & (start == end)).sum(axis=1)}
    if durations_s is not None:
        counts["SpanOutsideVideo"] = (mask & ((start < 0) | (end > durations_s[:, None]))).sum(axis=1)
    return counts


def count_cautions(ids: Sequence[Any], counts: Mapping[str, np.ndarray]) -> tuple[Caution, ...]:
    """Return the cautions about counts per query, int64 (N,), by name."""
    found = (caution(name, odd.sum(), (ids[i] for i in np.flatnonzero(odd))) for name, odd in counts.items())
    return tuple(chain.from_iterable(found))
