"""PANNs Cnn14 audio embedding (Kong et al. 2020, arXiv 1912.10211)."""

from typing import Any

import numpy as np
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
    import torch

    from models.encoders.networks.cnn14 import ANALYTIC_KEYS, Cnn14
    from models.encoders.networks.filling import convolutions_ready, fill

    class PannsEncoder:
        """Embedding after the first fully connected layer and ReLU, one row per waveform."""

        def __init__(self) -> None:
            network = Cnn14(config.base_width)
            fill(network, weights, config.random_gain, without_front_end)
            self.network = network.eval().requires_grad_(False).to(device)
            convolutions_ready(network.convolutions(), device, config.precision)
            self.dim = network.dim

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            return self.network(torch.from_numpy(batch).to(device))[0].cpu().numpy()

    def without_front_end(published: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in published.items() if not key.startswith(ANALYTIC_KEYS)}

    return PannsEncoder()
