"""SlowFast R50 8x8 clip features, loaded: settings are in `models.encoders.slowfast`."""

import numpy as np
import torch

from models.encoders.interface import Weights
from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
from models.encoders.networks.slowfast import FRAMES, SlowFast
from models.encoders.networks.slowfast_names import to_pyslowfast
from models.encoders.slowfast import Config

PIXEL_MEAN = 0.45
PIXEL_STD = 0.225 + 1e-8


class SlowFastEncoder:
    """One row per clip of 32 frames: pooled slow pathway, then pooled fast pathway."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
        network = SlowFast(config.base_width)
        fill(network, weights, config.random_gain, to_pyslowfast)
        self.network = ready(network, device, config.precision)
        self.dim = network.dim

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Embed uint8 (B, 32, H, W, 3).

        Raises
        ------
        ValueError
            a clip has another number of frames
        """
        if batch.ndim != 5 or batch.shape[1] != FRAMES:
            raise ValueError(
                f"SlowFast sees clips of {FRAMES} frames, got a batch of shape {batch.shape}; use the "
                "sampling rule hero_clips or windows"
            )
        pixels = (video_tensor(batch, self.device) / 255 - PIXEL_MEAN) / PIXEL_STD
        return self.network(pixels.to(DTYPES[self.config.precision])).float().cpu().numpy()
