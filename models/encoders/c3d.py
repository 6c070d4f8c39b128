"""C3D clip features, fc6 or fc7, optionally reduced by a stored PCA (Tran et al. 2015, arXiv 1412.0767)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1
MORE_WEIGHTS = ("pca",)


class Config(BaseModel):
    """Parameters of a C3D feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: Literal["fc6", "fc7"] = Field("fc6", description="fully connected layer whose output is the feature")
    relu: bool = Field(True, description="after the layer's ReLU, as Caffe's extractor gives it; false: before")
    pixel_mean: float = Field(0.0, description="subtracted from levels 0 to 255; the PyTorch port subtracts nothing")
    pixel_scale: float = Field(1.0, gt=0, description="levels are divided by it")
    base_width: int = Field(64, gt=0, description="channels of the first convolution; rows are 64 x as wide")
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str, pca: Weights = None) -> Encoder:
    """Build the network and load the weights strictly.

    Parameters
    ----------
    pca : `mean` (4096,) and `components` (K, 4096) of a PCA over rows of this feature; rows then have K values

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.c3d import C3dEncoder

    return C3dEncoder(config, weights, device, pca)
