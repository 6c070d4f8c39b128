"""I3D window features from RGB or optical flow (Carreira and Zisserman 2017, arXiv 1705.07750)."""

from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Precision, RandomGain, Weights

KIND = "visual"
RECIPE_VERSION = 1
MORE_WEIGHTS = ("raft",)

PORTS: dict[str, dict[str, Any]] = {
    "piergiaj": {"eps": 1e-3, "mode": "same"},
    "hassony2": {"eps": 1e-5, "mode": "fixed"},
}
MAX_FLOW = 20.0
"""Pixels per frame; longer motion is cut (video_features)."""


class Config(BaseModel):
    """Parameters of an I3D feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: Literal["piergiaj", "hassony2"] = Field(
        "piergiaj",
        description="whose arithmetic: `piergiaj` (VSLNet, LGI) or `hassony2` (video_features); batch norm and padding "
        "differ, their weights are not interchangeable",
    )
    modality: Literal["rgb", "flow"] = Field("rgb", description="what the network sees")
    flow_from: Literal["raft", "images"] = Field(
        "raft",
        description="`raft`: flow between neighbouring RGB frames, so T + 1 frames make a window of T (needs weights "
        "for `raft`); `images`: frames already are flow, two channels of 0 to 255",
    )
    flow_updates: int = Field(20, gt=0, description="RAFT's refinement steps; 20 in video_features")
    flow_crop: int = Field(224, gt=0, description="side of the square that is cut out of a RAFT flow field, pixels")
    n_classes: int = Field(400, gt=0, description="of the classifier in the weights file: 400 Kinetics, 157 Charades")
    time_mean: bool = Field(
        False, description="one row per window, the mean over its rows (video_features), instead of ceil(T / 8) - 1"
    )
    base_width: int = Field(
        64, gt=0, multiple_of=4, description="channels of the stem; 64 is published, rows are 16 x as wide"
    )
    precision: Precision = "fp32"
    random_gain: RandomGain = 2.0


def load(config: Config, weights: Weights, device: str, raft: Weights = None) -> Encoder:
    """Build the network and load the weights strictly: names of either port.

    Parameters
    ----------
    raft : weights of torchvision's `raft_large`, for flow from RGB frames

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    ValueError
        flow is to come from RAFT and there are no weights for it, or the other way round
    """
    import torch

    from models.encoders.networks.filling import DTYPES, fill, ready, video_tensor
    from models.encoders.networks.i3d import MIN_FRAMES, I3d, to_piergiaj

    is_flow = config.modality == "flow"
    needs_raft = is_flow and config.flow_from == "raft"
    if needs_raft != (raft is not None):
        problem = "needs weights for raft" if needs_raft else "takes no weights for raft"
        raise ValueError(f"I3D with modality {config.modality} and flow_from {config.flow_from} {problem}")

    class I3dEncoder:
        """Rows of a window, (ceil(T / 8) - 1, D) or (1, D), each over about 16 frames, 8 apart."""

        min_frames = MIN_FRAMES + needs_raft

        def __init__(self) -> None:
            n_channels = 2 if is_flow else 3
            network = I3d(n_channels, config.n_classes, base_width=config.base_width, **PORTS[config.port])
            fill(network, weights, config.random_gain, to_piergiaj)
            self.network = ready(network, device, config.precision)
            self.dim = network.dim
            if needs_raft:
                from models.encoders.networks.flow import load_raft

                self.raft = load_raft(raft, device)

        @torch.inference_mode()
        def encode(self, batch: np.ndarray) -> np.ndarray:
            """Embed uint8 windows (B, T, H, W, 3), or (B, T, H, W, 2) of flow images.

            Raises
            ------
            ValueError
                T is below 9 (10 where RAFT makes the flow), or the frames are not what `modality` says
            """
            n_channels = 2 if is_flow and not needs_raft else 3
            if batch.shape[-1] != n_channels:
                raise ValueError(
                    f"I3D with modality {config.modality} and flow_from {config.flow_from} needs frames of "
                    f"{n_channels} channels, not {batch.shape[-1]}; two file names in `images` of the feature give two"
                )
            pixels = self._flow(batch) if needs_raft else video_tensor(batch, device) / 255 * 2 - 1
            rows = self.network(pixels.to(DTYPES[config.precision])).float()
            if config.time_mean:
                rows = rows.mean(1, keepdim=True)
            return rows.cpu().numpy()

        def _flow(self, batch: np.ndarray) -> "torch.Tensor":
            from models.encoders.networks.flow import raft_flow

            return torch.stack([self._quantised(raft_flow(self.raft, w, config.flow_updates)) for w in batch])

        def _quantised(self, flow: "torch.Tensor") -> "torch.Tensor":
            """Turn flow (T, 2, H, W) in pixels into the levels of an image, then (2, T, crop, crop) in [-1, 1]."""
            top, left = ((side - config.flow_crop) // 2 for side in flow.shape[2:])
            flow = flow[:, :, top : top + config.flow_crop, left : left + config.flow_crop]
            # parity: +20 becomes level 256, one beyond a byte.
            levels = torch.round(128 + 255 / (2 * MAX_FLOW) * flow.clamp(-MAX_FLOW, MAX_FLOW))
            return (2 * levels / 255 - 1).transpose(0, 1)

    return I3dEncoder()
