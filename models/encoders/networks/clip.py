"""CLIP as open_clip defines it (Radford et al. 2021, arXiv 2103.00020), and passes that leave out what nobody reads."""

from typing import Any

import torch
from torch import Tensor, nn

from models.encoders.networks.filling import fill
from models.encoders.networks.plain_clip import PlainClip, plain_settings, tokenizer_module

ARCHIVE_EXTRAS = ("input_resolution", "context_length", "vocab_size")


def clip_network(architecture: Any, weights: int | dict[str, Any], gain: float) -> nn.Module:
    """Build a complete CLIP and fill it strictly.

    Parameters
    ----------
    architecture : an open_clip model name, or sizes (`models.encoders.clip.Architecture`)
    weights : a seed, or the state dict of OpenAI's archive, whose three whole numbers beside the weights are left out
    gain : of random weights

    Raises
    ------
    RuntimeError
        a key is missing, unexpected or has another shape
    """
    settings = plain_settings(architecture)
    network = PlainClip(settings) if settings else build_clip(architecture)
    fill(network, weights, gain, lambda state: {k: v for k, v in state.items() if k not in ARCHIVE_EXTRAS})
    return network


def build_clip(architecture: Any) -> nn.Module:
    """Return the package's own CLIP, with whatever weights it starts from."""
    # Its import takes longer than the frames of a small dataset.
    import open_clip

    if not isinstance(architecture, str):
        sizes = architecture
        return open_clip.CLIP(sizes.embed_dim, sizes.vision, sizes.text, quick_gelu=sizes.quick_gelu)
    # The constructor itself, not the factory: that one warns of missing weights, which are filled in here.
    config = open_clip.get_model_config(architecture)
    if config is None:
        raise ValueError(f"params: architecture: open_clip knows no model {architecture!r}")
    return open_clip.CLIP(**config)


def image_embedding(tower: nn.Module, pixels: Tensor) -> Tensor:
    """Return the projected class token (n, D) of pixels (n, 3, H, W), not normalised.

    Notes
    -----
    The last block's attention output and MLP are computed for the class token only, since nothing reads the others.
    """
    x = tower.conv1(pixels).flatten(2).transpose(1, 2)
    x = torch.cat([tower.class_embedding.expand(len(x), 1, -1), x], dim=1) + tower.positional_embedding
    x = tower.ln_pre(x)
    *blocks, last = tower.transformer.resblocks
    for block in blocks:
        x = block(x)
    keys = last.ln_1(x)
    x = x[:, :1] + last.attn(keys[:, :1], keys, keys, need_weights=False)[0]
    x = x + last.mlp(last.ln_2(x))
    return tower.ln_post(x[:, 0]) @ tower.proj


def text_tokens(tower: nn.Module, ids: Tensor) -> Tensor:
    """Return the states (n, L, W) after the final norm for token ids (n, L), L up to the context length.

    Notes
    -----
    Attention looks back only, so that ids after a sentence's end change nothing before it: the context is as long as
    the longest sentence, not the 77 positions of the published code.
    """
    length = ids.shape[1]
    x = tower.token_embedding(ids) + tower.positional_embedding[:length]
    return tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))


def text_embedding(tower: nn.Module, ids: Tensor) -> Tensor:
    """Return the projected state of the end token (n, D), not normalised; the end token has the highest id."""
    return pooled(tower, text_tokens(tower, ids), ids)


def pooled(tower: nn.Module, tokens: Tensor, ids: Tensor) -> Tensor:
    """Return the projected state of the end token out of states (n, L, W)."""
    return tokens[torch.arange(len(ids), device=ids.device), ids.argmax(dim=1)] @ tower.text_projection


class BytePairs:
    """OpenAI's byte-pair tokens of sentences.

    Parameters
    ----------
    max_tokens : including start and end; of longer sentences the first byte pairs are kept
    """

    def __init__(self, max_tokens: int) -> None:
        self.tokenizer, self.max_tokens = tokenizer_module().SimpleTokenizer(), max_tokens

    def __call__(self, text: str) -> list[int]:
        """Return the ids of a sentence from start to end token."""
        start, end = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        return [start, *self.tokenizer.encode(text)[: self.max_tokens - 2], end]


class TextRunner:
    """Calls a text tower on sentences.

    Parameters
    ----------
    tower : has `token_embedding`, `positional_embedding`, `transformer`, `attn_mask`, `ln_final`, `text_projection`
    output : `tokens`, rows (L, W) of valid tokens before the projection, or `pooled`, one row (1, D) after it
    """

    def __init__(self, tower: nn.Module, output: str, max_tokens: int, device: str) -> None:
        context, width = tower.positional_embedding.shape
        if max_tokens > context:
            raise ValueError(f"params: max_tokens: {max_tokens} is above the context length of the network, {context}")
        self.tower, self.output, self.device = tower.eval().requires_grad_(False).to(device), output, device
        self.tokenize = BytePairs(max_tokens)
        self.dim = width if output == "tokens" else tower.text_projection.shape[1]

    @torch.inference_mode()
    def __call__(self, sentences: list[str]) -> list[Any]:
        """Return float32 rows (L, W) or (1, D) per sentence."""
        ids = [torch.tensor(self.tokenize(sentence)) for sentence in sentences]
        padded = nn.utils.rnn.pad_sequence(ids, batch_first=True).to(self.device)
        if self.output == "pooled":
            return list(text_embedding(self.tower, padded)[:, None].float().cpu().numpy())
        tokens = text_tokens(self.tower, padded).float().cpu().numpy()
        return [row[: len(valid)] for row, valid in zip(tokens, ids, strict=True)]
