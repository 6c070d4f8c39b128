"""SlowFast R50 8x8 clip features by the rules of HERO (Feichtenhofer et al. 2019, arXiv 1812.03982)."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1

PIXEL_MEAN = 0.45
PIXEL_STD = 0.225 + 1e-8


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
    import torch

    from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
    from models.encoders.networks.slowfast import FRAMES, SlowFast
    from models.encoders.networks.slowfast_names import to_pyslowfast

    class SlowFastEncoder:
        """One row per clip of 32 frames: pooled slow pathway, then pooled fast pathway."""

        def __init__(self) -> None:
            network = SlowFast(config.base_width)
            fill(network, weights, config.random_gain, to_pyslowfast)
            self.network = ready(network, device, config.precision)
            self.dim = network.dim

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            """Embed uint8 (B, 32, H, W, 3).

            Raises
            ------
            ValueError
                a clip has another number of frames
            """
            if batch.ndim != 5 or batch.shape[1] != FRAMES:
                raise ValueError(
                    f"SlowFast sees clips of {FRAMES} frames, got a batch of shape {batch.shape}; use the "
                    "sampling rule hero_clips or windows"
                )
            pixels = (video_tensor(batch, device) / 255 - PIXEL_MEAN) / PIXEL_STD
            return self.network(pixels.to(DTYPES[config.precision])).float().cpu().numpy()

    return SlowFastEncoder()
