"""Video tower of UniQ4Cap without pre-alignment: BLIP-2's CLIP ViT-L/14 on single frames.

Source: repository LePanda026/Implementation-for-Uniq4Cap.

The published code hands (frames, tokens, width) to an attention that expects (tokens, frames, width): it attends over
the frames of all clips of a batch and never over the tokens of a frame. `attend_over="batch"` does the same.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Axis = Literal["tokens", "batch"]


class FusedAttention(nn.Module):
    """Self-attention with one projection for query, key and value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend over dimension 1 of (B, L, D)."""
        joined = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in joined.chunk(3, dim=-1))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with QuickGELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c_fc(x)
        return self.c_proj(x * torch.sigmoid(1.702 * x))


class Block(nn.Module):
    """Pre-norm layer."""

    def __init__(self, width: int, heads: int, attend_over: Axis) -> None:
        super().__init__()
        self.attend_over = attend_over
        self.attn = FusedAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = Mlp(width)
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (frames, tokens, D)."""
        normed = self.ln_1(x)
        if self.attend_over == "batch":
            attended = self.attn(normed.transpose(0, 1)).transpose(0, 1)
        else:
            attended = self.attn(normed)
        x = x + attended
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The blocks, under the name that checkpoints give them."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)
        return x


class VisionTransformer3d(nn.Module):
    """Patches of all frames, one class token per frame, no final norm.

    Parameters
    ----------
    width, layers, heads : published 1024, 23, 16
    image, patch : sides in pixels; 224, 14
    n_frames : T; 8
    attend_over : `tokens` of a frame, or, as published, the frames of all clips in the `batch`
    """

    def __init__(
        self,
        width: int = 1024,
        layers: int = 23,
        heads: int = 16,
        *,
        image: int = 224,
        patch: int = 14,
        n_frames: int = 8,
        attend_over: Axis = "tokens",
    ) -> None:
        super().__init__()
        self.dim = width
        self.conv1 = nn.Conv3d(3, width, (1, patch, patch), (1, patch, patch), bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(n_frames, width))
        self.positional_embedding = nn.Parameter(torch.zeros((image // patch) ** 2 + 1, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer([Block(width, heads, attend_over) for _ in range(layers)])

    def forward(self, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the tokens (B, T, 1 + N, D) of float (B, 3, T, H, W); `kept` as `languagebind.VideoTower`."""
        patches = self.conv1(pixels).flatten(3).movedim(1, -1)
        classes = self.class_embedding[:, None].expand(len(patches), -1, 1, -1)
        x = torch.cat([classes, patches], dim=2) + self.positional_embedding
        if kept is not None:
            chosen = kept[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
            x = torch.cat([x[:, :, :1], x[:, :, 1:].gather(2, chosen)], dim=2)
        b, t = x.shape[:2]
        return self.transformer(self.ln_pre(x).flatten(0, 1)).unflatten(0, (b, t))
