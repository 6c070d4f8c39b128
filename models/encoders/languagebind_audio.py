"""LanguageBind audio tower: CLIP on mel pictures of the whole sound (arXiv 2310.01852), as UniQ4Cap uses it."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
TAKES_CHANNELS = True
RECIPE_VERSION = 1

FRAME_SAMPLES = 400


class Config(BaseModel):
    """Parameters of a LanguageBind audio feature; sizes are those of the published ViT-L/14."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "clip"] = Field(
        "clip",
        description="`tokens`: all tokens of the last layer, class token first, then patches by pitch and time (what "
        "UniQ4Cap reads; their times are meaningless); `clip`: the normalised class token",
    )
    width: int = Field(1024, gt=0, description="width of the tokens and of a row")
    layers: int = Field(24, gt=0, description="depth")
    heads: int = Field(16, gt=0, description="attention heads")
    inner: int = Field(4096, gt=0, description="width inside the MLPs")
    frames: int = Field(1036, gt=0, description="spectrogram frames of 10 ms in a picture; longer sound gives three")
    patch: int = Field(14, gt=0, description="side of a patch, bands and frames")
    from_image_clip: bool = Field(
        False, description="the weights are an image tower's: its square of positions is resized to the spectrogram's"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the tower and load the weights strictly: a bare tower, or the vision part of a LanguageBind checkpoint.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    import torch
    from torch.nn import functional as F

    from models.encoders.networks.clip_inputs import MEL_BANDS, mel_picture, mel_spectrogram
    from models.encoders.networks.filling import DTYPES, fill
    from models.encoders.networks.languagebind import AudioTower, bare_tower, resize_positions

    positions = "embeddings.position_embedding.weight"

    class AudioEncoder:
        """Rows of a sound: (1 + N, D) or (1, D)."""

        def __init__(self) -> None:
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
                    state[positions] = resize_positions(torch.as_tensor(state[positions]).float(), network.grid)
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
                [mel_picture(mel_spectrogram(torch.atleast_2d(wave)), config.frames) for wave in waves]
            )
            tokens = self.network(pictures.to(device, DTYPES[config.precision]))
            rows = tokens if config.output == "tokens" else self.network.pooled(tokens)[:, None]
            return rows.float().cpu().numpy()

    return AudioEncoder()
