"""Frames as the CLIP family sees them, and how its networks run: in reduced precision, in pieces that fit a cache."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.encoders.networks.filling import DTYPES, Precision

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)
CPU_PIECE = 8
"""Frames per forward pass on a CPU: larger batches leave its cache and are slower."""

HAS_WEIGHT_MATRIX = (nn.Linear, nn.Conv2d, nn.MultiheadAttention)


def ready(network: nn.Module, device: str, precision: Precision) -> nn.Module:
    """Return a transformer for inference: matrices stored in `precision`, all else in float32.

    Notes
    -----
    As LAVIS keeps BLIP-2's image tower. Under `autocast` matrix products run in `precision`; norms, softmax and, since
    position embeddings are float32, the residual stream stay in float32.
    """
    network = network.eval().requires_grad_(False)
    if precision != "fp32":
        for module in network.modules():
            if isinstance(module, HAS_WEIGHT_MATRIX):
                module.to(DTYPES[precision])
    return network.to(device)


class FrameRunner:
    """Calls an image network on uint8 frames.

    Parameters
    ----------
    network : (n, 3, H, W) float32 -> (n, ...)
    mean, std : of the pixels in [0, 1], per channel
    """

    def __init__(
        self,
        network: Callable[[Tensor], Tensor],
        device: str,
        precision: Precision = "fp32",
        mean: tuple[float, ...] = PIXEL_MEAN,
        std: tuple[float, ...] = PIXEL_STD,
    ) -> None:
        self.network, self.device, self.dtype = network, device, DTYPES[precision]
        self.mean, self.std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (mean, std))

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Return the network's float32 output for uint8 (n, H, W, 3)."""
        # Bytes travel to the device, floats are made there; the permuted view is channels-last in memory.
        pieces = torch.from_numpy(frames).split(CPU_PIECE if self.device == "cpu" else max(1, len(frames)))
        with torch.autocast(self.device, self.dtype, enabled=self.dtype != torch.float32):
            rows = [self.network(self._normalised(piece)).float().cpu() for piece in pieces]
        return torch.cat(rows).numpy()

    def _normalised(self, frames: Tensor) -> Tensor:
        pixels = frames.to(self.device).permute(0, 3, 1, 2).float() / 255
        return (pixels - self.mean) / self.std
