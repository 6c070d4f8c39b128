"""PANNs Cnn14 audio embedding (Kong et al. 2020, arXiv 1912.10211)."""

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, RandomGain, Weights
from models.weights import seeded_state

KIND = "audio"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a Cnn14 feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_width: int = Field(64, gt=0, description="channels of the first block; 64 is published, rows are 32 x as wide")
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

    class PannsEncoder:
        """Embedding after the first fully connected layer and ReLU, one row per waveform."""

        def __init__(self) -> None:
            network = Cnn14(config.base_width)
            if isinstance(weights, int):
                shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
                arrays = seeded_state(shapes, weights, config.random_gain)
                state = {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}
            else:
                state = {key: value for key, value in weights.items() if not key.startswith(ANALYTIC_KEYS)}
            network.load_state_dict(state, strict=True)
            self.network = network.eval().to(device)
            self.dim = network.dim

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            return self.network(torch.from_numpy(batch).to(device))[0].float().cpu().numpy()

    return PannsEncoder()
