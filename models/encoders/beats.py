"""BEATs tokens of sound (Chen et al. 2023, arXiv 2212.09058), the audio tower of UniQ4Cap's ablation."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "audio"
TAKES_CHANNELS = True
RECIPE_VERSION = 1

FINE_TUNED_HEAD = "predictor."
TOKENS_PER_STEP = 8


class Config(BaseModel):
    """Parameters of a BEATs feature; sizes are those of the published base model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "steps", "clip"] = Field(
        "clip",
        description="`tokens`: all, eight bands of a time step after one another (what UniQ4Cap reads); `steps`: means "
        "over the bands, one row per 160 ms; `clip`: mean over everything",
    )
    patch_width: int = Field(512, gt=0, description="width of the patch embedding")
    width: int = Field(768, gt=0, description="width of the tokens and of a row")
    layers: int = Field(12, gt=0, description="depth")
    heads: int = Field(12, gt=0, description="attention heads")
    inner: int = Field(3072, gt=0, description="width inside the MLPs")
    position_kernel: int = Field(128, gt=0, description="tokens that the position convolution sees")
    position_groups: int = Field(16, gt=0, description="its groups")
    buckets: int = Field(320, gt=0, description="buckets of relative positions")
    distance: int = Field(800, gt=0, description="distance from which all positions share a bucket")
    frames: int = Field(512, gt=0, multiple_of=16, description="spectrogram frames of 10 ms; the rest is cut")
    precision: Precision = "fp32"
    random_gain: RandomGain = 1.0


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Build the network and load the weights strictly (entry `model` of a checkpoint; a classifier is left out).

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    import torch

    from models.encoders.networks.beats import Beats
    from models.encoders.networks.clip_inputs import beats_spectrogram, fixed_length
    from models.encoders.networks.filling import DTYPES, fill

    class BeatsEncoder:
        """Rows of a sound: (frames / 2, D), (frames / 16, D) or (1, D)."""

        def __init__(self) -> None:
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
            spectrograms = [fixed_length(beats_spectrogram(wave), config.frames) for wave in waves]
            tokens = self.network(torch.stack(spectrograms).to(device, DTYPES[config.precision]))
            if config.output == "steps":
                tokens = tokens.unflatten(1, (-1, TOKENS_PER_STEP)).mean(2)
            elif config.output == "clip":
                tokens = tokens.mean(1, keepdim=True)
            return tokens.float().cpu().numpy()

    return BeatsEncoder()
