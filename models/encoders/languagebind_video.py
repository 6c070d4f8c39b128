"""LanguageBind video tower: CLIP with attention over time, eight frames of the whole video (arXiv 2310.01852)."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a LanguageBind video feature; sizes are those of the published ViT-L/14."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    output: Literal["tokens", "frames", "clip"] = Field(
        "clip",
        description="`tokens`: all tokens of the last layer, frame after frame, class token first (what UniQ4Cap "
        "reads); `frames`: normalised class token of each frame; `clip`: their mean",
    )
    width: int = Field(1024, gt=0, description="width of the tokens and of a row")
    layers: int = Field(24, gt=0, description="depth")
    heads: int = Field(16, gt=0, description="attention heads")
    inner: int = Field(4096, gt=0, description="width inside the MLPs")
    image: int = Field(224, gt=0, description="side of a frame after resizing, pixels")
    patch: int = Field(14, gt=0, description="side of a patch, pixels")
    n_frames: int = Field(8, gt=0, description="frames of a clip; the sampling rule must give as many")
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

    from models.encoders.networks.clip_inputs import video_pixels
    from models.encoders.networks.filling import DTYPES, fill
    from models.encoders.networks.languagebind import VideoTower, bare_tower

    class VideoEncoder:
        """Rows of a clip: (T * (1 + N), D), (T, D) or (1, D)."""

        min_frames = config.n_frames

        def __init__(self) -> None:
            network = VideoTower(
                config.width,
                config.layers,
                config.heads,
                config.inner,
                image=config.image,
                patch=config.patch,
                n_frames=config.n_frames,
            )
            fill(network, weights, config.random_gain, bare_tower)
            self.network = network.eval().requires_grad_(False).to(device, DTYPES[config.precision])
            self.dim = config.width

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            """Embed uint8 (B, T, H, W, 3) of any size.

            Raises
            ------
            ValueError
                clips have another number of frames
            """
            if batch.ndim != 5 or batch.shape[1] != config.n_frames:
                raise ValueError(
                    f"the tower sees clips of {config.n_frames} frames, got a batch of shape {batch.shape}; use the "
                    f"sampling rule linspace_clip with n_frames: {config.n_frames}"
                )
            frames = torch.from_numpy(batch).to(device)
            pixels = torch.stack([video_pixels(clip, config.image) for clip in frames])
            tokens = self.network(pixels.to(DTYPES[config.precision]))
            if config.output == "tokens":
                rows = tokens.flatten(1, 2)
            else:
                rows = self.network.post_layernorm(tokens[:, :, 0])
                if config.output == "clip":
                    rows = rows.mean(1, keepdim=True)
            return rows.float().cpu().numpy()

    return VideoEncoder()
