"""LanguageBind audio tower, loaded: settings are in `models.encoders.languagebind_audio`."""

import numpy as np
import torch
from torch.nn import functional as F

from models.encoders.interface import Weights
from models.encoders.languagebind_audio import Config
from models.encoders.networks.clip_inputs import MEL_BANDS, mel_picture, mel_spectrogram
from models.encoders.networks.filling import DTYPES, fill
from models.encoders.networks.languagebind import AudioTower, bare_tower, resize_positions

POSITIONS = "embeddings.position_embedding.weight"

FRAME_SAMPLES = 400


class AudioEncoder:
    """Rows of a sound: (1 + N, D) or (1, D)."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
        network = AudioTower(
            config.width,
            config.layers,
            config.heads,
            config.inner,
            bands=MEL_BANDS,
            frames=config.frames,
            patch=config.patch,
        )

        def renamed(state: dict) -> dict:
            state = bare_tower(state)
            if config.from_image_clip:
                state[POSITIONS] = resize_positions(torch.as_tensor(state[POSITIONS]).float(), network.grid)
                state.pop("embeddings.position_ids", None)
            return state

        fill(network, weights, config.random_gain, renamed)
        self.network = network.eval().requires_grad_(False).to(device, DTYPES[config.precision])
        self.dim = config.width

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Embed float32 (B, samples) or (B, C, samples) at 16 kHz; below a frame of 25 ms silence is added."""
        waves = torch.tensor(batch)
        waves = F.pad(waves, (0, max(0, FRAME_SAMPLES - waves.shape[-1])))
        pictures = torch.stack(
            [mel_picture(mel_spectrogram(torch.atleast_2d(wave)), self.config.frames) for wave in waves]
        )
        tokens = self.network(pictures.to(self.device, DTYPES[self.config.precision]))
        rows = tokens if self.config.output == "tokens" else self.network.pooled(tokens)[:, None]
        return rows.float().cpu().numpy()
