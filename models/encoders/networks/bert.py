"""BERT's encoder as plain passes over a dictionary of tensors, and the tokens of its sentences.

Source: Devlin et al. 2019, arXiv 1810.04805; names of tensors as in huggingface/transformers `modeling_bert.py`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import BoolTensor, LongTensor, Tensor

DERIVED_KEYS = {"embeddings.position_ids"}
"""Numbers 0, 1, 2, ... that older checkpoints store."""
UNUSED_PARTS = ("pooler.dense",)
"""Parts that every checkpoint has and that states of tokens do not pass."""
_ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
_LAYER_PARTS = (*_ATTENTION, "attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm")
_EMBEDDINGS = ("word", "position", "token_type")


@dataclass(frozen=True)
class Bert:
    """The states of the last layer.

    Attributes
    ----------
    tensors : name -> tensor, all on one device
    n_layers, n_heads, epsilon : as in `config.json`
    """

    tensors: Mapping[str, Tensor]
    n_layers: int
    n_heads: int
    epsilon: float

    @classmethod
    def of_folder(cls, folder: Path, device: str) -> "Bert":
        """Read `config.json` and `model.safetensors`.

        Raises
        ------
        RuntimeError
            a tensor of the checkpoint is missing or unexpected
        """
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tensors, n_layers = load_file(folder / "model.safetensors", device), config["num_hidden_layers"]
        expected, stored = _names(n_layers), set(tensors) - DERIVED_KEYS
        if stored != expected:
            missing, unexpected = sorted(expected - stored), sorted(stored - expected)
            raise RuntimeError(f"{folder / 'model.safetensors'}: missing keys {missing}, unexpected keys {unexpected}")
        return cls(tensors, n_layers, config["num_attention_heads"], config["layer_norm_eps"])

    @property
    def dim(self) -> int:
        """Width of a state."""
        return self.tensors["embeddings.word_embeddings.weight"].shape[1]

    def states(self, ids: LongTensor, mask: BoolTensor) -> Tensor:
        """Return states float (B, L, D) of tokens (B, L); `mask` is False for padding."""
        word, place, kind = (self.tensors[f"embeddings.{name}_embeddings.weight"] for name in _EMBEDDINGS)
        # In this order of sums: rounding is that of the library.
        states = self._normalised(F.embedding(ids, word) + kind[0] + place[: ids.shape[1]], "embeddings")
        seen = None if mask.all() else mask[:, None, None].expand(-1, 1, ids.shape[1], -1)
        for number in range(self.n_layers):
            states = self._layer(states, seen, f"encoder.layer.{number}")
        return states

    def _layer(self, states: Tensor, seen: BoolTensor | None, name: str) -> Tensor:
        query, key, value = (
            self._linear(states, f"{name}.{part}").unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in _ATTENTION[:3]
        )
        found = F.scaled_dot_product_attention(query, key, value, seen).transpose(1, 2).flatten(2)
        states = self._normalised(
            self._linear(found, f"{name}.attention.output.dense") + states, f"{name}.attention.output"
        )
        inner = F.gelu(self._linear(states, f"{name}.intermediate.dense"))
        return self._normalised(self._linear(inner, f"{name}.output.dense") + states, f"{name}.output")

    def _linear(self, states: Tensor, name: str) -> Tensor:
        return F.linear(states, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def _normalised(self, states: Tensor, name: str) -> Tensor:
        weight, bias = (self.tensors[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(states, weight.shape, weight, bias, self.epsilon)


def _names(n_layers: int) -> set[str]:
    layers = [f"encoder.layer.{number}.{part}" for number in range(n_layers) for part in _LAYER_PARTS]
    parts = ["embeddings.LayerNorm", *UNUSED_PARTS, *layers]
    return {f"embeddings.{name}_embeddings.weight" for name in _EMBEDDINGS} | {
        f"{part}.{kind}" for part in parts for kind in ("weight", "bias")
    }


class BertTokens:
    """Ids of sentences, as `tokenizer.json` of a folder has them.

    Parameters
    ----------
    folder : has the file
    max_length : tokens of a sentence with its marks; a longer one loses its end
    """

    def __init__(self, folder: Path, max_length: int) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.enable_padding()

    def __call__(self, sentences: Sequence[str]) -> tuple[LongTensor, BoolTensor]:
        """Return ids (B, L) and where there is a token, padded to the longest sentence."""
        found = self._tokenizer.encode_batch(list(sentences))
        return torch.tensor([own.ids for own in found]), torch.tensor([own.attention_mask for own in found]).bool()
