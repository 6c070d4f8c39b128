"""Video and audio towers of LanguageBind (Zhu et al. 2024, arXiv 2310.01852) as UniQ4Cap uses them: all tokens out.

Both are CLIP vision transformers. The video tower attends over the frames of each token position, then over the tokens
of each frame; the audio tower sees a mel spectrogram as a picture. State-dict names are those of the bare towers.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

EPS = 1e-5


class Attention(nn.Module):
    """Multi-head self-attention with separate projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over dimension 1 of (B, L, D)."""
        q, k, v = (
            projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with exact GELU between."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.self_attn = Attention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width, EPS)
        self.mlp = Mlp(width, inner)
        self.layer_norm2 = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, L, D)."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TemporalLayer(Layer):
    """The same after attention over time."""

    def __init__(self, width: int, heads: int, inner: int, n_frames: int) -> None:
        super().__init__(width, heads, inner)
        self.temporal_embedding = nn.Parameter(torch.zeros(1, n_frames, width))
        self.temporal_attn = Attention(width, heads)
        self.temporal_layer_norm1 = nn.LayerNorm(width, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, T, L, D)."""
        b, t, n, d = x.shape
        if t > 1:
            # parity: the embedding of time is added anew in every layer.
            x = x + self.temporal_embedding[:, :t, None]
        over_time = self.temporal_layer_norm1(x).transpose(1, 2).reshape(b * n, t, d)
        x = x + self.temporal_attn(over_time).view(b, n, t, d).transpose(1, 2)
        return super().forward(x.reshape(b * t, n, d)).view(b, t, n, d)


class Embeddings(nn.Module):
    """Patches, class token, learned positions.

    Parameters
    ----------
    n_positions : patches of a picture + 1
    n_frames : class tokens, one per frame; None: the tower of single pictures
    """

    def __init__(self, width: int, patch: int, n_positions: int, n_frames: int | None) -> None:
        super().__init__()
        if n_frames is None:
            self.class_embedding = nn.Parameter(torch.zeros(width))
            self.patch_embedding = nn.Conv2d(3, width, patch, patch, bias=False)
        else:
            self.class_embedding = nn.Parameter(torch.zeros(n_frames, width))
            self.patch_embedding = nn.Conv3d(3, width, (1, patch, patch), (1, patch, patch), bias=False)
        self.position_embedding = nn.Embedding(n_positions, width)
        self.register_buffer("position_ids", torch.arange(n_positions).unsqueeze(0))

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed (B, 3, T, H, W) as (B, T, 1 + N, D), or (B, 3, H, W) as (B, 1 + N, D)."""
        patches = self.patch_embedding(pixels).flatten(-2).movedim(1, -1)
        classes = self.class_embedding
        if classes.ndim == 2:
            classes = classes[: patches.shape[1], None]
        classes = classes.expand(*patches.shape[:-2], 1, -1)
        return torch.cat([classes, patches], dim=-2) + self.position_embedding.weight


class Encoder(nn.Module):
    """The layers, under the name that checkpoints give them."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class VideoTower(nn.Module):
    """CLIP ViT with attention over time; published: ViT-L/14 at 224 pixels, 8 frames.

    Parameters
    ----------
    width, layers, heads, inner : D, depth, heads, width of the MLPs
    image, patch : sides in pixels
    n_frames : T
    """

    def __init__(
        self,
        width: int = 1024,
        layers: int = 24,
        heads: int = 16,
        inner: int = 4096,
        *,
        image: int = 224,
        patch: int = 14,
        n_frames: int = 8,
    ) -> None:
        super().__init__()
        self.dim = width
        self.embeddings = Embeddings(width, patch, (image // patch) ** 2 + 1, n_frames)
        self.pre_layrnorm = nn.LayerNorm(width, EPS)
        self.encoder = Encoder([TemporalLayer(width, heads, inner, n_frames) for _ in range(layers)])
        self.post_layernorm = nn.LayerNorm(width, EPS)

    def forward(self, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the tokens of all frames.

        Parameters
        ----------
        pixels : float (B, 3, T, H, W), normalised
        kept : int64 (B, K), patches that stay under patch dropout (`draw_patches`), the same in all frames of a clip;
            None: all

        Returns
        -------
        (B, T, 1 + N, D), class token first, before `post_layernorm`
        """
        x = self.embeddings(pixels)
        if kept is not None:
            chosen = kept[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
            x = torch.cat([x[:, :, :1], x[:, :, 1:].gather(2, chosen)], dim=2)
        return self.encoder(self.pre_layrnorm(x))

    def pooled(self, tokens: Tensor) -> Tensor:
        """Return (B, D): mean over frames of the normalised class tokens, which contrastive training projects."""
        return self.post_layernorm(tokens[:, :, 0]).mean(1)


class AudioTower(nn.Module):
    """CLIP ViT on a mel spectrogram; published: ViT-L/14 on 112 bands x 1036 frames.

    Parameters
    ----------
    width, layers, heads, inner : D, depth, heads, width of the MLPs
    bands, frames, patch : size of the spectrogram and of a patch
    """

    def __init__(
        self,
        width: int = 1024,
        layers: int = 24,
        heads: int = 16,
        inner: int = 4096,
        *,
        bands: int = 112,
        frames: int = 1036,
        patch: int = 14,
    ) -> None:
        super().__init__()
        self.dim = width
        self.grid = (bands // patch, frames // patch)
        self.embeddings = Embeddings(width, patch, self.grid[0] * self.grid[1] + 1, None)
        self.pre_layrnorm = nn.LayerNorm(width, EPS)
        self.encoder = Encoder([Layer(width, heads, inner) for _ in range(layers)])
        self.post_layernorm = nn.LayerNorm(width, EPS)

    def forward(self, image: Tensor) -> Tensor:
        """Return the tokens (B, 1 + N, D) of float (B, 3, bands, frames), class token first, before `post_layernorm`.

        Patches are in rows of equal pitch, low to high.
        """
        return self.encoder(self.pre_layrnorm(self.embeddings(image)))

    def pooled(self, tokens: Tensor) -> Tensor:
        """Return (B, D): the normalised class token."""
        return self.post_layernorm(tokens[:, 0])


def draw_patches(n_clips: int, n_patches: int, share: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw which patches stay in training, int64 (B, max(1, int(N * (1 - share)))).

    Notes
    -----
    parity: normal numbers on the CPU, the places of the largest, in falling order of the numbers.
    """
    return kept_patches(torch.randn(n_clips, n_patches, generator=generator), share)


def kept_patches(noise: Tensor, share: float) -> Tensor:
    """Return the places of the largest numbers of each row of (B, N), as `draw_patches`."""
    return noise.topk(max(1, int(noise.shape[1] * (1 - share))), dim=-1).indices


def resize_positions(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return positions of a square picture, (1 + n * n, D), for another grid: bicubic, antialiased; row 0 stays."""
    side = round((len(table) - 1) ** 0.5)
    square = table[1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, size=grid, mode="bicubic", antialias=True, align_corners=False)
    return torch.cat([table[:1], resized.flatten(2)[0].T])


def bare_tower(state: dict[str, Any]) -> dict[str, Any]:
    """Return the vision part of a LanguageBind checkpoint under the names of the bare tower.

    The text tower, the projections and the temperature are left out; a state dict of a bare tower stays as it is.
    """
    prefix = "vision_model."
    if not any(key.startswith(prefix) for key in state):
        return dict(state)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
