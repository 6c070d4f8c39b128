"""Resampling of feature sequences by averaging runs of rows, as VSLNet and its descendants do.

Reproduces the numbers of HuiGuanLab/IMG (which inherits the rule from 26hzhang/VSLNet) and xian-sh/MRNet (from
microsoft/2D-TAN), in float32.
"""

import numpy as np


def rescale_rows(rows: np.ndarray, n_steps: int, edge_dtype: type = np.float64) -> np.ndarray:
    """Resample a sequence to exactly `n_steps` rows.

    Output row i is the mean of the input rows between the edges i and i + 1, or the single row at edge i where they
    coincide; edges are `i / n_steps * n` rounded half to even.

    Parameters
    ----------
    rows : float (n, D), n >= 1
    n_steps : number of output rows, >= 1
    edge_dtype : type in which edges are computed; float32 as 2D-TAN and MRNet do it rounds some to another row

    Returns
    -------
    float32 (n_steps, D)

    Raises
    ------
    ValueError
        If `rows` is not a non-empty matrix or `n_steps` is not positive.

    Notes
    -----
    parity: edges are clamped to the last row, so the last row is left out of the last mean unless the edge is alone.
    The reference returns float64; the means themselves are those of float32 rows.
    """
    if rows.ndim != 2 or not len(rows) or n_steps < 1:
        raise ValueError(f"cannot resample an array of shape {rows.shape} to {n_steps} rows: need (n >= 1, D)")
    index: np.ndarray = np.arange(n_steps + 1).astype(edge_dtype)
    edges = np.round(index / edge_dtype(n_steps) * edge_dtype(len(rows))).astype(np.int64)
    edges = np.minimum(edges, len(rows) - 1)
    # reduceat takes the single row at an edge that is not below its successor: exactly the rule above.
    sums = np.add.reduceat(rows.astype(np.float64), edges, axis=0)[:-1]
    counts = np.maximum(np.diff(edges), 1)
    return (sums / counts[:, None]).astype(np.float32)


def limit_rows(rows: np.ndarray, max_steps: int) -> np.ndarray:
    """Return `rows` as float32 if there are at most `max_steps`, else `rescale_rows(rows, max_steps)`."""
    if rows.ndim == 2 and 0 < len(rows) <= max_steps:
        return rows.astype(np.float32, copy=False)
    return rescale_rows(rows, max_steps)
