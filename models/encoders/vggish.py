"""VGGish audio embedding (Hershey et al. 2017, arXiv 1609.09430) in the forms in which it was published."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a VGGish feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    postprocess: Literal["raw", "pca", "pca_quantised"] = Field(
        "pca_quantised",
        description="`raw`: the network's output (video_features); `pca`: whitened; `pca_quantised`: whitened and "
        "rounded to 0..255 (AudioSet, torchvggish; readers of ActivityNet's file divide by 255)",
    )
    width_divisor: int = Field(1, ge=1, le=32, description="layers are this many times narrower; 1 is published")
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly: those of the network and, unless `raw`, of the PCA in one dict.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.vggish import VggishEncoder

    return VggishEncoder(config, weights, device)
