"""SlowFast R50 8x8 clip features by the rules of HERO (Feichtenhofer et al. 2019, arXiv 1812.03982)."""

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a SlowFast feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_width: int = Field(
        64, gt=0, multiple_of=8, description="channels of the slow stem; 64 is published, rows are 36 x as wide"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly: names of PySlowFast, Caffe2 or pytorchvideo.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.slowfast import SlowFastEncoder

    return SlowFastEncoder(config, weights, device)
