"""CLIP text tower, loaded: settings are in `models.encoders.clip_text`."""

import numpy as np

from models.encoders.clip_text import Config
from models.encoders.interface import Weights
from models.encoders.networks.clip import TextRunner, clip_network


class ClipTextEncoder:
    """Rows (L, W) of a sentence's tokens, or (1, D) of the sentence."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        network = clip_network(config.architecture, weights, config.random_gain)
        network.visual = None
        self.run = TextRunner(network, config.output, config.max_tokens, device)
        self.dim = self.run.dim

    def encode(self, batch: list[str]) -> list[np.ndarray]:
        return self.run(batch)
