"""Convolution over frames that is quick on a CPU too."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple, padding: tuple) -> Tensor:
    """Return `torch.nn.functional.conv3d`, on a CPU without gradients always by oneDNN.

    Notes
    -----
    In one thread PyTorch takes an im2col matrix product for most batches of fewer than 17 clips, which needs about half
    as long again. Another order of summation, no other difference.
    """
    direct = x.device.type == "cpu" and torch.backends.mkldnn.is_available() and _takes(x.dtype)
    if direct and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)):
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, stride, padding)


def _takes(dtype: torch.dtype) -> bool:
    """Return whether oneDNN computes with numbers of a type on this CPU."""
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())


class Conv3d(nn.Conv3d):
    """`torch.nn.Conv3d` without dilation and groups, by `conv3d`."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv3d(input, weight, bias, self.stride, self.padding)
