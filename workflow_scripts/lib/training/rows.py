"""Rows of features as items hold them, read when they are asked for."""

from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.store.feature_store import FeatureStore


@dataclass(frozen=True)
class RowsInStore:
    """`FeatureRows` that are read whenever they are asked for, and not kept."""

    store: FeatureStore
    owner: str
    status: str

    @property
    def values(self) -> np.ndarray:
        """Read the values, float32 (T, D)."""
        return self.store[self.owner].values

    @property
    def times(self) -> np.ndarray:
        """Read start and end second of every row, float32 (T, 2)."""
        return self.store[self.owner].times
