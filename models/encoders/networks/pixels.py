"""Frames as the CLIP family sees them, and how its networks run: in reduced precision, in pieces that fit a cache."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        for name, module in list(network.named_modules()):
            if isinstance(module, HAS_WEIGHT_MATRIX):
                module.to(DTYPES[precision])
            if isinstance(module, nn.MultiheadAttention):
                network.set_submodule(name, BatchFirstAttention(module))
    return network.to(device)


class BatchFirstAttention(nn.Module):
    """The attention of a `nn.MultiheadAttention` with `batch_first`, for inference under `autocast`.

    Notes
    -----
    The module itself projects a view in which batch and tokens are exchanged. Processors that compute in bf16 copy that
    view element by element, which takes longer than all products. In float32 the module has a path of its own.
    """

    def __init__(self, module: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads, self.out_proj = module.num_heads, module.out_proj
        self.in_proj_weight, self.in_proj_bias = module.in_proj_weight, module.in_proj_bias

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor, need_weights: bool = False, attn_mask: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Attend from (B, L, D) over (B, S, D), both keys and values; return (B, L, D) and no weights."""
        if values is not keys or need_weights:
            raise ValueError("keys have to be the values, and weights are not returned")
        width, apart = query.shape[-1], query is not keys
        matrix, bias = self.in_proj_weight, self.in_proj_bias
        own = [F.linear(query, matrix[:width], bias[:width])] if apart else []
        # As the module does it, the bias is added to what was rounded: the same rows, bit for bit.
        shared = F.linear(keys, matrix[width * apart :]) + bias[width * apart :]
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (*own, *shared.split(width, dim=-1))
        )
        found = F.scaled_dot_product_attention(q, k, v, attn_mask)
        return self.out_proj(found.transpose(1, 2).flatten(2)), None


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
