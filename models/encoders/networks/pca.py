"""Principal components as a fixed linear map."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Pca(nn.Module):
    """Centre rows and project them on stored components, not whitened.

    Parameters
    ----------
    n_in : width D of a row
    weights : `mean` (D,) and `components` (K, D); or a seed, for random orthogonal ones of K = D / 8

    Raises
    ------
    RuntimeError
        names or shapes are others
    """

    def __init__(self, n_in: int, weights: int | dict[str, Any]) -> None:
        super().__init__()
        if isinstance(weights, int):
            square = np.random.default_rng(weights).standard_normal((n_in, n_in // 8))
            weights = {"mean": np.zeros(n_in), "components": np.linalg.qr(square)[0].T}
        self.dim = len(weights["components"]) if "components" in weights else 0
        self.register_buffer("mean", torch.zeros(n_in))
        self.register_buffer("components", torch.zeros(self.dim, n_in))
        self.load_state_dict({key: torch.as_tensor(np.asarray(value)) for key, value in weights.items()}, strict=True)

    def forward(self, rows: Tensor) -> Tensor:
        """Return (B, K) of rows (B, D)."""
        return (rows - self.mean) @ self.components.T
