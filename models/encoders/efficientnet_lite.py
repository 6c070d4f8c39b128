"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without what phones cannot compute), by timm."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of an EfficientNet-Lite0 feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["pooled", "classes"] = Field(
        "pooled", description="the last feature map's mean (1280), or the probabilities of ImageNet's 1000 classes"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.networks.efficientnet_lite import (
        class_probabilities,
        efficientnet_lite0,
        frame_runner,
        pooled,
    )

    class EfficientNetLiteEncoder:
        """One row per frame."""

        def __init__(self) -> None:
            network = efficientnet_lite0(weights, config.random_gain)
            is_pooled = config.output == "pooled"
            self.dim = network.num_features if is_pooled else network.num_classes
            self.run = frame_runner(network, pooled if is_pooled else class_probabilities, device, config.precision)

        def encode(self, batch: np.ndarray) -> np.ndarray:
            return self.run(batch)

    return EfficientNetLiteEncoder()
