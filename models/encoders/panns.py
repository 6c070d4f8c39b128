"""PANNs Cnn14 audio embedding (Kong et al. 2020, arXiv 1912.10211)."""

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
RECIPE_VERSION = 2


class Config(BaseModel):
    """Parameters of a Cnn14 feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_width: int = Field(64, gt=0, description="channels of the first block; 64 is published, rows are 32 x as wide")
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly (a published checkpoint is its entry `model`).

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.panns import PannsEncoder

    return PannsEncoder(config, weights, device)
