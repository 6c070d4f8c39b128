"""EfficientNet-Lite0, loaded: settings are in `models.encoders.efficientnet_lite`."""

import numpy as np

from models.encoders.efficientnet_lite import Config
from models.encoders.interface import Weights
from models.encoders.networks.efficientnet_lite import class_probabilities, efficientnet_lite0, frame_runner, pooled


class EfficientNetLiteEncoder:
    """One row per frame."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        network = efficientnet_lite0(weights, config.random_gain)
        is_pooled = config.output == "pooled"
        self.dim = network.num_features if is_pooled else network.num_classes
        self.run = frame_runner(network, pooled if is_pooled else class_probabilities, device, config.precision)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return self.run(batch)
