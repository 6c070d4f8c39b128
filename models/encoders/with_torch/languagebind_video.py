"""LanguageBind video tower, loaded: settings are in `models.encoders.languagebind_video`."""

import numpy as np
import torch

from models.encoders.interface import Weights
from models.encoders.languagebind_video import Config
from models.encoders.networks.clip_inputs import video_pixels
from models.encoders.networks.filling import DTYPES, fill
from models.encoders.networks.languagebind import VideoTower, bare_tower


class VideoEncoder:
    """Rows of a clip: (T * (1 + N), D), (T, D) or (1, D)."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
        self.min_frames = config.n_frames
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
        if batch.ndim != 5 or batch.shape[1] != self.config.n_frames:
            raise ValueError(
                f"the tower sees clips of {self.config.n_frames} frames, got a batch of shape {batch.shape}; use the "
                f"sampling rule linspace_clip with n_frames: {self.config.n_frames}"
            )
        frames = torch.from_numpy(batch).to(self.device)
        pixels = torch.stack([video_pixels(clip, self.config.image) for clip in frames])
        tokens = self.network(pixels.to(DTYPES[self.config.precision]))
        if self.config.output == "tokens":
            rows = tokens.flatten(1, 2)
        else:
            rows = self.network.post_layernorm(tokens[:, :, 0])
            if self.config.output == "clip":
                rows = rows.mean(1, keepdim=True)
        return rows.float().cpu().numpy()
