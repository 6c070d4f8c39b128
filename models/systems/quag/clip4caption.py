"""The parts of CLIP4Caption that both networks carry along: BERT layers over rows, and the caption decoder.

Source: Tang et al. 2021 (arXiv 2110.06615), as j-min/HiREST has it in `clip4caption/`. Modules carry the names of the
published checkpoints.
"""

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor, nn

from models.layers.dropout import Dropout
from models.systems.quag.attention import PUBLISHED_OFFSET, attend, attend_packed
from models.systems.quag.config import POSITION_LIMIT, NetworkConfig
from models.systems.quag.packing import Chosen, Packing

EPS = 1e-12
START_STD = 0.02
WORDS_AT_A_TIME = 1024


class Projections(nn.Module):
    """Queries, keys and values of an attention."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = Dropout(dropout)


class Output(nn.Module):
    """Linear map, dropout, and layer norm of the sum with what went around."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPS)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, around: Tensor) -> Tensor:
        """Map (..., width_in) to (..., width)."""
        return self.LayerNorm(self.dropout(self.dense(x)) + around)


class Intermediate(nn.Module):
    """First half of a feed-forward part."""

    def __init__(self, width: int, ffn_dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, ffn_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to (..., ffn_dim)."""
        return F.gelu(self.dense(x))


class RowAttention(nn.Module):
    """Rows of a sample see one another."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.heads, self.offset = config.heads, PUBLISHED_OFFSET if config.exact_mask_offset else 0.0
        self.self = Projections(config.width, config.dropout)
        self.output = Output(config.width, config.width, config.dropout)

    def forward(self, rows: Tensor, packing: Packing, chosen: Chosen | None) -> Tensor:
        """Map rows (N, width) to all, or to the chosen ones only."""
        asking, counts = (rows, None) if chosen is None else (rows.index_select(0, chosen.places), chosen.counts)
        content = self.self.query(asking), self.self.key(rows), self.self.value(rows)
        seen = attend_packed(*content, self.heads, packing, counts, self.self.dropout, self.offset)
        return self.output(seen, asking)


class RowLayer(nn.Module):
    """BERT layer over the rows of a sample."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.attention = RowAttention(config)
        self.intermediate = Intermediate(config.width, config.ffn_dim)
        self.output = Output(config.ffn_dim, config.width, config.dropout)

    def forward(self, rows: Tensor, packing: Packing, chosen: Chosen | None = None) -> Tensor:
        """Map rows (N, width) to all, or to the chosen ones only."""
        seen = self.attention(rows, packing, chosen)
        return self.output(self.intermediate(seen), seen)


class RowEmbeddings(nn.Module):
    """Projected rows with their position."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Linear(config.fusion_width, config.width)
        self.position_embeddings = nn.Embedding(POSITION_LIMIT, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, rows: Tensor, packing: Packing) -> Tensor:
        """Map rows (N, fusion_width) to (N, width).

        Raises
        ------
        ValueError
            If a video has more rows than there are positions.
        """
        n_rows = packing.shape[1]
        if n_rows > POSITION_LIMIT:
            raise ValueError(
                f"a video of {n_rows} rows is too long for form hirest, which has {POSITION_LIMIT} positions; set "
                "data.n_rows, or leave it out"
            )
        positions = self.position_embeddings(packing.places % n_rows)
        return self.dropout(self.LayerNorm(self.word_embeddings(rows) + positions))


class RowEncoder(nn.Module):
    """CLIP4Caption's video encoder; its pooler lies in the checkpoints and is not used."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.embeddings = RowEmbeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(RowLayer(config) for _ in range(config.layers))})
        self.pooler = nn.ModuleDict({"dense": nn.Linear(config.width, config.width)})

    def forward(self, rows: Tensor, packing: Packing, chosen: Chosen | None = None) -> Tensor:
        """Map rows (N, fusion_width) to rows (N, width), or to the chosen ones only."""
        rows = self.embeddings(rows, packing)
        *inner, last = self.encoder["layer"]
        for layer in inner:
            rows = layer(rows, packing)
        return last(rows, packing, chosen)


class WordAttention(nn.Module):
    """Words see earlier words, or the rows of their step."""

    def __init__(self, config: NetworkConfig, offset: float) -> None:
        super().__init__()
        self.heads, self.offset = config.heads, offset
        self.att = Projections(config.width, config.dropout)
        self.output = Output(config.width, config.width, config.dropout)

    def content(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values (B, heads, K, d) of vectors (B, K, width)."""
        return self._split(self.att.key(keys)), self._split(self.att.value(keys))

    def forward(self, words: Tensor, keys: Tensor, values: Tensor, mask: BoolTensor | None = None) -> Tensor:
        """Map words (B, L, width) that see `content` to (B, L, width); `mask`: True where a word sees a key."""
        queries = self._split(self.att.query(words))
        seen = attend(queries, keys, values, mask, self.att.dropout, self.offset)
        return self.output(seen.transpose(1, 2).flatten(2), words)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class WordLayer(nn.Module):
    """Layer of the caption decoder."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.slf_attn = WordAttention(config, 0.0)
        # parity: the published mask of the video is empty, which hides every key alike.
        self.enc_attn = WordAttention(config, PUBLISHED_OFFSET if config.exact_mask_offset else 0.0)
        self.intermediate = Intermediate(config.width, config.ffn_dim)
        self.output = Output(config.ffn_dim, config.width, config.dropout)

    def feed_forward(self, words: Tensor) -> Tensor:
        """Map words (..., width) to (..., width)."""
        return self.output(self.intermediate(words), words)


class WordEmbeddings(nn.Module):
    """Words with their position."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width)
        self.position_embeddings = nn.Embedding(config.word_positions, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, words: LongTensor, first: int = 0) -> Tensor:
        """Map word ids (B, L) at the positions from `first` on to (B, L, width)."""
        positions = self.position_embeddings.weight[first : first + words.shape[1]]
        # The gradient of the same matrix as the last map is dense; this part is added to it without filling another.
        vectors = F.embedding(words, self.word_embeddings.weight, sparse=True)
        return self.dropout(self.LayerNorm(vectors + positions))


class WordPredictions(nn.Module):
    """Scores of all words, from the transposed word embedding."""

    def __init__(self, config: NetworkConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.transform = nn.ModuleDict(
            {"dense": nn.Linear(config.width, config.width), "LayerNorm": nn.LayerNorm(config.width, eps=EPS)}
        )
        self.decoder = nn.Linear(config.width, config.vocabulary, bias=False)
        self.decoder.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))

    def forward(self, words: Tensor) -> Tensor:
        """Map (..., width) to logits (..., vocabulary)."""
        hidden = self.transform["LayerNorm"](F.gelu(self.transform["dense"](words)))
        if hidden.device.type != "cpu":
            return F.linear(hidden, self.decoder.weight, self.bias)
        # A CPU multiplies by so long a matrix faster piece by piece.
        parts = zip(self.decoder.weight.split(WORDS_AT_A_TIME), self.bias.split(WORDS_AT_A_TIME), strict=True)
        return torch.cat([F.linear(hidden, weight, bias) for weight, bias in parts], dim=-1)


class CaptionDecoder(nn.Module):
    """Writes a caption word by word."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.embeddings = WordEmbeddings(config)
        self.decoder = nn.ModuleDict({"layer": nn.ModuleList(WordLayer(config) for _ in range(config.decoder_layers))})
        predictions = WordPredictions(config, self.embeddings.word_embeddings)
        self.classifier = nn.ModuleDict({"cls": nn.ModuleDict({"predictions": predictions})})

    @property
    def layers(self) -> nn.ModuleList:
        """The decoder's layers."""
        return self.decoder["layer"]

    @property
    def predictions(self) -> WordPredictions:
        """The map from a word's vector to scores of the next word."""
        return self.classifier["cls"]["predictions"]

    def forward(self, memory: Tensor, words: LongTensor, valid_mask: BoolTensor) -> Tensor:
        """Return the logits of every next word, (B, L, vocabulary).

        Parameters
        ----------
        memory : rows of the steps (B, S, width)
        words : ids (B, L), from the start token on
        valid_mask : (B, L), True for words, which come first
        """
        # Nothing sees a word after a caption's end, so that keys end with the longest caption.
        n_keys = int(valid_mask.sum(1).max())
        is_earlier = torch.ones(words.shape[1], n_keys, dtype=torch.bool, device=words.device).tril()
        mask = valid_mask[:, None, None, :n_keys] & is_earlier
        x = self.embeddings(words)
        for layer in self.layers:
            x = layer.slf_attn(x, *layer.slf_attn.content(x[:, :n_keys]), mask)
            x = layer.feed_forward(layer.enc_attn(x, *layer.enc_attn.content(memory)))
        return self.predictions(x)


class Clip4Caption(nn.Module):
    """What the published checkpoints hold under `clip4cap_model`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        norm = nn.LayerNorm(config.inner_width, eps=EPS)
        self.normalize_video = nn.ModuleDict({"visual_norm2d": norm})
        self.visual = RowEncoder(config)
        self.decoder = CaptionDecoder(config)
        self.apply(_start)

    def normalise(self, rows: Tensor) -> Tensor:
        """Normalise projected video rows (N, inner_width)."""
        return self.normalize_video["visual_norm2d"](rows)


def _start(module: nn.Module) -> None:
    """Set the start values of one module."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=START_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
