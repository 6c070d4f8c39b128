"""EVA-CLIP's towers under the published key names (Fang et al. 2022, arXiv 2211.07636), by timm and open_clip."""

import hashlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders.networks.filling import fill

# timm and open_clip are imported where a tower is built: they take some ten seconds, and CALCE on stored rows has none.

LARGEST_DROP_RATE = 0.4
"""Stochastic depth of EVA01-g-14: the rate grows from 0 to this over the blocks."""


def image_tower(sizes: Any, n_classes: int) -> nn.Module:
    """Return a vision transformer of `models.encoders.eva_clip.VisionSizes`, without weights, on the meta device.

    Parameters
    ----------
    n_classes : width of the head on the class token; 0: neither head nor final norm
    """
    from timm.models.eva import Eva

    with torch.device("meta"):
        return Eva(
            img_size=sizes.image_size,
            patch_size=sizes.patch_size,
            num_classes=n_classes,
            global_pool="token",
            embed_dim=sizes.width,
            depth=sizes.layers,
            num_heads=sizes.width // sizes.head_width,
            mlp_ratio=sizes.mlp_ratio,
            use_post_transformer_norm=bool(n_classes),
        )


class ImageHalf(nn.Module):
    """The part `visual.*` of `eva_clip_psz14.pt`."""

    def __init__(self, sizes: Any, embed_dim: int) -> None:
        super().__init__()
        self.visual = image_tower(sizes, embed_dim)


class TextHalf(nn.Module):
    """The part `text.*` of `eva_clip_psz14.pt`."""

    def __init__(self, sizes: Any, embed_dim: int) -> None:
        from open_clip.transformer import TextTransformer

        super().__init__()
        with torch.device("meta"):
            self.text = TextTransformer(
                context_length=sizes.context_length,
                vocab_size=sizes.vocab_size,
                width=sizes.width,
                heads=sizes.heads,
                layers=sizes.layers,
                output_dim=embed_dim,
            )
            self.text.logit_scale = nn.Parameter(torch.ones(()))


def fill_half(half: nn.Module, other: str, weights: int | dict[str, Any], gain: float) -> None:
    """Give memory and weights to one half of EVA-CLIP; the keys of the `other` half (`visual.`, `text.`) are left out.

    Raises
    ------
    RuntimeError
        a key is missing, unexpected or has another shape
    """
    materialise(half)
    fill(half, weights, gain, lambda state: {k: v for k, v in state.items() if not k.startswith(other)})


def materialise(network: nn.Module) -> None:
    """Give memory to a network of the meta device, and their values to the tensors that no checkpoint holds."""
    network.to_empty(device="cpu")
    for module in network.modules():
        if getattr(module, "k_bias", None) is not None:
            module.k_bias.zero_()
        if getattr(module, "attn_mask", None) is not None:
            module.attn_mask.copy_(torch.full_like(module.attn_mask, float("-inf")).triu(1))


def tokens_before_norm(tower: nn.Module, pixels: Tensor) -> Tensor:
    """Return all tokens (n, N, W) after the last block, class token first, without the final norm."""
    patches = tower.patch_embed(pixels)
    x = torch.cat([tower.cls_token.expand(len(patches), -1, -1), patches], dim=1) + tower.pos_embed
    for block in tower.blocks:
        x = block(x)
    return x


def resampled_positions(positions: Tensor, n_tokens: int) -> Tensor:
    """Return position embeddings (1, N, W) for another number of tokens, bicubic on the square of patches."""
    if positions.shape[1] == n_tokens:
        return positions
    old, new = (round((n - 1) ** 0.5) for n in (positions.shape[1], n_tokens))
    patches = positions[:, 1:].float().transpose(1, 2).unflatten(2, (old, old))
    patches = F.interpolate(patches, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1].float(), patches.flatten(2).transpose(1, 2)], dim=1)


class DroppedBranch(nn.Module):
    """Stochastic depth of one branch whose draws come from outside: a row's branch counts 0 or 1 / (1 - rate) times."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.draws = rate, torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        kept = (self.draws >= self.rate).to(x.dtype) / (1 - self.rate)
        return x * kept.view(-1, *[1] * (x.ndim - 1))


class SeededDepth:
    """HiREST's features as published: stochastic depth in use while extracting, its draws repeatable.

    Notes
    -----
    The published script never switches the network to eval mode and sets no seed. Here the draws of a frame are seeded
    by its pixels, so that a row depends neither on the run nor on the other frames.
    """

    def __init__(self, tower: nn.Module) -> None:
        self.tower, self.branches = tower, []
        rates = np.linspace(0, LARGEST_DROP_RATE, len(tower.blocks))
        for block, rate in zip(tower.blocks, rates, strict=True):
            block.drop_path1, block.drop_path2 = DroppedBranch(rate), DroppedBranch(rate)
            self.branches += [block.drop_path1, block.drop_path2]

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return the embeddings (n, D) of pixels (n, 3, H, W)."""
        draws = np.stack([self._draws(frame) for frame in pixels.float().cpu().numpy()])
        for branch, column in zip(self.branches, torch.from_numpy(draws).to(pixels.device).unbind(1), strict=True):
            branch.draws = column
        return self.tower(pixels)

    def _draws(self, frame: np.ndarray) -> np.ndarray:
        digest = hashlib.sha256(np.ascontiguousarray(frame).tobytes()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "little")).random(len(self.branches))
