"""Rows of features as items hold them, read when they are asked for."""

from dataclasses import dataclass, field, replace

import numpy as np

from models.systems.interface import Places
from workflow_scripts.lib.store.feature_store import FeatureStore


@dataclass(frozen=True)
class RowsInStore:
    """`Rows` that a store gives whenever they are asked for, from its files or from what it keeps in memory.

    Attributes
    ----------
    rows : which of the owner's rows
    """

    store: FeatureStore
    owner: str
    status: str
    rows: slice = field(default_factory=lambda: slice(None))

    @property
    def n_rows(self) -> int:
        """Return how many rows there are; no shard is opened."""
        return len(self._places)

    @property
    def times(self) -> np.ndarray:
        """Return start and end second of every row, float32 (T, 2); no value is read."""
        return self.store.times_of(self.owner)[self.rows]

    @property
    def values(self) -> np.ndarray:
        """Read all values, float32 (T, D)."""
        return self.read()

    def read(self, places: Places = slice(None)) -> np.ndarray:
        """Read the values of some rows, float32 (n, D)."""
        if isinstance(places, slice):
            chosen = self._places[places]
            return self.store.read(self.owner, slice(chosen.start, chosen.stop)).values
        return self.store.read(self.owner, np.asarray(self._places)[places]).values

    def part(self, start: int, stop: int) -> "RowsInStore":
        """Return some of the rows."""
        chosen = self._places[start:stop]
        return replace(self, rows=slice(chosen.start, chosen.stop))

    @property
    def _places(self) -> range:
        return range(self.store.n_rows_of(self.owner))[self.rows]
