"""VGG16 fc7 values of a frame (Simonyan and Zisserman 2015, arXiv 1409.1556), by torchvision."""

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


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
    from models.encoders.with_torch.vgg16 import Vgg16Encoder

    return Vgg16Encoder(config, weights, device)
