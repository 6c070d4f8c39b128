"""I3D, an inflated Inception-V1 (Carreira and Zisserman 2017, arXiv 1705.07750), with a width argument.

Two ports are in use and give different numbers: piergiaj/pytorch-i3d (batch norm eps 1e-3, padding from the actual
size, as TensorFlow's SAME) and hassony2/kinetics_i3d_pytorch (eps 1e-5, padding fixed by kernel and stride, pools round
up), which video_features uses. State-dict names are piergiaj's; `to_piergiaj` maps hassony2's to them.
"""

import re
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders.networks.convolution import conv3d

PadMode = Literal["same", "fixed"]

MIN_FRAMES = 9
"""The network makes ceil(T / 8) time steps and its pool joins two of them."""
STEM_WIDTH = 64
MIXED = {
    # 1x1; 1x1, 3x3x3; 1x1, 3x3x3; 1x1 after the pool
    "3b": (64, 96, 128, 16, 32, 32),
    "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64),
    "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64),
    "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128),
    "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}
POOLS = {"3b": ((1, 3, 3), (1, 2, 2)), "4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}
"""Max pool (kernel, stride) before a mixed block."""


def n_rows(n_frames: int) -> int:
    """Return how many rows a window of T >= 9 frames gives: ceil(T / 8) - 1."""
    return -(-n_frames // 8) - 1


def paddings(sizes: torch.Size, kernel: tuple, stride: tuple, mode: PadMode) -> list[tuple[int, int]]:
    """Return zeros before and after each of time, height and width; the odd one comes after."""
    totals = [
        max(k - (size % s if mode == "same" and size % s else s), 0)
        for size, k, s in zip(sizes, kernel, stride, strict=True)
    ]
    return [(total // 2, total - total // 2) for total in totals]


def padded(x: Tensor, kernel: tuple, stride: tuple, mode: PadMode) -> tuple[Tensor, tuple[int, ...]]:
    """Return `x` padded where the two sides differ, and the padding that is left to the operation."""
    sides = paddings(x.shape[2:], kernel, stride, mode)
    if all(before == after for before, after in sides):
        return x, tuple(before for before, _ in sides)
    return F.pad(x, [side for pair in reversed(sides) for side in pair]), (0, 0, 0)


class Unit(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    FOLDS = (("conv3d", "bn"),)

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int, eps: float, mode: PadMode) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(n_in, n_out, kernel, stride, bias=False)
        self.bn = nn.BatchNorm3d(n_out, eps=eps)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv3d
        x, padding = padded(x, conv.kernel_size, conv.stride, self.mode)
        x = conv3d(x, conv.weight, conv.bias, conv.stride, padding)
        return F.relu(self.bn(x), inplace=True)


class Pool(nn.Module):
    """Max pool with zero padding; what it sees has been through a ReLU, so zeros never win."""

    def __init__(self, kernel: tuple, stride: tuple, mode: PadMode) -> None:
        super().__init__()
        self.kernel, self.stride, self.mode = kernel, stride, mode

    def forward(self, x: Tensor) -> Tensor:
        x, padding = padded(x, self.kernel, self.stride, self.mode)
        return F.max_pool3d(x, self.kernel, self.stride, padding, ceil_mode=self.mode == "fixed")


class Mixed(nn.Module):
    """Inception block: four branches side by side."""

    def __init__(self, n_in: int, widths: tuple[int, ...], eps: float, mode: PadMode) -> None:
        super().__init__()
        a, b, c, d, e, f = widths
        self.b0 = Unit(n_in, a, 1, 1, eps, mode)
        self.b1a = Unit(n_in, b, 1, 1, eps, mode)
        self.b1b = Unit(b, c, 3, 1, eps, mode)
        self.b2a = Unit(n_in, d, 1, 1, eps, mode)
        self.b2b = Unit(d, e, 3, 1, eps, mode)
        self.b3a = Pool((3, 3, 3), (1, 1, 1), mode)
        self.b3b = Unit(n_in, f, 1, 1, eps, mode)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(self.b3a(x))], dim=1)


class Logits(nn.Module):
    """Classifier; kept so that checkpoints load strictly."""

    def __init__(self, n_in: int, n_classes: int) -> None:
        super().__init__()
        self.conv3d = nn.Conv3d(n_in, n_classes, 1)


class I3d(nn.Module):
    """Trunk, pooled map and classifier.

    Parameters
    ----------
    n_channels : 3 for RGB, 2 for optical flow
    n_classes : 400 (Kinetics) or 157 (Charades)
    eps : of the batch norms; 1e-3 piergiaj, 1e-5 hassony2
    mode : padding; `same` piergiaj, `fixed` hassony2
    base_width : channels of the stem (published: 64), a multiple of 4; the feature is 16 times as wide
    """

    def __init__(
        self, n_channels: int = 3, n_classes: int = 400, eps: float = 1e-3, mode: PadMode = "same", base_width: int = 64
    ) -> None:
        super().__init__()

        def scaled(width: int) -> int:
            return width * base_width // STEM_WIDTH

        self.stem_pool = Pool((1, 3, 3), (1, 2, 2), mode)
        self.Conv3d_1a_7x7 = Unit(n_channels, scaled(64), 7, 2, eps, mode)
        self.Conv3d_2b_1x1 = Unit(scaled(64), scaled(64), 1, 1, eps, mode)
        self.Conv3d_2c_3x3 = Unit(scaled(64), scaled(192), 3, 1, eps, mode)
        n_in = scaled(192)
        for name, published in MIXED.items():
            widths = tuple(scaled(width) for width in published)
            if name in POOLS:
                setattr(self, f"pool_{name}", Pool(*POOLS[name], mode))
            setattr(self, f"Mixed_{name}", Mixed(n_in, widths, eps, mode))
            n_in = widths[0] + widths[2] + widths[4] + widths[5]
        self.dim = n_in
        self.logits = Logits(n_in, n_classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed windows.

        Parameters
        ----------
        frames : float (B, C, T, H, W) in [-1, 1]; published: 224 x 224

        Returns
        -------
        (B, ceil(T / 8) - 1, D): means over space and two neighbouring time steps

        Raises
        ------
        ValueError
            T is below 9
        """
        if frames.shape[2] < MIN_FRAMES:
            raise ValueError(f"I3D needs at least {MIN_FRAMES} frames, got {frames.shape[2]}")
        x = self.stem_pool(self.Conv3d_1a_7x7(frames))
        x = self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x))
        for name in MIXED:
            if name in POOLS:
                x = getattr(self, f"pool_{name}")(x)
            x = getattr(self, f"Mixed_{name}")(x)
        steps = x.mean((3, 4)).transpose(1, 2)
        return (steps[:, :-1] + steps[:, 1:]) / 2

    def classify(self, rows: Tensor) -> Tensor:
        """Return class scores (B, R, classes) of rows (B, R, D)."""
        conv = self.logits.conv3d
        return F.linear(rows, conv.weight.flatten(1), conv.bias)


_HASSONY = (
    (re.compile(r"^conv3d_0c_1x1\."), "logits."),
    (re.compile(r"^conv3d_"), "Conv3d_"),
    (re.compile(r"^mixed_"), "Mixed_"),
    (re.compile(r"\.branch_0\."), ".b0."),
    (re.compile(r"\.branch_([12])\.0\."), r".b\1a."),
    (re.compile(r"\.branch_([12])\.1\."), r".b\1b."),
    (re.compile(r"\.branch_3\.1\."), ".b3b."),
    (re.compile(r"\.batch3d\."), ".bn."),
)


def to_piergiaj(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict of either port under piergiaj's names."""
    renamed = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in _HASSONY:
            name = pattern.sub(replacement, name)
        renamed[name] = value
    return renamed
