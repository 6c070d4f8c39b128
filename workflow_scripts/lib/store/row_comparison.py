"""Compare two features of a dataset video by video: are they the same numbers at the same times?"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from workflow_scripts.lib.store.feature_store import FeatureStore, StoredRows

COMPARISON_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("status", pa.string()),
        ("other_status", pa.string()),
        ("rows", pa.int64()),
        ("other_rows", pa.int64()),
        ("row_difference", pa.int64()),
        ("end_difference_s", pa.float64()),
        ("matched_rows", pa.int64()),
        ("cosine_mean", pa.float64()),
        ("cosine_min", pa.float64()),
        ("max_abs_difference", pa.float64()),
    ]
)
"""One row per video (or query) of either feature; `absent` is the status of one that a feature does not have.

Differences are other minus this. Cosines and values are null where no rows match, or where the widths differ."""

ABSENT = "absent"


def compare_stores(store: FeatureStore, other: FeatureStore) -> Iterator[dict[str, Any]]:
    """Yield one row of the comparison for every id that either feature has, sorted."""
    for video_id in sorted({*store, *other}):
        yield {"id": video_id} | compare_rows(_rows_or_none(store, video_id), _rows_or_none(other, video_id))


def _rows_or_none(store: FeatureStore, video_id: str) -> StoredRows | None:
    if video_id not in store:
        return None
    return store[video_id]


def compare_rows(rows: StoredRows | None, other: StoredRows | None) -> dict[str, Any]:
    """Return the columns of `COMPARISON_SCHEMA` but the id; None stands for an id that a feature does not have."""
    statuses = {"status": rows.status if rows else ABSENT, "other_status": other.status if other else ABSENT}
    n_rows, n_other = (len(side.values) if side else 0 for side in (rows, other))
    result: dict[str, Any] = statuses | {
        "rows": n_rows,
        "other_rows": n_other,
        "row_difference": n_other - n_rows,
        "matched_rows": 0,
    }
    if rows is None or other is None or not n_rows or not n_other:
        return result
    result["end_difference_s"] = float(other.times[-1, 1]) - float(rows.times[-1, 1])
    own, theirs = match_times(rows.times, other.times)
    result["matched_rows"] = len(own)
    if not len(own) or rows.values.shape[1] != other.values.shape[1]:
        return result
    a, b = rows.values[own].astype(np.float64), other.values[theirs].astype(np.float64)
    result["max_abs_difference"] = float(np.abs(a - b).max())
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    if (norms > 0).any():
        cosines = np.clip((a * b).sum(axis=1)[norms > 0] / norms[norms > 0], -1.0, 1.0)
        result |= {"cosine_mean": float(cosines.mean()), "cosine_min": float(cosines.min())}
    return result


def match_times(times: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match every row with the row of the other feature whose middle is nearest.

    Parameters
    ----------
    times : float (T, 2)
        Start and end second, increasing.
    other : float (U, 2)
        Likewise, U > 0.

    Returns
    -------
    int (M,), int (M,)
        Rows of the one and of the other. Rows whose middle does not lie in the row that is nearest, nor the other way
        round, have no partner: nothing is compared past the end of the shorter one.
    """
    middles, other_middles = (side.astype(np.float64).mean(axis=1) for side in (times, other))
    right = np.clip(np.searchsorted(other_middles, middles), 0, len(other) - 1)
    left = np.maximum(right - 1, 0)
    is_left = np.abs(middles - other_middles[left]) <= np.abs(other_middles[right] - middles)
    nearest = np.where(is_left, left, right)
    inside = (other[nearest, 0] <= middles) & (middles < other[nearest, 1])
    inside |= (times[:, 0] <= other_middles[nearest]) & (other_middles[nearest] < times[:, 1])
    return np.flatnonzero(inside), nearest[inside]
