"""The number formats of stored rows: what fits into them, and what stands where a file is missing."""

from pathlib import Path
from typing import Any

import numpy as np

FILL_VALUES = {"f": np.nan, "i": -1, "u": 0}
"""Kind of numbers -> what zarr gives in the place of a missing file."""


def unfitting_value(values: np.ndarray, dtype: np.dtype) -> float | None:
    """Return one of finite values that a format does not hold, whole numbers not exactly; None: all fit."""
    if dtype.kind == "u":
        is_held = (values >= 0) & (values <= np.iinfo(dtype).max) & (values == np.floor(values))
        return None if is_held.all() else float(values[~is_held][0])
    largest = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
    return largest if largest > float(np.finfo(dtype).max) else None


def is_complete(folder: Path, array: Any, values: np.ndarray, places: slice | np.ndarray) -> bool:
    """Return whether values that were read from an array came from files, none of which was missing.

    Parameters
    ----------
    folder : of the zarr array
    array : the array, with its shape, dtype and shards (rows of a file, D)
    values, places : what was read, (n, D), and which rows it is: a slice of step 1 without open ends, or their numbers
    """
    if not values.size:
        return True
    if array.dtype.kind == "f":
        # Stored values are finite.
        return not np.isnan(values[:, 0]).any()
    rows = np.arange(places.start, places.stop) if isinstance(places, slice) else places
    return all((folder / "c" / str(number) / "0").is_file() for number in np.unique(rows // array.shards[0]))
