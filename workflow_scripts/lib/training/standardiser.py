"""Zero mean and unit variance of the streams that ask for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.systems.interface import FeatureRows, Item, Rows


@dataclass(frozen=True)
class Standardiser:
    """Per-dimension shift and scale of the streams that ask for it, fitted on training items.

    Attributes
    ----------
    moments : stream -> per feature (mean, scale), float32 (D,) each; a dimension that never varies gets scale 0
    """

    moments: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]]

    @classmethod
    def fit(cls, items: Sequence[Item], streams: Sequence[str]) -> "Standardiser":
        """Fit on every distinct video (or query) of the items once."""
        fitted = {}
        for stream in streams:
            # A video about which nothing is asked has no rows of text.
            given = [item.streams[stream] for item in items if item.streams[stream]]
            fitted[stream] = [_mean_and_scale({id(rows[f]): rows[f] for rows in given}) for f in range(len(given[0]))]
        return cls(fitted)

    def apply(self, item: Item, zeroed: str | None = None) -> Item:
        """Return the item standardised; the stream `zeroed` is set to zero (an ablation)."""
        streams = dict(item.streams)
        for stream, moments in self.moments.items():
            streams[stream] = [
                FeatureRows(np.clip((rows.read() - mean) * scale, -LIMIT_STD, LIMIT_STD), rows.times, rows.status)
                for rows, (mean, scale) in zip(streams[stream], moments, strict=True)
            ]
        if zeroed is not None:
            streams[zeroed] = [
                FeatureRows(np.zeros_like(rows.read()), rows.times, rows.status) for rows in streams[zeroed]
            ]
        return replace(item, streams=streams)


LIMIT_STD = 5.0
"""Standardised values are cut here: a dimension that is nearly always 0 would otherwise speak 50 times too loud."""
DEAD_STD = 1e-4
"""A dimension whose standard deviation is below this share of the largest one is rounding noise of the store."""


def _mean_and_scale(rows: Mapping[int, Rows]) -> tuple[np.ndarray, np.ndarray]:
    """Return what numpy gives for all rows at once, to the last bit, while only those of one video are at hand.

    numpy, too, adds rows one after the other. A single column it adds up in pairs: that is small and taken whole.
    """
    width, filled = next(iter(rows.values())).read(slice(1)).shape[1], [part for part in rows.values() if part.n_rows]
    if not filled:
        # No training video has sound, for example.
        return np.zeros(width, np.float32), np.zeros(width, np.float32)

    def parts() -> Iterator[np.ndarray]:
        values = (part.read().astype(np.float64) for part in filled)
        return values if width > 1 else iter([np.concatenate(list(values))])

    n_rows = sum(part.n_rows for part in filled)
    mean = _sum(parts()) / n_rows
    std = np.sqrt(_sum(np.square(values - mean) for values in parts()) / n_rows)
    alive = std > DEAD_STD * std.max(initial=0.0)
    scale = np.where(alive, 1 / np.where(alive, std, 1), 0)
    return mean.astype(np.float32), scale.astype(np.float32)


def _sum(parts: Iterator[np.ndarray]) -> np.ndarray:
    total = next(parts).sum(axis=0)
    for values in parts:
        total = np.concatenate([total[None], values]).sum(axis=0)
    return total
