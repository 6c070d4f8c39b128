"""C3D clip features, fc6 or fc7, optionally reduced by a stored PCA (Tran et al. 2015, arXiv 1412.0767)."""

from typing import Literal

import numpy as np
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
    import torch

    from models.encoders.networks.c3d import FRAMES, SIDE, C3d
    from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
    from models.encoders.networks.pca import Pca

    class C3dEncoder:
        """One row per clip of 16 frames."""

        def __init__(self) -> None:
            network = C3d(config.base_width)
            fill(network, weights, config.random_gain)
            self.network = ready(network, device, config.precision)
            self.pca = None if pca is None else Pca(network.dim, pca).to(device)
            self.dim = network.dim if self.pca is None else self.pca.dim

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            """Embed uint8 (B, 16, 112, 112, 3).

            Raises
            ------
            ValueError
                clips or frames have another size
            """
            if batch.shape[1:] != (FRAMES, SIDE, SIDE, 3):
                raise ValueError(
                    f"C3D sees clips of {FRAMES} frames of {SIDE} x {SIDE} pixels, got a batch of shape {batch.shape}"
                )
            pixels = (video_tensor(batch, device) - config.pixel_mean) / config.pixel_scale
            rows = self.network(pixels.to(DTYPES[config.precision]))[config.layer].float()
            if config.relu:
                rows = rows.relu()
            return (rows if self.pca is None else self.pca(rows)).cpu().numpy()

    return C3dEncoder()
