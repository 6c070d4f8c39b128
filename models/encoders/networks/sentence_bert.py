"""A BERT sentence encoder in numpy: a few sentences are encoded before torch would have been imported."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERF_SCALE = 0.3275911
"""Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: the error function to 1.5e-7."""


class SentenceBert:
    """Rows of length 1 of sentences: the mean over all tokens of the last layer.

    Parameters
    ----------
    folder : as sentence-transformers writes it

    Notes
    -----
    The same numbers as `models/encoders/minilm.py` up to rounding; that one is for many sentences.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._weights = load_file(folder / "model.safetensors")
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._layers, self._heads = config["num_hidden_layers"], config["num_attention_heads"]
        self._epsilon, self.dim = config["layer_norm_eps"], config["hidden_size"]
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        lengths = json.loads((folder / "sentence_bert_config.json").read_text(encoding="utf-8"))
        self._tokenizer.enable_truncation(lengths["max_seq_length"])

    def encode(self, sentences: Sequence[str]) -> list[np.ndarray]:
        """Return a row (1, D) for every sentence."""
        return [self._row(sentence)[None] for sentence in sentences]

    def _row(self, sentence: str) -> np.ndarray:
        ids = self._tokenizer.encode(sentence).ids
        words, places, kinds = (
            self._weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type")
        )
        hidden = self._normalised(words[ids] + places[: len(ids)] + kinds[0], "embeddings.LayerNorm")
        for number in range(self._layers):
            hidden = self._layer(hidden, f"encoder.layer.{number}")
        row = hidden.mean(axis=0)
        return row / np.linalg.norm(row)

    def _layer(self, hidden: np.ndarray, name: str) -> np.ndarray:
        attended = self._linear(self._attention(hidden, f"{name}.attention.self"), f"{name}.attention.output.dense")
        hidden = self._normalised(hidden + attended, f"{name}.attention.output.LayerNorm")
        inner = self._linear(hidden, f"{name}.intermediate.dense")
        inner = inner * (0.5 + 0.5 * _erf(inner / math.sqrt(2)))
        return self._normalised(hidden + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")

    def _attention(self, hidden: np.ndarray, name: str) -> np.ndarray:
        query, key, value = (
            self._linear(hidden, f"{name}.{part}").reshape(len(hidden), self._heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        return (shares @ value).swapaxes(0, 1).reshape(hidden.shape)

    def _linear(self, hidden: np.ndarray, name: str) -> np.ndarray:
        return hidden @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalised(self, hidden: np.ndarray, name: str) -> np.ndarray:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _erf(values: np.ndarray) -> np.ndarray:
    part = 1 / (1 + ERF_SCALE * np.abs(values))
    total = 0 * part
    for factor in reversed(ERF):
        total = (total + factor) * part
    return np.sign(values) * (1 - total * np.exp(-(values**2)))
