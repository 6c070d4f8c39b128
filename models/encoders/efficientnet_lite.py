"""EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946, without what phones cannot compute), by timm."""

from typing import Literal

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
    from models.encoders.with_torch.efficientnet_lite import EfficientNetLiteEncoder

    return EfficientNetLiteEncoder(config, weights, device)
