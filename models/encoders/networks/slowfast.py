"""SlowFast R50 8x8 (Feichtenhofer et al. 2019, arXiv 1812.03982; facebookresearch/SlowFast) with a width argument.

State-dict names are those of PySlowFast; `slowfast_names` maps the Caffe2 and pytorchvideo files to them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders.networks.convolution import Conv3d

FRAMES = 32
ALPHA = 4
"""Fast frames per slow frame."""
BETA_INVERSE = 8
"""Channels of the slow pathway per channel of the fast one."""
FUSION_KERNEL = 7
FUSION_RATIO = 2
EXPANSION = 4
STAGES = (
    # blocks, stride, temporal kernel of the slow and of the fast pathway
    (3, 1, (1, 3)),
    (4, 2, (1, 3)),
    (6, 2, (3, 3)),
    (3, 2, (3, 3)),
)


def slow_frames(n_frames: int = FRAMES) -> Tensor:
    """Return int64 (n / 4,): frames that the slow pathway sees, spread from the first to the last."""
    # parity: not every fourth frame, but equal steps from end to end, cut to whole numbers.
    return torch.linspace(0, n_frames - 1, n_frames // ALPHA).long()


class Stem(nn.Module):
    """First convolution of one pathway, batch norm, ReLU, spatial max pooling."""

    FOLDS = (("conv", "bn"),)

    def __init__(self, n_out: int, temporal: int) -> None:
        super().__init__()
        self.conv = Conv3d(3, n_out, (temporal, 7, 7), (1, 2, 2), (temporal // 2, 3, 3), bias=False)
        self.bn = nn.BatchNorm3d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)), inplace=True)
        return F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))


class Stems(nn.Module):
    """The stems of both pathways."""

    def __init__(self, slow: int, fast: int) -> None:
        super().__init__()
        self.pathway0_stem = Stem(slow, 1)
        self.pathway1_stem = Stem(fast, 5)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        return self.pathway0_stem(slow), self.pathway1_stem(fast)


class Fusion(nn.Module):
    """Lateral connection: fast channels, strided in time, are appended to the slow ones."""

    FOLDS = (("conv_f2s", "bn"),)

    def __init__(self, fast: int) -> None:
        super().__init__()
        self.conv_f2s = Conv3d(
            fast, fast * FUSION_RATIO, (FUSION_KERNEL, 1, 1), (ALPHA, 1, 1), (FUSION_KERNEL // 2, 0, 0), bias=False
        )
        self.bn = nn.BatchNorm3d(fast * FUSION_RATIO)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        lateral = F.relu(self.bn(self.conv_f2s(fast)), inplace=True)
        return torch.cat([slow, lateral], dim=1), fast


class Bottleneck(nn.Module):
    """Convolutions T x 1 x 1, 1 x 3 x 3 (with the stride) and 1 x 1 x 1, each with batch norm."""

    FOLDS = (("a", "a_bn"), ("b", "b_bn"), ("c", "c_bn"))

    def __init__(self, n_in: int, n_inner: int, n_out: int, temporal: int, stride: int) -> None:
        super().__init__()
        self.a = Conv3d(n_in, n_inner, (temporal, 1, 1), padding=(temporal // 2, 0, 0), bias=False)
        self.a_bn = nn.BatchNorm3d(n_inner)
        self.b = Conv3d(n_inner, n_inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.b_bn = nn.BatchNorm3d(n_inner)
        self.c = Conv3d(n_inner, n_out, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.a_bn(self.a(x)), inplace=True)
        x = F.relu(self.b_bn(self.b(x)), inplace=True)
        return self.c_bn(self.c(x))


class ResBlock(nn.Module):
    """A bottleneck beside an identity, or beside a strided 1 x 1 x 1 convolution where the shape changes."""

    FOLDS = (("branch1", "branch1_bn"),)

    def __init__(self, n_in: int, n_inner: int, n_out: int, temporal: int, stride: int) -> None:
        super().__init__()
        self.has_projection = n_in != n_out or stride != 1
        if self.has_projection:
            self.branch1 = Conv3d(n_in, n_out, 1, (1, stride, stride), bias=False)
            self.branch1_bn = nn.BatchNorm3d(n_out)
        self.branch2 = Bottleneck(n_in, n_inner, n_out, temporal, stride)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.branch1_bn(self.branch1(x)) if self.has_projection else x
        return F.relu(self.branch2(x).add_(beside), inplace=True)


class Stage(nn.Module):
    """Residual blocks of both pathways at one resolution."""

    def __init__(self, n_in: tuple[int, int], n_inner: tuple[int, int], blocks: int, stride: int, kernels) -> None:
        super().__init__()
        self.blocks = blocks
        for pathway in (0, 1):
            n_out = n_inner[pathway] * EXPANSION
            for i in range(blocks):
                first = i == 0
                block = ResBlock(
                    n_in[pathway] if first else n_out,
                    n_inner[pathway],
                    n_out,
                    kernels[pathway],
                    stride if first else 1,
                )
                setattr(self, f"pathway{pathway}_res{i}", block)

    def forward(self, slow: Tensor, fast: Tensor) -> tuple[Tensor, Tensor]:
        for i in range(self.blocks):
            slow = getattr(self, f"pathway0_res{i}")(slow)
            fast = getattr(self, f"pathway1_res{i}")(fast)
        return slow, fast


class Head(nn.Module):
    """Classifier; kept so that checkpoints load strictly."""

    def __init__(self, dim: int, n_classes: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dim, n_classes)


class SlowFast(nn.Module):
    """Both pathways and the pooled feature before the classifier.

    Parameters
    ----------
    base_width : channels of the slow stem (published: 64), a multiple of 8; the feature is 36 times as wide
    n_classes : width of the classifier
    """

    def __init__(self, base_width: int = 64, n_classes: int = 400) -> None:
        super().__init__()
        slow, fast = base_width, base_width // BETA_INVERSE
        self.s1 = Stems(slow, fast)
        for number, (blocks, stride, kernels) in enumerate(STAGES, start=2):
            setattr(self, f"s{number - 1}_fuse", Fusion(fast))
            n_in = (slow + fast * FUSION_RATIO, fast)
            inner = base_width * 2 ** (number - 2)
            setattr(self, f"s{number}", Stage(n_in, (inner, inner // BETA_INVERSE), blocks, stride, kernels))
            slow, fast = inner * EXPANSION, inner * EXPANSION // BETA_INVERSE
        self.dim = slow + fast
        self.head = Head(self.dim, n_classes)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed clips.

        Parameters
        ----------
        frames : float (B, 3, 32, H, W), normalised; published: 224 x 224

        Returns
        -------
        (B, D): means over time and space, the slow pathway first
        """
        slow, fast = self.s1(frames[:, :, slow_frames(frames.shape[2]).to(frames.device)], frames)
        for number in range(2, 6):
            slow, fast = getattr(self, f"s{number - 1}_fuse")(slow, fast)
            slow, fast = getattr(self, f"s{number}")(slow, fast)
        return torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], dim=1)
