"""Fill a network with published or seeded weights, strictly, and make it quick to run."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.weights import seeded_state

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fill(
    network: nn.Module,
    weights: int | dict[str, Any],
    gain: float,
    rename: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> None:
    """Load weights strictly.

    Parameters
    ----------
    network : its state-dict names are the wanted ones; it may be on torch's `meta` device
    weights : a seed, or a state dict
    gain : of random weights
    rename : turns a published state dict into one with the names of `network`

    Raises
    ------
    RuntimeError
        a key is missing, unexpected or has another shape

    Notes
    -----
    Whole numbers (counters of batch norms, position numbers) are derived and never random; files of other library
    versions lack some of them.
    """
    own = network.state_dict()
    derived = {key: value for key, value in own.items() if not value.is_floating_point()}
    if isinstance(weights, int):
        shapes = {key: tuple(value.shape) for key, value in own.items() if key not in derived}
        weights = seeded_state(shapes, weights, gain)
    state = {key: _as_tensor(value) for key, value in rename(weights).items()}
    # What was built without memory takes the tensors themselves.
    network.load_state_dict(derived | state, strict=True, assign=any(value.is_meta for value in own.values()))


def _as_tensor(value: Any) -> torch.Tensor:
    tensor = value if isinstance(value, torch.Tensor) else torch.from_numpy(np.asarray(value))
    return tensor.float() if tensor.is_floating_point() else tensor


def fold_batch_norms(network: nn.Module) -> None:
    """Put every batch norm into the convolution before it; `network` must be in eval mode.

    Notes
    -----
    A module lists its pairs as `FOLDS`, names of (convolution, batch norm) among its children. The batch norm becomes
    an identity. Values change by rounding only (float32).
    """
    for module in list(network.modules()):
        for conv, norm in getattr(module, "FOLDS", ()):
            children = module._modules
            if conv in children and isinstance(children[norm], (nn.BatchNorm2d, nn.BatchNorm3d)):
                children[conv] = fuse_conv_bn_eval(children[conv], children[norm])
                children[norm] = nn.Identity()


def ready(network: nn.Module, device: str, precision: Precision) -> nn.Module:
    """Return a convolution network as it runs fastest: batch norms folded in float32, then cast, channels last."""
    network = network.eval()
    network.requires_grad_(False)
    fold_batch_norms(network)
    return network.to(device=device, dtype=DTYPES[precision], memory_format=torch.channels_last_3d)


def convolutions_ready(parts: Iterable[nn.Module], device: str, precision: Precision) -> None:
    """Make the parts of an eval-mode network that convolve pictures quick: batch norms folded, then cast.

    Notes
    -----
    Channels last on a GPU, where its matrix units want them; on a CPU oneDNN is slower so for few channels.
    """
    memory_format = torch.contiguous_format if device == "cpu" else torch.channels_last
    for part in parts:
        fold_batch_norms(part)
        part.to(dtype=DTYPES[precision], memory_format=memory_format)


def video_tensor(batch: np.ndarray, device: str) -> torch.Tensor:
    """Return uint8 frames (B, T, H, W, C) as a float32 tensor (B, C, T, H, W) with channels last in memory."""
    # Bytes travel, floats are made on the device; the permuted view already is `channels_last_3d`.
    return torch.from_numpy(batch).to(device).permute(0, 4, 1, 2, 3).float()
