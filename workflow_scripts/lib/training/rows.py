"""Rows of features as items hold them, read when they are asked for."""

from dataclasses import dataclass, field, replace

import numpy as np

from workflow_scripts.lib.store.feature_store import FeatureStore


@dataclass(frozen=True)
class RowsInStore:
    """`FeatureRows` that are read whenever they are asked for, and not kept.

    Attributes
    ----------
    rows : which of the owner's rows
    """

    store: FeatureStore
    owner: str
    status: str
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def values(self) -> np.ndarray:
        """Read the values, float32 (T, D)."""
        return self.store.read(self.owner, self.rows).values

    @property
    def times(self) -> np.ndarray:
        """Read start and end second of every row, float32 (T, 2)."""
        return self.store.times_of(self.owner)[self.rows]

    def part(self, start: int, stop: int) -> "RowsInStore":
        """Return some of the rows of the whole."""
        return replace(self, rows=slice(start, stop))
