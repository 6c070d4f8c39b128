"""Overlap of spans."""

import numpy as np


def iou(span: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return the overlap over the hull of a span (start, end, ...) with each of others (n, 2 or more), float64 (n,).

    0 where both are empty: spans without length overlap nothing, not even each other.
    """
    shared = np.minimum(span[1], spans[:, 1]) - np.maximum(span[0], spans[:, 0])
    hull = np.maximum(span[1], spans[:, 1]) - np.minimum(span[0], spans[:, 0])
    return np.divide(np.maximum(shared, 0), hull, out=np.zeros(len(spans)), where=hull > 0)
