"""I3D window features from RGB or optical flow, loaded: settings are in `models.encoders.i3d`."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.encoders.i3d import Config
from models.encoders.interface import Weights
from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
from models.encoders.networks.flow import load_raft, raft_flow
from models.encoders.networks.i3d import MIN_FRAMES, I3d, to_piergiaj

PORTS: dict[str, dict[str, Any]] = {
    "piergiaj": {"eps": 1e-3, "mode": "same"},
    "hassony2": {"eps": 1e-5, "mode": "fixed"},
}
MAX_FLOW = 20.0
"""Pixels per frame; longer motion is cut (video_features)."""


class I3dEncoder:
    """Rows of a window, (ceil(T / 8) - 1, D) or (1, D), each over about 16 frames, 8 apart."""

    def __init__(self, config: Config, weights: Weights, device: str, raft: Weights) -> None:
        is_flow = config.modality == "flow"
        self.needs_raft = is_flow and config.flow_from == "raft"
        if self.needs_raft != (raft is not None):
            problem = "needs weights for raft" if self.needs_raft else "takes no weights for raft"
            raise ValueError(f"I3D with modality {config.modality} and flow_from {config.flow_from} {problem}")
        self.config, self.device = config, device
        self.min_frames = MIN_FRAMES + self.needs_raft
        self.n_channels = 2 if is_flow and not self.needs_raft else 3
        network = I3d(2 if is_flow else 3, config.n_classes, base_width=config.base_width, **PORTS[config.port])
        fill(network, weights, config.random_gain, to_piergiaj)
        self.network = ready(network, device, config.precision)
        self.dim = network.dim
        if self.needs_raft:
            self.raft = load_raft(raft, device)

    @torch.inference_mode()
    def encode(self, batch: np.ndarray) -> np.ndarray:
        """Embed uint8 windows (B, T, H, W, 3), or (B, T, H, W, 2) of flow images.

        Raises
        ------
        ValueError
            T is below 9 (10 where RAFT makes the flow), or the frames are not what `modality` says
        """
        if batch.shape[-1] != self.n_channels:
            raise ValueError(
                f"I3D with modality {self.config.modality} and flow_from {self.config.flow_from} needs frames of "
                f"{self.n_channels} channels, not {batch.shape[-1]}; two file names in `images` of the feature give two"
            )
        pixels = self._flow(batch) if self.needs_raft else video_tensor(batch, self.device) / 255 * 2 - 1
        rows = self.network(pixels.to(DTYPES[self.config.precision])).float()
        if self.config.time_mean:
            rows = rows.mean(1, keepdim=True)
        return rows.cpu().numpy()

    def _flow(self, batch: np.ndarray) -> Tensor:
        return torch.stack([self._quantised(raft_flow(self.raft, w, self.config.flow_updates)) for w in batch])

    def _quantised(self, flow: Tensor) -> Tensor:
        """Turn flow (T, 2, H, W) in pixels into the levels of an image, then (2, T, crop, crop) in [-1, 1]."""
        top, left = ((side - self.config.flow_crop) // 2 for side in flow.shape[2:])
        flow = flow[:, :, top : top + self.config.flow_crop, left : left + self.config.flow_crop]
        # parity: +20 becomes level 256, one beyond a byte.
        levels = torch.round(128 + 255 / (2 * MAX_FLOW) * flow.clamp(-MAX_FLOW, MAX_FLOW))
        return (2 * levels / 255 - 1).transpose(0, 1)
