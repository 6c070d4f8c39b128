"""The IMG network (HuiGuanLab/IMG, arXiv 2508.04273), with the parameter names of the published checkpoints."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.systems.img.blocks import (
    LAYER_NORM_EPS,
    ConvBlock,
    CrossAttention,
    InputEncoder,
    PointwiseLinear,
    Projection,
    QueryAttention,
    QueryConcat,
    SelfAttention,
    WeightedPool,
    mask_bias,
)
from models.systems.img.config import NetworkConfig
from models.systems.img.fusion import EventFusion, GlobalFusion, LocalFusion, RecurrentFusion, SlotAttention
from models.systems.img.query import WordCharEmbedding, WordEmbedding

BRANCHES = ("av", "v", "a")


class ImportancePredictor(nn.Module):
    """Share of audio in what answers the query."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weighted_poolv = WeightedPool(dim)
        self.weighted_poola = WeightedPool(dim)
        self.pred_proj = nn.Linear(2 * dim, 1)

    def forward(self, visual: Tensor, audio: Tensor, valid: Tensor) -> Tensor:
        """Map two (B, T, D) sequences to probabilities (B,)."""
        pooled = torch.cat([self.weighted_poola(audio, valid), self.weighted_poolv(visual, valid)], dim=1)
        return self.pred_proj(pooled).squeeze(1).sigmoid()


class LearnedPosition(nn.Module):
    """Adds a learned vector per step."""

    def __init__(self, n_positions: int, dim: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(n_positions, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D), T <= n_positions."""
        return x + self.position_embeddings.weight[: x.shape[1]]


class SpanEncoder(nn.Module):
    """Learned position, four convolution layers and self-attention."""

    def __init__(self, dim: int, n_heads: int, n_positions: int, dropout: float) -> None:
        super().__init__()
        self.pos_embedding = LearnedPosition(n_positions, dim)
        self.conv_block = ConvBlock(dim, 4, dropout)
        self.attention_block = SelfAttention(dim, n_heads, dropout)

    def forward(self, x: Tensor, valid: Tensor, conv_mask: Tensor | None) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        return self.attention_block(self.conv_block(self.pos_embedding(x), conv_mask), valid)


class SpanPredictor(nn.Module):
    """Start and end logits from one encoder applied twice."""

    def __init__(self, dim: int, n_heads: int, n_positions: int, dropout: float) -> None:
        super().__init__()
        self.encoder = SpanEncoder(dim, n_heads, n_positions, dropout)
        self.start_layer_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        self.end_layer_norm = nn.LayerNorm(dim, eps=LAYER_NORM_EPS)
        for name in ("start_block", "end_block"):
            block = nn.Sequential(PointwiseLinear(2 * dim, dim), nn.ReLU(), PointwiseLinear(dim, 1))
            self.add_module(name, block)

    def forward(self, x: Tensor, valid: Tensor, conv_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (B, T, D) to start and end logits (B, T), about -1e30 at padding."""
        once = self.encoder(x, valid, conv_mask)
        twice = self.encoder(once, valid, conv_mask)
        start = self.start_block(torch.cat([self.start_layer_norm(once), x], dim=2)).squeeze(2)
        end = self.end_block(torch.cat([self.end_layer_norm(twice), x], dim=2)).squeeze(2)
        bias = mask_bias(valid)
        return start + bias, end + bias


class ImgNetwork(nn.Module):
    """Three span predictors over query-conditioned visual, audio and fused features.

    Parameters
    ----------
    config : sizes and options
    visual_dim, audio_dim : feature widths
    text_dim : width of the token features; ignored by the GloVe query encoder
    vocabulary_sizes : known words and characters of the GloVe query encoder, without the two special ids
    """

    def __init__(
        self,
        config: NetworkConfig,
        visual_dim: int,
        audio_dim: int,
        text_dim: int = 0,
        vocabulary_sizes: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__()
        dim, heads, drop = config.dim, config.heads, config.dropout
        self.mask_padding = config.mask_padding
        self.query_kind = config.query.kind
        self.video_affine = Projection(visual_dim, dim, drop)
        self.audio_affine = Projection(audio_dim, dim, drop)
        for side in "va":
            if self.query_kind == "glove":
                widths = (config.query.word_dim, config.query.char_dim)
                embedding = WordCharEmbedding(vocabulary_sizes, widths, dim, drop, config.mask_padding)
                self.add_module(f"word_embedding{side}", embedding)
            else:
                self.add_module(f"text_affine{side}", Projection(text_dim, dim, drop))
            encoder = InputEncoder(dim, heads, config.max_steps, config.pos_mode, drop)
            self.add_module(f"feature_encoder{side}", encoder)
            self.add_module(f"transformer{side}", SelfAttention(dim, heads, drop))
            self.add_module(f"cross_transformer{side}", CrossAttention(dim, heads, drop))
            self.add_module(f"cq_attention{side}", QueryAttention(dim, drop))
            self.add_module(f"cq_concat{side}", QueryConcat(dim))
        self.PPmodule = ImportancePredictor(dim)
        self.local_audio_fusion = LocalFusion(dim, drop)
        self.event_audio_fusion = EventFusion(dim, heads, config.slot_layers, drop)
        self.global_audio_fusion = GlobalFusion(dim, drop)
        self.down_sample = RecurrentFusion(dim, config.gru_layers, drop)
        for branch in BRANCHES:
            self.add_module(f"predictor_{branch}", SpanPredictor(dim, heads, config.max_steps, drop))
            self.add_module(f"saliency_proj_{branch}", nn.Linear(dim, 1))
        self.apply(_initialise)

    def _condition(self, side: str, x: Tensor, batch: Mapping[str, Any], masks: dict[str, Tensor | None]) -> Tensor:
        """Project one modality (B, T, D_in) and condition it on the query: (B, T, D)."""
        valid, query_valid = masks["video"], masks["query"]
        if self.query_kind == "glove":
            query = getattr(self, f"word_embedding{side}")(batch["word_ids"], batch["char_ids"])
        else:
            query = getattr(self, f"text_affine{side}")(batch["tokens"])
        encoder = getattr(self, f"feature_encoder{side}")
        x = encoder(x, valid, masks["video_conv"])
        query = encoder(query, query_valid, masks["query_conv"])
        x = getattr(self, f"transformer{side}")(x, valid)
        x = getattr(self, f"cross_transformer{side}")(x, query, valid, query_valid)
        x = getattr(self, f"cq_attention{side}")(x, query, valid, query_valid)
        return getattr(self, f"cq_concat{side}")(x, query, query_valid)

    def forward(
        self,
        batch: Mapping[str, Any],
        slot_noise: tuple[Tensor, Tensor],
        gate_share: float = 1.0,
        branches: Sequence[str] = BRANCHES,
    ) -> dict[str, Tensor]:
        """Score every step of every video as start and as end of the moment.

        Parameters
        ----------
        batch
            `visual` (B, T, Dv) and `audio` (B, T, Da), zero padded; `video_mask` float (B, T) and `query_mask` float
            (B, L), 1 at valid places; `n_steps`, list of B valid lengths; and `tokens` (B, L, Dt), or `word_ids`
            int64 (B, L) and `char_ids` int64 (B, L, W)
        slot_noise : start of the audio and of the visual slots, (B, K, D) each
        gate_share : weight of the predicted importance against 0.5 in the fusion gate (warm-up), 0 to 1
        branches : span predictors to run, of `av`, `v`, `a`

        Returns
        -------
        dict
            per branch x `start_x`, `end_x` (B, T), about -1e30 at padding, and `saliency_x` (B, T), not masked;
            `importance` (B,), the predicted share of audio
        """
        valid, query_valid = batch["video_mask"], batch["query_mask"]
        conv_mask = valid[:, :, None] if self.mask_padding else None
        query_conv_mask = query_valid[:, :, None] if self.mask_padding else None
        masks = {"video": valid, "query": query_valid, "video_conv": conv_mask, "query_conv": query_conv_mask}
        visual = self._condition("v", self.video_affine(batch["visual"]), batch, masks)
        audio = self._condition("a", self.audio_affine(batch["audio"]), batch, masks)
        sequences = {"v": visual, "a": audio}
        outputs = {"importance": self.PPmodule(visual, audio, valid)}
        if "av" in branches:
            gate = (0.5 * (1.0 - gate_share) + gate_share * outputs["importance"])[:, None, None]
            local = self.local_audio_fusion(visual, audio, gate, conv_mask)
            event = self.event_audio_fusion(visual, audio, gate, valid, slot_noise)
            overall = self.global_audio_fusion(visual, audio, gate, valid)
            sequences["av"] = self.down_sample(local, event, overall, batch["n_steps"])
        for branch in branches:
            x = sequences[branch]
            start, end = getattr(self, f"predictor_{branch}")(x, valid, conv_mask)
            saliency = getattr(self, f"saliency_proj_{branch}")(x).squeeze(2)
            outputs |= {f"start_{branch}": start, f"end_{branch}": end, f"saliency_{branch}": saliency}
        return outputs


def _initialise(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases; recurrent cells and embeddings keep torch's defaults."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, WeightedPool):
        nn.init.xavier_uniform_(module.weight)
    elif isinstance(module, QueryAttention):
        for weight in (module.w4C, module.w4Q, module.w4mlu):
            nn.init.xavier_uniform_(weight)
    elif isinstance(module, WordEmbedding):
        nn.init.xavier_uniform_(module.unk_vec)
    elif isinstance(module, SlotAttention):
        nn.init.normal_(module.slots_mu)
        nn.init.xavier_uniform_(module.slots_logsigma)
