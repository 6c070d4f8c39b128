"""VGGish audio embedding (Hershey et al. 2017, arXiv 1609.09430) in the forms in which it was published."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights
from models.weights import seeded_state

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
    import torch

    from models.encoders.networks.filling import convolutions_ready
    from models.encoders.networks.vggish import DIM, PCA_KEYS, AudioSetPca, Vggish

    class VggishEncoder:
        """One row per waveform of 0.975 s at 16 kHz."""

        dim = DIM

        def __init__(self) -> None:
            self.network = Vggish(config.width_divisor)
            self.pca = None if config.postprocess == "raw" else AudioSetPca(config.postprocess == "pca_quantised")
            published = dict(weights) if isinstance(weights, dict) else {}
            pca_state = {key: torch.as_tensor(published.pop(key)) for key in PCA_KEYS if key in published}
            if isinstance(weights, int):
                published, pca_state = self._seeded(self.network), self._seeded(self.pca)
            self.network.load_state_dict(published, strict=True)
            if self.pca is not None:
                if "pca_means" in pca_state:
                    pca_state["pca_means"] = pca_state["pca_means"].reshape(-1, 1)
                self.pca.load_state_dict(pca_state, strict=True)
                self.pca.to(device)
            self.network.eval().requires_grad_(False).to(device)
            convolutions_ready([self.network.features], device, config.precision)

        @staticmethod
        def _seeded(network: torch.nn.Module | None) -> dict[str, torch.Tensor]:
            shapes = {} if network is None else {key: tuple(v.shape) for key, v in network.state_dict().items()}
            arrays = seeded_state(shapes, weights, config.random_gain)
            return {key: torch.from_numpy(np.asarray(value)) for key, value in arrays.items()}

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            rows = self.network(torch.from_numpy(batch).to(device))
            return (rows if self.pca is None else self.pca(rows)).cpu().numpy()

    return VggishEncoder()
