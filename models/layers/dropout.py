"""Dropout whose random numbers cost little on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """Zeroes each element with probability p while training and rescales the rest.

    On a CPU one 64-bit random number serves four elements (torch's own dropout draws one per element, a quarter of the
    training time of a small network); p is then rounded to a multiple of 2**-16 and the rescaling uses the rounded
    value, so the expectation is exact. Elsewhere it is torch's dropout. Draws come from torch's global generator.

    Parameters
    ----------
    p : probability of a zero, 0 <= p < 1
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout probability {p} is not in [0, 1)")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same shape."""
        if not self.training or self.p == 0:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.p)
        n_dropped = round(self.p * _LEVELS)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        bits = bits[: x.numel()].view(x.shape)
        # Compared straight into numbers: to bool and from there to numbers takes six times as long.
        keep = torch.ge(bits, n_dropped - _LEVELS // 2, out=torch.empty(x.shape, dtype=x.dtype))
        return x * keep.mul_(_LEVELS / (_LEVELS - n_dropped))

    def extra_repr(self) -> str:
        """Show the probability in the printed module."""
        return f"p={self.p}"
