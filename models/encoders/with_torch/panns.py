"""PANNs Cnn14 audio embedding, loaded: settings are in `models.encoders.panns`."""

from typing import Any

import numpy as np
import torch

from models.encoders.interface import Weights
from models.encoders.networks.cnn14 import ANALYTIC_KEYS, Cnn14
from models.encoders.networks.filling import convolutions_ready, fill
from models.encoders.panns import Config


class PannsEncoder:
    """Embedding after the first fully connected layer and ReLU, one row per waveform."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.device = device
        network = Cnn14(config.base_width)
        fill(network, weights, config.random_gain, without_front_end)
        self.network = network.eval().requires_grad_(False).to(device)
        convolutions_ready(network.convolutions(), device, config.precision)
        self.dim = network.dim

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        return self.network(torch.from_numpy(batch).to(self.device))[0].cpu().numpy()


def without_front_end(published: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in published.items() if not key.startswith(ANALYTIC_KEYS)}
