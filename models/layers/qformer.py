"""Q-Former of BLIP-2: BERT whose self-attention serves learned queries and words alike, each with a feed-forward part.

Queries also look at what they are asked about, in every second layer. State-dict names are those of BLIP-2's `bert`.
CALCE asks it about frames and lets it read sentences; UniQ4Cap also lets it write, one word after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor, nn

from models.layers.dropout import Dropout

EPS = 1e-12

Pair = tuple[Tensor, Tensor]
"""Keys and values of one layer, (B, heads, L, head width)."""


class Content(nn.Module):
    """Queries, keys and values of attention."""

    def __init__(self, width: int, heads: int, seen_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key, self.value = nn.Linear(seen_width, width), nn.Linear(seen_width, width)

    def split(self, x: Tensor) -> Tensor:
        """Return (B, heads, L, head width) of (B, L, width)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def pair(self, seen: Tensor) -> Pair:
        """Return keys and values of rows that are looked at (B, L, seen width)."""
        return self.split(self.key(seen)), self.split(self.value(seen))

    def forward(self, x: Tensor, pair: Pair, mask: BoolTensor | None) -> Tensor:
        """Return what rows (B, L, width) see; `mask` is True where they may look, broadcast to (B, heads, L, S)."""
        dropout = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(self.split(self.query(x)), *pair, attn_mask=mask, dropout_p=dropout)
        return seen.transpose(1, 2).flatten(2)


class Added(nn.Module):
    """A linear map whose result is added to what came before, and the norm of the sum."""

    def __init__(self, inner: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, EPS)
        self.dropout = Dropout(dropout)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        return self.LayerNorm(x + self.dropout(self.dense(inner)))


class Attention(nn.Module):
    """Attention with its residual."""

    def __init__(self, width: int, heads: int, seen_width: int, dropout: float) -> None:
        super().__init__()
        self.self = Content(width, heads, seen_width, dropout)
        self.output = Added(width, width, dropout)

    def forward(self, x: Tensor, pair: Pair, mask: BoolTensor | None) -> Tensor:
        return self.output(self.self(x, pair, mask), x)


class Widened(nn.Module):
    """First half of a feed-forward part."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class Layer(nn.Module):
    """One layer; `crossattention` is None where queries do not look at what they are asked about."""

    def __init__(self, sizes: "Sizes", looks: bool) -> None:
        super().__init__()
        width, inner, heads, dropout = sizes.width, sizes.ffn_dim, sizes.heads, sizes.dropout
        self.attention = Attention(width, heads, width, dropout)
        self.crossattention = Attention(width, heads, sizes.memory_width, dropout) if looks else None
        self.intermediate, self.output = Widened(width, inner), Added(inner, width, dropout)
        self.intermediate_query, self.output_query = Widened(width, inner), Added(inner, width, dropout)

    def forward(
        self,
        x: Tensor,
        n_queries: int,
        mask: BoolTensor | None,
        past: Pair | None,
        seen: Pair | None,
        seen_mask: BoolTensor | None,
    ) -> tuple[Tensor, Pair]:
        """Return the rows after the layer, and its keys and values of all rows so far."""
        pair = self.attention.self.pair(x)
        if past is not None:
            pair = tuple(torch.cat(parts, dim=2) for parts in zip(past, pair, strict=True))
        x = self.attention(x, pair, mask)
        queries, words = x[:, :n_queries], x[:, n_queries:]
        parts = []
        if n_queries:
            if self.crossattention is not None and seen is not None:
                queries = self.crossattention(queries, seen, seen_mask)
            parts.append(self.output_query(self.intermediate_query(queries), queries))
        if words.shape[1]:
            parts.append(self.output(self.intermediate(words), words))
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0], pair


class Embeddings(nn.Module):
    """Tables of words and positions, and the norm of what goes into the first layer."""

    def __init__(self, sizes: "Sizes") -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(sizes.vocabulary, sizes.width)
        self.position_embeddings = nn.Embedding(sizes.positions, sizes.width)
        self.LayerNorm = nn.LayerNorm(sizes.width, EPS)
        self.dropout = Dropout(sizes.dropout)

    def words(self, ids: LongTensor, first: int = 0) -> Tensor:
        """Return the rows (B, L, width) of words, the first of which has position `first`."""
        return self.word_embeddings(ids) + self.position_embeddings.weight[first : first + ids.shape[1]]

    def forward(self, rows: Tensor) -> Tensor:
        return self.dropout(self.LayerNorm(rows))


class Layers(nn.Module):
    """The layers, under the name that checkpoints give them."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)


@dataclass(frozen=True)
class Sizes:
    """Sizes of a Q-Former.

    Attributes
    ----------
    width, layers, heads, ffn_dim : of a row, depth, attention heads, inside a feed-forward part
    memory_width : of what queries are asked about
    vocabulary, positions : rows of the tables
    look_every : queries look at what they are asked about in layers 0, `look_every`, 2 `look_every`, ...
    """

    width: int
    layers: int
    heads: int
    ffn_dim: int
    memory_width: int
    vocabulary: int
    positions: int
    dropout: float = 0.1
    look_every: int = 2


@dataclass(frozen=True)
class Memory:
    """What queries are asked about, as the layers that look at it see it.

    Attributes
    ----------
    pairs : keys and values of every layer, None of those that do not look
    mask : bool (B, 1, 1, M), True where there is something; None: everywhere
    """

    pairs: list[Pair | None]
    mask: BoolTensor | None = None

    def of(self, numbers: LongTensor) -> "Memory":
        """Return the memory of some samples of the batch, in this order."""
        pairs = [None if pair is None else (pair[0][numbers], pair[1][numbers]) for pair in self.pairs]
        return Memory(pairs, None if self.mask is None else self.mask[numbers])


def joined(memories: Sequence[Memory]) -> Memory:
    """Return the memory of several batches, which may differ in how much there is to see, one after the other."""
    seen = [next(pair[0].shape[2] for pair in memory.pairs if pair is not None) for memory in memories]
    longest = max(seen)
    pairs = [
        None
        if own[0] is None
        else tuple(torch.cat([_longer(part, longest) for part in parts]) for parts in zip(*own, strict=True))
        for own in zip(*(memory.pairs for memory in memories), strict=True)
    ]
    if min(seen) == longest and all(memory.mask is None for memory in memories):
        return Memory(pairs)
    return Memory(pairs, torch.cat([_mask(memory, longest) for memory in memories]))


def _longer(part: Tensor, length: int) -> Tensor:
    return part if part.shape[2] == length else F.pad(part, (0, 0, 0, length - part.shape[2]))


def _mask(memory: Memory, longest: int) -> BoolTensor:
    keys = next(pair[0] for pair in memory.pairs if pair is not None)
    mask = keys.new_ones(len(keys), 1, 1, keys.shape[2], dtype=torch.bool) if memory.mask is None else memory.mask
    return F.pad(mask, (0, longest - mask.shape[3]), value=False)


class QFormer(nn.Module):
    """Queries and words in one BERT; `sizes` as above."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        self.encoder = Layers([Layer(sizes, number % sizes.look_every == 0) for number in range(sizes.layers)])

    def read(self, rows: Tensor, valid: BoolTensor | None = None) -> Memory:
        """Return what queries see of rows (B, M, memory width), of which those count that are `valid` (B, M)."""
        layers = self.encoder.layer
        pairs = [None if layer.crossattention is None else layer.crossattention.self.pair(rows) for layer in layers]
        return Memory(pairs, None if valid is None else valid[:, None, None])

    def forward(
        self,
        rows: Tensor,
        n_queries: int = 0,
        memory: Memory | None = None,
        mask: BoolTensor | None = None,
        past: Sequence[Pair] | None = None,
    ) -> tuple[Tensor, list[Pair]]:
        """Return the rows after the last layer, and keys and values of each layer.

        Parameters
        ----------
        rows : (B, L, width), queries first, then words (`embeddings.words`)
        n_queries : how many of them are queries
        memory : of `read`, needed if there are queries
        mask : bool, broadcast to (B, L, S), True where a row may look; S counts `past` and `rows`. None: everywhere
        past : keys and values of what came before, of an earlier call
        """
        x, pairs = self.embeddings(rows), []
        mask = None if mask is None else mask[:, None]
        for number, layer in enumerate(self.encoder.layer):
            seen = (None, None) if memory is None else (memory.pairs[number], memory.mask)
            x, pair = layer(x, n_queries, mask, None if past is None else past[number], *seen)
            pairs.append(pair)
        return x, pairs
