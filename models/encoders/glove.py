"""GloVe word vectors (Pennington et al. 2014), one row per word of a query."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights
from models.layers.word_vectors import read_word_vectors, tokenise
from models.weights import seeded_state

KIND = "text"
RECIPE_VERSION = 1


class Config(BaseModel):
    """Parameters of a GloVe feature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dim: int = Field(300, gt=0, description="values per word in the file")
    tokenizer: Literal["treebank", "spaces"] = Field(
        "treebank",
        description="lower-cased either way; `treebank`: nltk's, as IMG and VSLNet; `spaces`: split at spaces, as "
        "lighthouse",
    )


class GloveEncoder:
    """Vectors (L, D) of a sentence's words; a word without one is a row of zeros.

    Parameters
    ----------
    source : a file of vectors, or a seed that gives every word a vector

    Notes
    -----
    The file is read once per call of `encode` with new words, and only their vectors are kept: memory stays small with
    millions of words, and a feature's `runtime.batch_size` should hold all its queries.
    """

    def __init__(self, config: Config, source: Path | int) -> None:
        self.config, self.source, self.dim = config, source, config.dim
        self._vectors: dict[str, np.ndarray] = {}

    def encode(self, batch: list[str]) -> list[np.ndarray]:
        sentences = [self._words(text) for text in batch]
        self._look_up({word for words in sentences for word in words} - self._vectors.keys())
        empty = np.zeros((0, self.dim), np.float32)
        return [np.stack([self._vectors[word] for word in words]) if words else empty for words in sentences]

    def _words(self, text: str) -> list[str]:
        return tokenise(text) if self.config.tokenizer == "treebank" else text.lower().split()

    def _look_up(self, new: set[str]) -> None:
        if not new:
            return
        if isinstance(self.source, int):
            # A name that ends otherwise than the words themselves: the ending decides what kind of weight is drawn.
            names = {word: f"{word}.vector" for word in new}
            drawn = seeded_state(dict.fromkeys(names.values(), (self.dim,)), self.source, 1.0)
            self._vectors |= {word: drawn[name] for word, name in names.items()}
            return
        found = read_word_vectors(self.source, self.dim, new)
        self._vectors |= {word: found.get(word, np.zeros(self.dim, np.float32)) for word in new}


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Return the encoder; the file of vectors (text, or zip of one) is read when words are asked for."""
    return GloveEncoder(config, weights)
