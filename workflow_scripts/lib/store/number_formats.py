"""The number formats of stored rows: what fits into them."""

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
