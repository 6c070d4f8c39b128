"""How sure a number is: bootstrap confidence intervals over queries, and two runs compared query by query."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

N_RESAMPLES = 2000
CHUNK_BYTES = 2**25


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile bootstrap interval; each a float, or float64 (M,) if M columns were given."""

    mean: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same queries.

    Attributes
    ----------
    difference : Interval of the mean of second minus first
    p_value : two-sided, of a paired randomisation test (the runs' names swapped at random per query)
    n_better, n_worse, n_equal : queries on which the second run is better, worse, equal
    """

    difference: Interval
    p_value: float
    n_better: int
    n_worse: int
    n_equal: int


def confidence_interval(
    values: np.ndarray, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Interval:
    """Return the mean over queries and the interval that holds `level` of the means of resampled queries.

    Parameters
    ----------
    values : float (N,), or (N, M) for M scores that share the resamples; one row per query, N >= 1
    level : share of the resampled means inside
    n_resamples : how often N queries are drawn with replacement
    seed : of the draws; the same seed and shape give the same interval

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If there is no query or a value is not finite.
    """
    values = _checked(values)
    columns = values.reshape(len(values), -1)
    weights = _resampled_weights(len(values), n_resamples, seed)
    means = np.concatenate([counts @ columns for counts in weights]) / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    if values.ndim == 1:
        return Interval(float(columns.mean()), float(low[0]), float(high[0]))
    return Interval(columns.mean(axis=0), low, high)


def compare(
    first: np.ndarray, second: np.ndarray, level: float = 0.95, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> Comparison:
    """Compare the scores of two runs on the same queries in the same order.

    Parameters
    ----------
    first, second : float (N,), N >= 1
    level, n_resamples, seed : see `confidence_interval`

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If the runs have not the same number of queries, or a value is not finite.
    """
    first, second = _checked(first), _checked(second)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"scores {first.shape} and {second.shape}: need (N,) of the same queries twice")
    difference = second - first
    rng = np.random.default_rng([seed, 1])
    n_extreme, tolerance = 0, 1e-12 * max(1.0, float(np.abs(difference).sum()))
    bound = abs(difference.sum()) - tolerance
    for n in _chunks(n_resamples, len(difference)):
        signs = rng.integers(0, 2, size=(n, len(difference)), dtype=np.int8) * 2.0 - 1.0
        n_extreme += int(np.count_nonzero(np.abs(signs @ difference) >= bound))
    return Comparison(
        confidence_interval(difference, level, n_resamples, seed),
        (n_extreme + 1) / (n_resamples + 1),
        int((difference > 0).sum()),
        int((difference < 0).sum()),
        int((difference == 0).sum()),
    )


def _checked(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise ValueError(f"scores {values.shape}: need at least one, all finite")
    return values


def _resampled_weights(n_queries: int, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each query was drawn, float64 (n, N), in chunks of bounded size."""
    rng = np.random.default_rng(seed)
    for n in _chunks(n_resamples, n_queries):
        drawn = rng.integers(0, n_queries, size=(n, n_queries)) + np.arange(n)[:, None] * n_queries
        yield np.bincount(drawn.ravel(), minlength=n * n_queries).reshape(n, n_queries).astype(np.float64)


def _chunks(n_resamples: int, n_queries: int) -> Iterator[int]:
    size = max(1, CHUNK_BYTES // (8 * n_queries))
    for start in range(0, n_resamples, size):
        yield min(size, n_resamples - start)
