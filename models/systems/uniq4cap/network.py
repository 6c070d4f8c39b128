"""UniQ4Cap's captioner: tokens of both towers are brought to one width, one after the other; a Q-Former asks them.

The Q-Former's words see its queries, never the media: what a caption is written from are the keys and values of the
queries, a few dozen rows per layer. State-dict names are the published ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor, nn

from models.layers.qformer import EPS, Memory, Pair, QFormer, Sizes
from models.systems.uniq4cap.config import NetworkConfig

INIT_STD = 0.02
"""Of BERT's new weights and of the queries."""


class Transform(nn.Module):
    """What happens to a row before it is compared with the words."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(width, width), nn.LayerNorm(width, EPS)

    def forward(self, rows: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(rows)))


class Predictions(nn.Module):
    """Scores of words; the matrix is the table of words itself."""

    def __init__(self, width: int, n_words: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(n_words))
        self.transform = Transform(width)

    def forward(self, rows: Tensor, table: Tensor) -> Tensor:
        return F.linear(self.transform(rows), table, self.bias)


class WordHead(nn.Module):
    """The word head, under the name that checkpoints give it."""

    def __init__(self, width: int, n_words: int) -> None:
        super().__init__()
        self.predictions = Predictions(width, n_words)


class AskingAndWriting(nn.Module):
    """Q-Former and word head, under the names that checkpoints give them."""

    def __init__(self, config: NetworkConfig, n_words: int) -> None:
        super().__init__()
        sizes = Sizes(
            config.width,
            config.layers,
            config.heads,
            config.ffn_dim,
            config.media_width,
            n_words,
            config.positions,
            config.dropout,
            config.look_every,
        )
        self.bert, self.cls = QFormer(sizes), WordHead(config.width, n_words)
        self.apply(_initialise)

    def logits(self, rows: Tensor) -> Tensor:
        """Return the scores of the words (B, L, V) of rows (B, L, width)."""
        return self.cls.predictions(rows, self.bert.embeddings.word_embeddings.weight)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INIT_STD)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


@dataclass(frozen=True)
class Asked:
    """What the queries found out about the media of a batch.

    Attributes
    ----------
    rows : (B, Q, width), those of the queries after the last layer
    pairs : keys and values of the queries in every layer
    memory : the media as the Q-Former sees them
    """

    rows: Tensor
    pairs: list[Pair]
    memory: Memory


class Captioner(nn.Module):
    """Bridges, Q-Former, heads.

    Parameters
    ----------
    n_words : size of the vocabulary
    video_width, audio_width : of the tokens of the towers; audio 0: nothing is heard
    """

    def __init__(self, config: NetworkConfig, n_words: int, video_width: int, audio_width: int) -> None:
        super().__init__()
        self.query_tokens = nn.Parameter(torch.empty(1, config.queries, config.width).normal_(std=INIT_STD))
        self.temp = nn.Parameter(torch.tensor(config.temperature))
        self.ln_video, self.video_project = nn.LayerNorm(video_width), nn.Linear(video_width, config.media_width)
        if audio_width:
            self.ln_audio, self.audio_project = nn.LayerNorm(audio_width), nn.Linear(audio_width, config.media_width)
        self.Qformer = AskingAndWriting(config, n_words)
        self.vision_proj = nn.Linear(config.width, config.shared_width)
        self.text_proj = nn.Linear(config.width, config.shared_width)
        self.itm_head = nn.Linear(config.width, 2)
        self._made: dict[Any, Any] = {}

    def train(self, mode: bool = True) -> "Captioner":
        """Begin to train or, with False, to be asked."""
        # An optimiser may change weights without a trace, but not between one question and the next.
        self._made.clear()
        return super().train(mode)

    def made_of_weights(self, make: Callable[["Captioner"], Any]) -> Any:
        """Return what a function makes of this network, made once until it is trained again or loaded."""
        key = (make, self.video_project.weight._version)
        if key not in self._made:
            self._made[key] = make(self)
        return self._made[key]

    def media(self, video: Tensor, audio: Tensor | None = None) -> Tensor:
        """Return the tokens of both, video first, (B, Mv + Ma, media width)."""
        parts = [self.see(video)] if audio is None else [self.see(video), self.hear(audio)]
        return torch.cat(parts, dim=1)

    def see(self, video: Tensor) -> Tensor:
        """Return the tokens of pictures in the width of media."""
        return self.video_project(normalised(self.ln_video, video))

    def hear(self, audio: Tensor) -> Tensor:
        """Return the tokens of sounds in the width of media."""
        return self.audio_project(normalised(self.ln_audio, audio))

    def ask(self, media: Tensor, valid: BoolTensor | None = None) -> Asked:
        """Let the queries look at media (B, M, media width), of which those count that are `valid` (B, M)."""
        return self.ask_memory(self.Qformer.bert.read(media, valid), len(media))

    def memory(self, video: Tensor, audio: Tensor | None = None, valid_media: BoolTensor | None = None) -> Memory:
        """Return the tokens of both as the Q-Former sees them, of which those count that are valid (B, Mv + Ma)."""
        return self.Qformer.bert.read(self.media(video, audio), valid_media)

    def ask_memory(self, memory: Memory, n: int) -> Asked:
        """Let the queries look at the media of n samples as the Q-Former sees them."""
        queries = self.query_tokens.expand(n, -1, -1)
        rows, pairs = self.Qformer.bert(queries, self.query_tokens.shape[1], memory)
        return Asked(rows, pairs, memory)

    def compared_media(self, rows: Tensor) -> Tensor:
        """Return unit vectors (B, Q, shared width) of the queries' rows."""
        return F.normalize(self.vision_proj(rows), dim=-1)

    def compared_texts(self, first_rows: Tensor) -> Tensor:
        """Return unit vectors (B, shared width) of texts' first rows."""
        return F.normalize(self.text_proj(first_rows), dim=-1)

    def read(self, ids: LongTensor, valid: BoolTensor) -> Tensor:
        """Return the first rows (B, width) of texts (B, L) by themselves."""
        bert = self.Qformer.bert
        rows, _ = bert(bert.embeddings.words(ids), mask=valid[:, None])
        return rows[:, 0]

    def match(self, memory: Memory, ids: LongTensor, valid: BoolTensor) -> Tensor:
        """Return scores (B, 2) of a wrong and of a right pair: queries and text see each other, queries the media."""
        bert, n_queries = self.Qformer.bert, self.query_tokens.shape[1]
        queries = self.query_tokens.expand(len(ids), -1, -1)
        mask = torch.cat([valid.new_ones(len(ids), n_queries), valid], dim=1)
        rows, _ = bert(torch.cat([queries, bert.embeddings.words(ids)], dim=1), n_queries, memory, mask[:, None])
        return self.itm_head(rows[:, :n_queries]).mean(dim=1)

    def write(self, pairs: Sequence[Pair], ids: LongTensor, valid: BoolTensor) -> Tensor:
        """Return scores (B, L, V) of the word after each of the words (B, L), which see queries and earlier words."""
        bert = self.Qformer.bert
        n_queries, length = pairs[0][0].shape[2], ids.shape[1]
        earlier = valid[:, None] & valid.new_ones(length, length).tril()
        mask = torch.cat([valid.new_ones(len(ids), length, n_queries), earlier], dim=2)
        rows, _ = bert(bert.embeddings.words(ids), mask=mask, past=pairs)
        return self.Qformer.logits(rows)


def normalised(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    """Return the tokens of a tower after their norm, which is computed in float32."""
    with torch.autocast(tokens.device.type, enabled=False):
        return norm(tokens.float()).to(tokens.dtype)
