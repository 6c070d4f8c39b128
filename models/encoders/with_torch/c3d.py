"""C3D clip features, loaded: settings are in `models.encoders.c3d`."""

import numpy as np
import torch

from models.encoders.c3d import Config
from models.encoders.interface import Weights
from models.encoders.networks.c3d import FRAMES, SIDE, C3d
from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
from models.encoders.networks.pca import Pca


class C3dEncoder:
    """One row per clip of 16 frames."""

    def __init__(self, config: Config, weights: Weights, device: str, pca: Weights) -> None:
        self.config, self.device = config, device
        network = C3d(config.base_width)
        fill(network, weights, config.random_gain)
        self.network = ready(network, device, config.precision)
        self.pca = None if pca is None else Pca(network.dim, pca).to(device)
        self.dim = network.dim if self.pca is None else self.pca.dim

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Embed uint8 (B, 16, 112, 112, 3).

        Raises
        ------
        ValueError
            clips or frames have another size
        """
        if batch.shape[1:] != (FRAMES, SIDE, SIDE, 3):
            raise ValueError(
                f"C3D sees clips of {FRAMES} frames of {SIDE} x {SIDE} pixels, got a batch of shape {batch.shape}"
            )
        pixels = (video_tensor(batch, self.device) - self.config.pixel_mean) / self.config.pixel_scale
        rows = self.network(pixels.to(DTYPES[self.config.precision]))[self.config.layer].float()
        if self.config.relu:
            rows = rows.relu()
        return (rows if self.pca is None else self.pca(rows)).cpu().numpy()
