"""C3D (Tran et al. 2015, arXiv 1412.0767; key layout of DavideA/c3d-pytorch) with a width argument."""

from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders.networks.convolution import Conv3d

FRAMES = 16
SIDE = 112
STAGES = (("1",), ("2",), ("3a", "3b"), ("4a", "4b"), ("5a", "5b"))
WIDTHS = (1, 2, 4, 8, 8)
"""Channels of each stage in units of the first."""
POOLED_POSITIONS = 4 * 4


class C3d(nn.Module):
    """Eight convolutions and three fully connected layers.

    Parameters
    ----------
    base_width : channels of the first convolution (published: 64); fc6 and fc7 are 64 times as wide
    n_classes : width of the classifier (Sports-1M: 487)
    """

    def __init__(self, base_width: int = 64, n_classes: int = 487) -> None:
        super().__init__()
        n_in = 3
        for names, units in zip(STAGES, WIDTHS, strict=True):
            for name in names:
                setattr(self, f"conv{name}", Conv3d(n_in, units * base_width, 3, padding=1))
                n_in = units * base_width
        self.dim = 64 * base_width
        self.fc6 = nn.Linear(n_in * POOLED_POSITIONS, self.dim)
        self.fc7 = nn.Linear(self.dim, self.dim)
        self.fc8 = nn.Linear(self.dim, n_classes)

    def pool5(self, frames: Tensor) -> Tensor:
        """Return the last pooled map of float (B, 3, 16, 112, 112), flattened channel by channel: (B, 128 x width)."""
        x = frames
        for i, names in enumerate(STAGES):
            for name in names:
                x = F.relu(getattr(self, f"conv{name}")(x), inplace=True)
            first, last = i == 0, i == len(STAGES) - 1
            x = F.max_pool3d(x, (1, 2, 2) if first else 2, padding=(0, 1, 1) if last else 0)
        # reshape, not view: the pool gives memory with channels last.
        return x.contiguous().flatten(1)

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Embed clips.

        Parameters
        ----------
        frames : float (B, 3, 16, 112, 112)

        Returns
        -------
        `fc6`, `fc7` (B, D) before their ReLU
        """
        fc6 = self.fc6(self.pool5(frames))
        return {"fc6": fc6, "fc7": self.fc7(F.relu(fc6))}

    def classify(self, fc7: Tensor) -> Tensor:
        """Return class scores of `fc7` before its ReLU."""
        return self.fc8(F.relu(fc7))
