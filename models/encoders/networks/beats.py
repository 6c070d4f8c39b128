"""BEATs (Chen et al. 2023, arXiv 2212.09058; microsoft/unilm) with sizes as arguments and the published names."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 16
BANDS = 128
GATES = 2
GATE_PARTS = 4


class PositionConvolution(nn.Module):
    """Grouped convolution over the tokens whose weight is stored as length and direction per kernel place."""

    def __init__(self, width: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight_g = nn.Parameter(torch.ones(1, 1, kernel))
        self.weight_v = nn.Parameter(torch.ones(width, width // groups, kernel))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to (B, L, D)."""
        direction = self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        kernel = self.weight_g.shape[2]
        found = F.conv1d(x.transpose(1, 2), self.weight_g * direction, self.bias, 1, kernel // 2, 1, self.groups)
        # An even kernel gives one token too many.
        return F.gelu(found[:, :, : x.shape[1]]).transpose(1, 2)


class GatedAttention(nn.Module):
    """Self-attention with relative positions that the query gates."""

    def __init__(self, width: int, heads: int, position_bias: nn.Embedding) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        self.grep_linear = nn.Linear(width // heads, GATES * GATE_PARTS)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.relative_attention_bias = position_bias

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Attend over (B, L, D) with position biases (heads, L, L)."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gates = self.grep_linear(q).unflatten(-1, (GATES, GATE_PARTS)).sum(-1).sigmoid()
        first, second = gates.split(1, dim=-1)
        gated = (first * (second * self.grep_a - 1) + 2) * bias
        # The published softmax is scaled down by 32 and up again; the same numbers without overflow in half precision.
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=gated)
        return self.out_proj(found.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    """Post-norm layer with DeepNorm residuals."""

    def __init__(self, width: int, heads: int, inner: int, residual: float, position_bias: nn.Embedding) -> None:
        super().__init__()
        self.residual = residual
        self.self_attn = GatedAttention(width, heads, position_bias)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.self_attn_layer_norm(x * self.residual + self.self_attn(x, bias))
        return self.final_layer_norm(x * self.residual + self.fc2(F.gelu(self.fc1(x))))


class Encoder(nn.Module):
    """Position convolution and layers; the table of relative positions is one for all layers."""

    def __init__(
        self, width: int, layers: int, heads: int, inner: int, kernel: int, groups: int, buckets: int, distance: int
    ) -> None:
        super().__init__()
        self.buckets, self.distance = buckets, distance
        self.pos_conv = nn.Sequential(PositionConvolution(width, kernel, groups))
        self.layer_norm = nn.LayerNorm(width)
        position_bias = nn.Embedding(buckets, heads)
        residual = (2 * layers) ** 0.25
        self.layers = nn.ModuleList(Layer(width, heads, inner, residual, position_bias) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x + self.pos_conv(x))
        places = torch.arange(x.shape[1], device=x.device)
        numbers = relative_buckets(places - places[:, None], self.buckets, self.distance)
        bias = self.layers[0].self_attn.relative_attention_bias(numbers).permute(2, 0, 1)
        for layer in self.layers:
            x = layer(x, bias)
        return x


def relative_buckets(offsets: Tensor, buckets: int, distance: int) -> Tensor:
    """Return the bucket of each offset (key minus query): half of them for positive offsets, T5's bidirectional form.

    A quarter of the buckets hold one distance each, the next quarter grow as logarithms up to `distance`.
    """
    half = buckets // 2
    exact = half // 2
    far = offsets.abs()
    grown = exact + (
        torch.log(far.clamp(min=1).float() / exact) / math.log(distance / exact) * (half - exact)
    ).long().clamp(max=half - exact - 1)
    return torch.where(far < exact, far, grown) + (offsets > 0) * half


class Beats(nn.Module):
    """Patches of a filter bank to tokens.

    Parameters
    ----------
    patch_width, width, layers, heads, inner : published 512, 768, 12, 12, 3072
    kernel, groups : of the position convolution; 128, 16
    buckets, distance : of the relative positions; 320, 800 (in the checkpoint's `cfg`)
    """

    def __init__(
        self,
        patch_width: int = 512,
        width: int = 768,
        layers: int = 12,
        heads: int = 12,
        inner: int = 3072,
        *,
        kernel: int = 128,
        groups: int = 16,
        buckets: int = 320,
        distance: int = 800,
    ) -> None:
        super().__init__()
        self.dim = width
        self.patch_embedding = nn.Conv2d(1, patch_width, PATCH, PATCH, bias=False)
        self.layer_norm = nn.LayerNorm(patch_width)
        self.post_extract_proj = nn.Linear(patch_width, width)
        self.encoder = Encoder(width, layers, heads, inner, kernel, groups, buckets, distance)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Return tokens (B, frames / 16 * 8, D) of float (B, frames, 128); eight bands make up a time step."""
        patches = self.patch_embedding(spectrogram[:, None]).flatten(2).transpose(1, 2)
        return self.encoder(self.post_extract_proj(self.layer_norm(patches)))
