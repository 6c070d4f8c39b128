"""Mean over the tokens of a transformers text model, as MRNet feeds its queries (DistilBERT, data2vec-text)."""

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from models.encoders.interface import Encoder, Weights

KIND = "text"
RECIPE_VERSION = 1

UNUSED_HEADS = ("vocab_", "cls.", "lm_head.")
"""Parts of published files that predict words: the body has no place for them."""
UNUSED_BODY = ("pooler.",)
"""Parts of the library's body that published files lack and that token states do not pass."""


class Config(BaseModel):
    """Parameters of a sentence mean."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer_norm: bool = Field(True, description="normalise every token's state before the mean, without learnt scale")


def load(config: Config, weights: Weights, device: str) -> Encoder:
    """Load the folder `weights` (tokenizer, configuration and weights together) strictly.

    Raises
    ------
    RuntimeError
        a key of the checkpoint is missing or unexpected
    """
    import torch
    from torch.nn import functional as F
    from transformers import AutoModel, AutoTokenizer

    class SentenceMeanEncoder:
        """One row (1, D) per sentence: the mean over all its tokens, start and end included."""

        def __init__(self) -> None:
            folder = str(weights)
            self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            network, loading = AutoModel.from_pretrained(
                folder, local_files_only=True, output_loading_info=True, dtype=torch.float32
            )
            _require_same_keys(folder, loading)
            self.network = network.eval().to(device)
            self.dim = network.config.hidden_size

        @torch.inference_mode()
        def encode(self, batch: list[str]) -> list[np.ndarray]:
            # One sentence at a time, as published: no padding, so that a row does not depend on its batch.
            return [self._row(sentence) for sentence in batch]

        def _row(self, sentence: str) -> np.ndarray:
            tokens = self.tokenizer(sentence, return_tensors="pt", truncation=True).to(device)
            states = self.network(**tokens).last_hidden_state
            if config.layer_norm:
                states = F.layer_norm(states, states.shape[-1:])
            return states.mean(dim=1).float().cpu().numpy()

    return SentenceMeanEncoder()


def _require_same_keys(folder: str, loading: dict[str, Any]) -> None:
    """Refuse what the library only warns of: tensors that stay random, or that nobody reads."""
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED_BODY))
    unexpected = sorted(key for key in loading["unexpected_keys"] if not key.startswith(UNUSED_HEADS))
    if missing or unexpected:
        raise RuntimeError(f"{folder}: missing keys {missing}, unexpected keys {unexpected}")
