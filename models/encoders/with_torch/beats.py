"""BEATs tokens of sound, loaded: settings are in `models.encoders.beats`."""

import numpy as np
import torch

from models.encoders.beats import Config
from models.encoders.interface import Weights
from models.encoders.networks.beats import Beats
from models.encoders.networks.clip_inputs import beats_spectrogram, fixed_length
from models.encoders.networks.filling import DTYPES, fill

FINE_TUNED_HEAD = "predictor."
TOKENS_PER_STEP = 8


class BeatsEncoder:
    """Rows of a sound: (frames / 2, D), (frames / 16, D) or (1, D)."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
        network = Beats(
            config.patch_width,
            config.width,
            config.layers,
            config.heads,
            config.inner,
            kernel=config.position_kernel,
            groups=config.position_groups,
            buckets=config.buckets,
            distance=config.distance,
        )

        def without_head(state: dict) -> dict:
            return {key: value for key, value in state.items() if not key.startswith(FINE_TUNED_HEAD)}

        fill(network, weights, config.random_gain, without_head)
        self.network = network.eval().requires_grad_(False).to(device, DTYPES[config.precision])
        self.dim = config.width

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Embed float32 (B, samples) or (B, C, samples) at 16 kHz.

        Notes
        -----
        parity: short sound is filled up with the average level.
        """
        waves = [torch.atleast_2d(wave) for wave in torch.tensor(batch)]
        spectrograms = [fixed_length(beats_spectrogram(wave), self.config.frames) for wave in waves]
        tokens = self.network(torch.stack(spectrograms).to(self.device, DTYPES[self.config.precision]))
        if self.config.output == "steps":
            tokens = tokens.unflatten(1, (-1, TOKENS_PER_STEP)).mean(2)
        elif self.config.output == "clip":
            tokens = tokens.mean(1, keepdim=True)
        return tokens.float().cpu().numpy()
