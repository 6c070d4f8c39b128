"""VGG16 fc7 values of a frame (Simonyan and Zisserman 2015, arXiv 1409.1556), by torchvision."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Config(BaseModel):
    """Parameters of a VGG16 feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(64, gt=0, description="channels of the first convolution, published 64; rows are 64 x as wide")
    relu: bool = Field(True, description="values after fc7's ReLU; false: before it")
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    import torch

    from models.encoders.networks.filling import fill
    from models.encoders.networks.pixels import FrameRunner, ready
    from models.encoders.networks.vgg16 import Vgg16

    class Vgg16Encoder:
        """fc7 of every frame."""

        def __init__(self) -> None:
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

    return Vgg16Encoder()
