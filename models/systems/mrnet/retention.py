"""The transformer of MRNet: attention over queries and clips under a multiplicative, partly learned mask.

Source: xian-sh/MRNet, ret_model.py and ret_model_tacos.py, which differ in their projections (`qkv`).
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers.dropout import Dropout
from models.systems.mrnet.config import RetentionConfig

MATRICES = tuple(f"W_{modality}_{part}" for modality in ("vid", "txt") for part in "QKV")
_SCALE_BASE = 512


def query_positions(n_queries: Tensor, n_max: int, dim: int) -> Tensor:
    """Return the position codes of the queries of B videos, (B, n_max, dim).

    Parameters
    ----------
    n_queries : (B,), queries of every video; query i has the angle 2 pi (i + 1) / n

    Notes
    -----
    parity: the code tells a query's rank among those of its video.
    """
    ranks = torch.arange(1, n_max + 1, device=n_queries.device, dtype=torch.float32)
    angle = ranks / (n_queries[:, None].float() + 1e-6) * (2 * math.pi)
    channel = torch.arange(dim, device=n_queries.device, dtype=torch.float32)
    period = 10000 ** (2 * torch.div(channel, 2, rounding_mode="floor") / dim)
    code = angle[..., None] / period
    return torch.stack((code[..., 0::2].sin(), code[..., 1::2].cos()), dim=-1).flatten(-2)


def decay_mask(n_clips: int, config: RetentionConfig) -> Tensor:
    """Return gamma ** distance, (N, N); 0 above the diagonal unless bidirectional."""
    position = torch.arange(n_clips, dtype=torch.float32)
    distance = position[:, None] - position
    lower = torch.where(distance >= 0, config.gamma ** distance.clamp(min=0), 0.0)
    if not config.bidirectional:
        return lower
    both = lower + lower.T
    # parity: the published sum counts the diagonal twice.
    return both if config.diagonal == "double" else both - torch.eye(n_clips)


class Xpos(nn.Module):
    """Rotary position code with a length scale (XPOS) over the whole width, before the projections."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("scale", (torch.arange(0, dim, 2) + 0.4 * dim) / (1.4 * dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes (B, N, dim) of `x` as query and as key."""
        half = len(self.scale)
        position = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        frequency = 1.0 / 10000 ** (torch.arange(half, device=x.device, dtype=torch.float32) / half)
        angle = (position[:, None] * frequency).repeat_interleave(2, dim=-1)
        scale = (self.scale ** (position[:, None] / _SCALE_BASE)).repeat_interleave(2, dim=-1)
        turned = torch.stack((-x[..., 1::2], x[..., 0::2]), dim=-1).flatten(-2)
        cos, sin = angle.cos(), angle.sin()
        return x * (cos * scale) + turned * (sin * scale), x * (cos / scale) + turned * (sin / scale)


class SelfAttention(nn.Module):
    """Holds the linear maps under their published names: output alone, or query, key, value and output."""

    def __init__(self, dim: int, n_maps: int) -> None:
        super().__init__()
        first = nn.Linear(dim, dim)
        # parity: all maps begin as copies of one.
        self.linears = nn.ModuleList(copy.deepcopy(first) for _ in range(n_maps))


class RetentionLayer(nn.Module):
    """Attention of one layer; returns its output and the density of its learned mask."""

    def __init__(self, dim: int, n_clips: int, config: RetentionConfig) -> None:
        super().__init__()
        self.config, self.n_clips = config, n_clips
        self.is_shared = config.qkv == "shared"
        if not self.is_shared:
            for name in MATRICES:
                setattr(self, name, nn.Parameter(torch.randn(dim, dim) / dim))
        self.self_attn = SelfAttention(dim, 4 if self.is_shared else 1)
        self.xpos = Xpos(dim)
        self.learn_vid_ret = nn.Embedding(n_clips**2, 1)
        self.attn_dropout = Dropout(config.attn_dropout)
        self.register_buffer("decay", decay_mask(n_clips, config), persistent=False)

    def learned_mask(self) -> Tensor:
        """Return the learned part off the diagonal, (N, N) in (0, 1), 0 on the diagonal."""
        off_diagonal = 1 - torch.eye(self.n_clips, device=self.learn_vid_ret.weight.device)
        return off_diagonal * torch.sigmoid(self.learn_vid_ret.weight.view(self.n_clips, self.n_clips))

    def mask(self, learned: Tensor) -> Tensor | None:
        """Return the factor of the scores between clips (N, N); None for 1."""
        sparse = learned + torch.eye(self.n_clips, device=learned.device)
        return {"none": None, "decay": self.decay, "sparse": sparse, "decay_sparse": self.decay * sparse}[
            self.config.mask
        ]

    def forward(self, text: Tensor, video: Tensor, n_queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map queries (B, K, dim), of which the first `n_queries` (B,) are real, and clips (B, N, dim).

        Returns
        -------
        queries, clips, density of the learned mask (0 where it is not used)
        """
        attend = self.config.attend
        learned = self.learned_mask()
        uses_learned = "sparse" in self.config.mask and attend != "none"
        density = learned.mean() if uses_learned else learned.new_zeros(())
        if attend == "none":
            return text, video, density
        video_q, video_k = self.xpos(video)
        out = self.self_attn.linears[-1]
        mask = None if attend == "plain" else self.mask(learned)
        if attend == "video":
            value = self._project(video, "vid", "V")
            video = out(
                self._attend(self._project(video_q, "vid", "Q"), self._project(video_k, "vid", "K"), value, mask)
            )
            return (text if self.is_shared else text @ self.W_txt_V), video, density
        n_text = text.shape[1]
        coded = text + query_positions(n_queries, n_text, text.shape[-1])
        parts = [(coded, video_q), (coded, video_k), (text, video)]
        if attend == "all":
            parts = [
                (self._project(t, "txt", p), self._project(v, "vid", p)) for (t, v), p in zip(parts, "QKV", strict=True)
            ]
        query, key, value = (torch.cat(part, dim=1) for part in parts)
        if mask is not None:
            mask = F.pad(mask, (n_text, 0, n_text, 0), value=1.0)
        is_real = torch.arange(n_text, device=text.device) < n_queries[:, None]
        is_real = F.pad(is_real, (0, video.shape[1]), value=True)
        mixed = out(self._attend(query, key, value, mask, is_real))
        return mixed[:, :n_text], mixed[:, n_text:], density

    def _project(self, x: Tensor, modality: str, part: str) -> Tensor:
        if self.is_shared:
            return self.self_attn.linears["QKV".index(part)](x)
        return x @ getattr(self, f"W_{modality}_{part}")

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, is_real: Tensor | None = None
    ) -> Tensor:
        """Attend over (B, L, dim); `is_real` (B, L) marks the keys that count."""
        if self.config.normalise == "zero":
            return value * 0
        heads = self.config.heads
        query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
        scores = (query / math.sqrt(query.shape[-1])) @ key.transpose(-1, -2)
        if mask is not None:
            # A factor on the score: 0 makes a pair neutral, it does not exclude it.
            scores = scores * mask
        if self.config.normalise == "softmax":
            if is_real is not None:
                scores = scores.masked_fill(~is_real[:, None, None], -torch.inf)
            scores = scores.softmax(dim=-1)
        elif is_real is not None:
            scores = scores.masked_fill(~is_real[:, None, None], 0.0)
        return (self.attn_dropout(scores) @ value).transpose(1, 2).flatten(-2)


class RetentionTransformer(nn.Module):
    """The stack of layers, normalised before each part."""

    def __init__(self, dim: int, n_clips: int, config: RetentionConfig) -> None:
        super().__init__()
        layers = range(config.layers)
        self.rets = nn.ModuleList(RetentionLayer(dim, n_clips, config) for _ in layers)
        self.ffns = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, config.ffn_dim), nn.GELU(), nn.Linear(config.ffn_dim, dim)) for _ in layers
        )
        self.layer_norms_1 = nn.ModuleList(nn.LayerNorm(dim) for _ in layers)
        self.layer_norms_2 = nn.ModuleList(nn.LayerNorm(dim) for _ in layers)
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, text: Tensor, video: Tensor, n_queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map queries (B, K, dim) and clips (B, N, dim); also return the sum of the layers' mask densities."""
        n_text, total = text.shape[1], text.new_zeros(())
        x = torch.cat((text, video), dim=1)
        for ret, ffn, norm_1, norm_2 in zip(self.rets, self.ffns, self.layer_norms_1, self.layer_norms_2, strict=True):
            normed = norm_1(x)
            text, video, density = ret(normed[:, :n_text], normed[:, n_text:], n_queries)
            x = self.dropout(torch.cat((text, video), dim=1)) + x
            x = self.dropout(ffn(norm_2(x))) + x
            total = total + density
        x = self.norm(x)
        return x[:, :n_text], x[:, n_text:], total
