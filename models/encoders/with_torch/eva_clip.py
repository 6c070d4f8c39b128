"""EVA-CLIP image tower, loaded: settings are in `models.encoders.eva_clip`."""

import numpy as np

from models.encoders.eva_clip import Config
from models.encoders.interface import Weights
from models.encoders.networks.eva import ImageHalf, SeededDepth, fill_half
from models.encoders.networks.pixels import FrameRunner, ready


class EvaClipImageEncoder:
    """Embedding of the class token of every frame."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config = config
        half = ImageHalf(config.vision, config.embed_dim)
        fill_half(half, "text.", weights, config.random_gain)
        tower = ready(half.visual, device, config.precision)
        self.dim = config.embed_dim
        network = SeededDepth(tower) if config.drop_path == "reference" else tower
        self.run = FrameRunner(network, device, config.precision)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        rows = self.run(batch)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if self.config.normalise else rows
