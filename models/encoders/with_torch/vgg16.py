"""VGG16 fc7 values, loaded: settings are in `models.encoders.vgg16`."""

import numpy as np
import torch

from models.encoders.interface import Weights
from models.encoders.networks.filling import fill
from models.encoders.networks.pixels import FrameRunner, ready
from models.encoders.networks.vgg16 import Vgg16
from models.encoders.vgg16 import Config

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Vgg16Encoder:
    """fc7 of every frame."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        network = Vgg16(config.width)
        fill(network, weights, config.random_gain)
        network = ready(network, device, config.precision).to(memory_format=torch.channels_last)
        self.dim = network.dim
        self.run = FrameRunner(
            lambda pixels: network.fc7(pixels, config.relu),
            device,
            config.precision,
            IMAGENET_MEAN,
            IMAGENET_STD,
        )

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return self.run(batch)
