"""k-means over rows in time: what counts is the mean distance of a row and its neighbours."""

import numpy as np
import torch

SEED = 60
ROUNDS = 100
STANDSTILL = 1e-4
"""Centroids that move less are done."""


def smoothed(rows: np.ndarray, window: int) -> np.ndarray:
    """Return the means of `window` neighbouring rows (T, D); the first and the last row stand for those beyond."""
    half = window // 2
    padded = np.concatenate([rows[:1].repeat(half, axis=0), rows, rows[-1:].repeat(half, axis=0)])
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0).mean(axis=-1)


def cluster(rows: np.ndarray, k: int, window: int) -> np.ndarray:
    """Return the number of the group of every row, int64 (T,).

    Parameters
    ----------
    rows : float32 (T, D)
    k : groups; at most as many as there are rows, but 2 where there is one row
    window : rows over which distances are averaged; fewer at the ends
    """
    centroids = _first_centroids(rows, min(k, max(2, len(rows))))
    labels = np.zeros(len(rows), dtype=np.int64)
    for _ in range(ROUNDS):
        found = _windowed(_distances(rows, centroids), window // 2).argmin(axis=1)
        moved = centroids.copy()
        for number in np.unique(found):
            moved[number] = rows[found == number].mean(axis=0)
        if np.allclose(centroids, moved, atol=STANDSTILL):
            break  # parity: the groups stay those of the round before.
        centroids, labels = moved, found
    return labels


def _first_centroids(rows: np.ndarray, k: int) -> np.ndarray:
    """k-means++: rows far from those that were chosen before are likelier."""
    # The published draws are torch's; a generator of its own leaves the global one alone.
    generator = torch.Generator().manual_seed(SEED)
    chosen = [int(torch.randint(0, len(rows), (1,), generator=generator))]
    while len(chosen) < k:
        squared = _distances(rows, rows[chosen]).min(axis=1) ** 2
        places = np.cumsum(squared / max(squared.sum(), np.finfo(np.float32).tiny), dtype=np.float32)
        draw = torch.rand(1, generator=generator).numpy()[0]
        chosen.append(min(int(np.searchsorted(places, draw)), len(rows) - 1))
    return rows[chosen]


def _distances(rows: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.stack([np.linalg.norm(rows - centroid, axis=1) for centroid in centroids], axis=1)


def _windowed(distances: np.ndarray, half: int) -> np.ndarray:
    """Return means over the rows i - half to i + half, as far as they are there."""
    n_rows = len(distances)
    return np.stack([distances[max(0, i - half) : i + half + 1].mean(axis=0) for i in range(n_rows)])
