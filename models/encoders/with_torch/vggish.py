"""VGGish audio embedding, loaded: settings are in `models.encoders.vggish`."""

import numpy as np
import torch

from models.encoders.interface import Weights
from models.encoders.networks.filling import convolutions_ready
from models.encoders.networks.vggish import DIM, PCA_KEYS, AudioSetPca, Vggish
from models.encoders.vggish import Config
from models.weights import seeded_state


class VggishEncoder:
    """One row per waveform of 0.975 s at 16 kHz."""

    dim = DIM

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
        self.network = Vggish(config.width_divisor)
        self.pca = None if config.postprocess == "raw" else AudioSetPca(config.postprocess == "pca_quantised")
        published = dict(weights) if isinstance(weights, dict) else {}
        pca_state = {key: torch.as_tensor(published.pop(key)) for key in PCA_KEYS if key in published}
        if isinstance(weights, int):
            published, pca_state = self._seeded(self.network, weights), self._seeded(self.pca, weights)
        self.network.load_state_dict(published, strict=True)
        if self.pca is not None:
            if "pca_means" in pca_state:
                pca_state["pca_means"] = pca_state["pca_means"].reshape(-1, 1)
            self.pca.load_state_dict(pca_state, strict=True)
            self.pca.to(device)
        self.network.eval().requires_grad_(False).to(device)
        convolutions_ready([self.network.features], device, config.precision)

    def _seeded(self, network: torch.nn.Module | None, seed: int) -> dict[str, torch.Tensor]:
        shapes = {} if network is None else {key: tuple(v.shape) for key, v in network.state_dict().items()}
        arrays = seeded_state(shapes, seed, self.config.random_gain)
        return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        rows = self.network(torch.from_numpy(batch).to(self.device))
        return (rows if self.pca is None else self.pca(rows)).cpu().numpy()
