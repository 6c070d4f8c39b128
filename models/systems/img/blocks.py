"""Building blocks of the IMG network.

Sizes in comments and docstrings: B batch, T steps, L tokens, N any sequence length, D channels, H heads. Masks named
`valid` are float (B, N), 1 at valid places and 0 at padding. Parameter names are those of HuiGuanLab/IMG.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout

LAYER_NORM_EPS = 1e-6
MASK_LOGIT = -1e30


def mask_bias(valid: Tensor) -> Tensor:
    """Return what is added to logits: 0 at valid places, -1e30 at padding."""
    return (1.0 - valid) * MASK_LOGIT


class PointwiseLinear(nn.Module):
    """Linear map of the last axis, its weight kept as a width-1 convolution (out, in, 1)."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv1d = nn.Conv1d(in_dim, out_dim, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_dim) to (..., out_dim)."""
        return F.linear(x, self.conv1d.weight.squeeze(2), self.conv1d.bias)


class Projection(nn.Module):
    """Dropout, then a linear map of the last axis."""

    def __init__(self, in_dim: int, out_dim: int, dropout: float) -> None:
        super().__init__()
        self.drop = Dropout(dropout)
        self.linear = PointwiseLinear(in_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_dim) to (..., out_dim)."""
        return self.linear(self.drop(x))


def depthwise_conv(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolve every channel of (B, N, D) over N with its own odd-width kernel `weight` (D, 1, k), zero padded."""
    # As a 2-D convolution the transposed input counts as channels-last: no copies, and half the time on a CPU.
    image = x.transpose(1, 2).unsqueeze(2)
    padding = (0, weight.shape[2] // 2)
    image = F.conv2d(image, weight.unsqueeze(2), bias, padding=padding, groups=weight.shape[0])
    return image.squeeze(2).transpose(1, 2)


class ConvBlock(nn.Module):
    """Residual layers of layer norm, depthwise convolution of width 7, pointwise linear map, ReLU and dropout."""

    def __init__(self, dim: int, n_layers: int, dropout: float) -> None:
        super().__init__()
        self.depthwise_separable_conv = nn.ModuleList(
            nn.ModuleList([nn.Conv1d(dim, dim, 7, padding=3, groups=dim, bias=False), nn.Conv1d(dim, dim, 1)])
            for _ in range(n_layers)
        )
        self.layer_norms = nn.ModuleList(nn.LayerNorm(dim, eps=LAYER_NORM_EPS) for _ in range(n_layers))
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, conv_mask: Tensor | None) -> Tensor:
        """Map (B, N, D) to (B, N, D); `conv_mask` (B, N, 1) zeroes what the convolutions see of the padding."""
        for (depthwise, pointwise), norm in zip(self.depthwise_separable_conv, self.layer_norms, strict=True):
            y = norm(x)
            if conv_mask is not None:
                y = y * conv_mask
            y = depthwise_conv(y, depthwise.weight)
            y = F.linear(y, pointwise.weight.squeeze(2), pointwise.bias)
            x = x + self.drop(F.relu(y))
        return x


class Attention(nn.Module):
    """What self- and cross-attention share: projections, heads and the closing residual map.

    The heads are concatenated without an output projection; `out_layer` acts after the residual sum.
    """

    def __init__(self, dim: int, n_heads: int, n_norms: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        for name in ("query", "key", "value", "out_layer"):
            self.add_module(name, PointwiseLinear(dim, dim))
        for i in range(1, n_norms + 1):
            self.add_module(f"layer_norm{i}", nn.LayerNorm(dim, eps=LAYER_NORM_EPS))
        self.drop = Dropout(dropout)

    def attend(self, queries: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        """Attend from `queries` (B, N, D) to `context` (B, M, D); `bias` (B, 1, 1 or N, M) is added to the logits."""
        q, k, v = (
            linear(x).unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for linear, x in ((self.query, queries), (self.key, context), (self.value, context))
        )
        logits = (q * (1.0 / math.sqrt(q.shape[3]))) @ k.transpose(2, 3) + bias
        return (self.drop(logits.softmax(3)) @ v).transpose(1, 2).flatten(2)

    def close(self, attended: Tensor, residual: Tensor, norm: nn.LayerNorm) -> Tensor:
        """Add the residual and the linear map after the normalised sum."""
        total = self.drop(attended) + residual
        return self.drop(self.out_layer(self.drop(norm(total)))) + total


class SelfAttention(Attention):
    """Self-attention block."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__(dim, n_heads, 2, dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D); padded places are not attended to."""
        y = self.drop(self.layer_norm1(x))
        return self.close(self.attend(y, y, mask_bias(valid)[:, None, None]), x, self.layer_norm2)


class CrossAttention(Attention):
    """Attention from one sequence to another."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__(dim, n_heads, 3, dropout)

    def forward(self, x: Tensor, context: Tensor, valid: Tensor, context_valid: Tensor | None = None) -> Tensor:
        """Map (B, N, D) to (B, N, D), reading `context` (B, M, D); without `context_valid` all of it is valid.

        parity: at a padded place of `x` every logit is -1e30, so it attends evenly to all of `context`, padding
        included.
        """
        y1, y2 = self.drop(self.layer_norm1(x)), self.drop(self.layer_norm2(context))
        if context_valid is None:
            bias = mask_bias(valid)[:, None, :, None]
        else:
            bias = mask_bias(valid[:, :, None] * context_valid[:, None, :])[:, None]
        return self.close(self.attend(y1, y2, bias), x, self.layer_norm3)


def sinusoid_table(n_rows: int, dim: int, pos_mode: str) -> Tensor:
    """Return the (n_rows, 1, dim) table that the input encoders add rows of.

    parity: in the published table (`batch_index`) frequencies are multiplied by a power of 10000 where the usual
    sinusoids (`time`) divide; float32 powers and sines
    of that size differ between libraries, so the table is a saved buffer.
    """
    published = pos_mode == "batch_index"
    row = torch.arange(n_rows, dtype=torch.float32)[:, None]
    even = torch.arange(0, dim, 2, dtype=torch.float32)
    sign = 1.0 if published else -1.0
    table = torch.empty(n_rows, 1, dim)
    table[:, 0, 0::2] = torch.sin(row * 10000.0 ** (sign * even / dim))
    table[:, 0, 1::2] = torch.cos(row * 10000.0 ** (sign * (even + published) / dim))
    return table


class SinusoidalPosition(nn.Module):
    """Adds one row of the sinusoidal table, chosen by `pos_mode`."""

    def __init__(self, n_rows: int, dim: int, pos_mode: str) -> None:
        super().__init__()
        self.pos_mode = pos_mode
        self.register_buffer("pe", sinusoid_table(n_rows, dim, pos_mode))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        if self.pos_mode == "none":
            return x
        n_wanted = x.shape[0 if self.pos_mode == "batch_index" else 1]
        if n_wanted > len(self.pe):
            what = "samples in the batch" if self.pos_mode == "batch_index" else "steps or tokens"
            raise ValueError(
                f"network.pos_mode {self.pos_mode}: {n_wanted} {what}, but only network.max_steps = {len(self.pe)} "
                "positions; raise max_steps or use pos_mode none"
            )
        rows = self.pe[:n_wanted]
        # parity: in batch_index mode sample b gets row b at every step.
        return x + (rows if self.pos_mode == "batch_index" else rows.transpose(0, 1))


class InputEncoder(nn.Module):
    """Position, two convolution layers and self-attention; one instance serves a modality and its query."""

    def __init__(self, dim: int, n_heads: int, n_positions: int, pos_mode: str, dropout: float) -> None:
        super().__init__()
        self.pe = SinusoidalPosition(n_positions, dim, pos_mode)
        self.conv_block = ConvBlock(dim, 2, dropout)
        self.attention_block = SelfAttention(dim, n_heads, dropout)

    def forward(self, x: Tensor, valid: Tensor, conv_mask: Tensor | None) -> Tensor:
        """Map (B, N, D) to (B, N, D)."""
        return self.attention_block(self.conv_block(self.pe(x), conv_mask), valid)


class WeightedPool(nn.Module):
    """Mean of a sequence under a softmax of a learned linear score."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, 1))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Map (B, N, D) to (B, D)."""
        alpha = ((x @ self.weight).squeeze(2) + mask_bias(valid)).softmax(1)
        return (alpha[:, None] @ x).squeeze(1)


class QueryAttention(nn.Module):
    """Context-query attention of every step with every token (tri-linear similarity)."""

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        self.w4C = nn.Parameter(torch.empty(dim, 1))
        self.w4Q = nn.Parameter(torch.empty(dim, 1))
        self.w4mlu = nn.Parameter(torch.empty(1, 1, dim))
        self.cqa_linear = PointwiseLinear(4 * dim, dim)
        self.drop = Dropout(dropout)

    def forward(self, context: Tensor, query: Tensor, context_valid: Tensor, query_valid: Tensor) -> Tensor:
        """Fuse `query` (B, L, D) into `context` (B, T, D); returns (B, T, D)."""
        c, q = self.drop(context), self.drop(query)
        similarity = c @ self.w4C + (q @ self.w4Q).transpose(1, 2) + (c * self.w4mlu) @ q.transpose(1, 2)
        over_query = (similarity + mask_bias(query_valid)[:, None]).softmax(2)
        over_context = (similarity + mask_bias(context_valid)[:, :, None]).softmax(1)
        c2q = over_query @ query
        q2c = over_query @ (over_context.transpose(1, 2) @ context)
        return self.cqa_linear(torch.cat([context, c2q, context * c2q, context * q2c], dim=2))


class QueryConcat(nn.Module):
    """Appends the pooled query to every step and maps back to the hidden width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weighted_pool = WeightedPool(dim)
        self.conv1d = PointwiseLinear(2 * dim, dim)

    def forward(self, context: Tensor, query: Tensor, query_valid: Tensor) -> Tensor:
        """Fuse `query` (B, L, D) into `context` (B, T, D); returns (B, T, D)."""
        pooled = self.weighted_pool(query, query_valid)[:, None].expand_as(context)
        return self.conv1d(torch.cat([context, pooled], dim=2))


class GatedFusion(nn.Module):
    """(1 - gate) * norm(visual) + gate * norm(audio)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.layer_norm2 = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)

    def forward(self, visual: Tensor, audio: Tensor, gate: Tensor) -> Tensor:
        """Mix two (B, T, D) sequences; `gate` (B, 1, 1) is the share of audio."""
        return (1.0 - gate) * self.layer_norm1(visual) + gate * self.layer_norm2(audio)
