"""CLIP with nothing but torch: the modules of open_clip's plain form, with their names and their sums.

Importing open_clip imports torchvision, and with it torch's compiler: longer than a few hundred frames take. What is
not plain (ResNets, towers of timm and transformers, pooling by attention) is left to the package.
"""

import importlib.util
import json
import sys
from collections import OrderedDict
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

PLAIN_SETTINGS: dict[str, dict[str, Any]] = {
    "vision_cfg": {"layers": 12, "width": 768, "head_width": 64, "patch_size": 16, "image_size": 224},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}
"""What a plain CLIP may state of its towers, and open_clip's values of what it does not."""


def package_folder() -> Path:
    """Return where open_clip is, without importing it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("open_clip is not installed", name="open_clip")
    return Path(spec.origin).parent


def plain_settings(architecture: Any) -> dict[str, Any] | None:
    """Return open_clip's settings of a plain CLIP, completed; None if it is not plain, or not known by this name.

    Parameters
    ----------
    architecture : an open_clip model name, or sizes (`models.encoders.clip.Architecture`)
    """
    if isinstance(architecture, str):
        path = package_folder() / "model_configs" / f"{architecture}.json"
        given = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    else:
        given = {
            "embed_dim": architecture.embed_dim,
            "vision_cfg": architecture.vision,
            "text_cfg": architecture.text,
            "quick_gelu": architecture.quick_gelu,
        }
    if not {"embed_dim", *PLAIN_SETTINGS} <= given.keys() <= {"embed_dim", "quick_gelu", *PLAIN_SETTINGS}:
        return None
    for tower, plain in PLAIN_SETTINGS.items():
        is_plain = given[tower].keys() <= plain.keys() and all(isinstance(size, int) for size in given[tower].values())
        if not is_plain:
            return None
    towers = {tower: plain | given[tower] for tower, plain in PLAIN_SETTINGS.items()}
    return {"quick_gelu": False, **given, **towers}


class Norm(nn.LayerNorm):
    """Layer norm in the number format of what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).to(x.dtype)


class QuickGelu(nn.Module):
    """The published weights' activation."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """Attention and a hidden layer four times as wide, each added to what it was given, normed."""

    def __init__(self, width: int, n_heads: int, quick_gelu: bool) -> None:
        super().__init__()
        self.ln_1 = Norm(width)
        self.attn = nn.MultiheadAttention(width, n_heads, batch_first=True)
        self.ln_2 = Norm(width)
        parts = (nn.Linear(width, 4 * width), QuickGelu() if quick_gelu else nn.GELU(), nn.Linear(4 * width, width))
        self.mlp = nn.Sequential(OrderedDict(zip(("c_fc", "gelu", "c_proj"), parts, strict=True)))

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, width: int, layers: int, n_heads: int, quick_gelu: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList([Block(width, n_heads, quick_gelu) for _ in range(layers)])

    def forward(self, x: Tensor, attn_mask: Tensor | None = None) -> Tensor:
        for block in self.resblocks:
            x = block(x, attn_mask=attn_mask)
        return x


class ImageTower(nn.Module):
    """The weights of the image tower; `models.encoders.networks.clip.image_embedding` passes through them."""

    def __init__(self, sizes: dict[str, int], embed_dim: int, quick_gelu: bool) -> None:
        super().__init__()
        width, patch = sizes["width"], sizes["patch_size"]
        self.output_dim = embed_dim
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((sizes["image_size"] // patch) ** 2 + 1, width))
        self.proj = nn.Parameter(torch.empty(width, embed_dim))
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        self.ln_pre = Norm(width)
        self.transformer = Transformer(width, sizes["layers"], width // sizes["head_width"], quick_gelu)
        self.ln_post = Norm(width)


class PlainClip(nn.Module):
    """Both towers under the published names, the text tower at the top.

    Parameters
    ----------
    settings : as `plain_settings` gives them

    Notes
    -----
    The weights are on torch's `meta` device until they are assigned: nothing is drawn and nothing held twice.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        text, embed_dim, quick_gelu = settings["text_cfg"], settings["embed_dim"], settings["quick_gelu"]
        length, width = text["context_length"], text["width"]
        with torch.device("meta"):
            self.positional_embedding = nn.Parameter(torch.empty(length, width))
            self.text_projection = nn.Parameter(torch.empty(width, embed_dim))
            self.logit_scale = nn.Parameter(torch.empty(()))
            self.visual = ImageTower(settings["vision_cfg"], embed_dim, quick_gelu)
            self.transformer = Transformer(width, text["layers"], text["heads"], quick_gelu)
            # Drawing normal numbers on `meta`, as the constructor does, imports the compiler.
            self.token_embedding = nn.Embedding.from_pretrained(torch.empty(text["vocab_size"], width), freeze=False)
            self.ln_final = Norm(width)
        looks_back = torch.full((length, length), -torch.inf).triu_(1)
        self.register_buffer("attn_mask", looks_back, persistent=False)


@cache
def tokenizer_module() -> ModuleType:
    """Return open_clip's own byte pairs: `open_clip.tokenizer`, from its file alone if the package is not imported."""
    name = "open_clip.tokenizer"
    if name in sys.modules:
        return sys.modules[name]
    # Under a name of its own: the package is still to be had whole.
    spec = importlib.util.spec_from_file_location("_open_clip_tokenizer_alone", package_folder() / "tokenizer.py")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError("open_clip has no tokenizer", name=name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
