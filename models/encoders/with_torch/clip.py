"""CLIP image tower, loaded: settings are in `models.encoders.clip`."""

from functools import partial

import numpy as np

from models.encoders.clip import Config
from models.encoders.interface import Weights
from models.encoders.networks.clip import clip_network, image_embedding
from models.encoders.networks.pixels import FrameRunner, ready


class ClipImageEncoder:
    """Projected class token of every frame, not normalised (what Moment-DETR and IMG read)."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        tower = ready(clip_network(config.architecture, weights, config.random_gain).visual, device, config.precision)
        self.dim = tower.output_dim
        self.run = FrameRunner(partial(image_embedding, tower), device, config.precision)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return self.run(batch)
