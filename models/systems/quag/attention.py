"""Attention within the samples of a packing."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.quag.packing import Packing

PUBLISHED_OFFSET = -10000.0
"""What CLIP4Caption adds to every score where its mask, always empty, hides all keys."""


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    bias: Tensor | None = None,
    dropout: Dropout | None = None,
    offset: float = 0.0,
) -> Tensor:
    """Return weighted means of the values, (..., Q, d).

    Parameters
    ----------
    queries : (..., Q, d)
    keys, values : (..., K, d)
    bias : added to the scores (..., Q, K); bool: True where a key takes part
    dropout : of the weights
    offset : added to all scores, in float32 only, where it costs all but three decimals
    """
    is_random = dropout is not None and dropout.training and dropout.p > 0
    if not is_random and not (offset and queries.dtype == torch.float32):
        return F.scaled_dot_product_attention(queries, keys, values, bias)
    if offset:
        # In the published order: of a number near the offset the rest's rounding is what is left.
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])
    else:
        scores = (queries / math.sqrt(queries.shape[-1])) @ keys.transpose(-1, -2)
    if bias is not None:
        scores = scores.masked_fill(~bias, -math.inf) if bias.dtype == torch.bool else scores + bias
    if offset and scores.dtype == torch.float32:
        scores = scores + offset
    weights = scores.softmax(-1)
    return (weights if dropout is None else dropout(weights)) @ values


def attend_packed(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    heads: int,
    packing: Packing,
    query_counts: Sequence[int] | None = None,
    dropout: Dropout | None = None,
    offset: float = 0.0,
) -> Tensor:
    """Return what the queries of every sample see of its rows, (Q, D).

    Parameters
    ----------
    queries : (Q, D), `query_counts` of each sample; None: one per row
    keys, values : (N, D), rows of the packing; a row that stands for n rows weighs as much as n
    """
    query_counts = packing.counts if query_counts is None else tuple(query_counts)
    if len(set(query_counts)) == 1 and len(set(packing.counts)) == 1:
        # All samples at once.
        parts = [(queries, keys, values, packing.repeats)]
        n_samples = len(query_counts)
    else:
        repeats = [None] * len(query_counts) if packing.repeats is None else packing.repeats.split(packing.counts)
        split = (queries.split(query_counts), keys.split(packing.counts), values.split(packing.counts), repeats)
        parts, n_samples = list(zip(*split, strict=True)), 1
    return torch.cat([_attend_equal(*part, heads, n_samples, dropout, offset) for part in parts])


def _attend_equal(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    repeats: Tensor | None,
    heads: int,
    n_samples: int,
    dropout: Dropout | None,
    offset: float,
) -> Tensor:
    """Attend within samples of equal counts."""
    bias = None if repeats is None else repeats.log().view(n_samples, 1, 1, -1).to(queries.dtype)
    split = [
        part.view(n_samples, -1, heads, part.shape[1] // heads).transpose(1, 2) for part in (queries, keys, values)
    ]
    return attend(*split, bias, dropout, offset).transpose(1, 2).reshape(len(queries), -1)


class Attention(nn.MultiheadAttention):
    """Multi-head attention over packed rows, with the parameters, names and start values of torch's own."""

    def __init__(self, width: int, heads: int, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__(width, heads, bias=bias)
        self.weight_dropout = Dropout(dropout)

    def project(self, rows: Tensor) -> Tensor:
        """Return queries, keys and values of rows (N, width) side by side, (N, 3 * width)."""
        return F.linear(rows, self.in_proj_weight, self.in_proj_bias)

    def see(
        self, queries: Tensor, keys: Tensor, values: Tensor, packing: Packing, counts: Sequence[int] | None = None
    ) -> Tensor:
        """Return the output (Q, width) for queries (Q, width), keys and values (N, width)."""
        seen = attend_packed(queries, keys, values, self.num_heads, packing, counts, self.weight_dropout)
        return self.out_proj(seen)

    def forward(self, projected: Tensor, packing: Packing) -> Tensor:
        """Let all rows see the rows of their sample, (N, width), given what `project` returned of them."""
        return self.see(*projected.chunk(3, dim=-1), packing)

    def of_chosen(self, rows: Tensor, chosen_rows: Tensor, packing: Packing, counts: Sequence[int]) -> Tensor:
        """Let the chosen rows (n, width), `counts` of each sample, see all rows (N, width) of theirs."""
        width = self.embed_dim
        bias_q, bias_kv = self.in_proj_bias.tensor_split([width])
        queries = F.linear(chosen_rows, self.in_proj_weight[:width], bias_q)
        keys, values = F.linear(rows, self.in_proj_weight[width:], bias_kv).chunk(2, dim=-1)
        return self.see(queries, keys, values, packing, counts)
