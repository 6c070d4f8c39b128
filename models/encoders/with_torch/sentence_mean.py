"""Mean over the tokens of a transformers text model, loaded: settings are in `models.encoders.sentence_mean`."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from models.encoders.interface import Weights
from models.encoders.sentence_mean import Config

UNUSED_HEADS = ("vocab_", "cls.", "lm_head.")
"""Parts of published files that predict words: the body has no place for them."""
UNUSED_BODY = ("pooler.",)
"""Parts of the library's body that published files lack and that token states do not pass."""


class SentenceMeanEncoder:
    """One row (1, D) per sentence: the mean over all its tokens, start and end included."""

    def __init__(self, config: Config, weights: Weights, device: str) -> None:
        self.config, self.device = config, device
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
        tokens = self.tokenizer(sentence, return_tensors="pt", truncation=True).to(self.device)
        states = self.network(**tokens).last_hidden_state
        if self.config.layer_norm:
            states = F.layer_norm(states, states.shape[-1:])
        return states.mean(dim=1).float().cpu().numpy()


def _require_same_keys(folder: str, loading: dict[str, Any]) -> None:
    """Refuse what the library only warns of: tensors that stay random, or that nobody reads."""
    missing = sorted(key for key in loading["missing_keys"] if not key.startswith(UNUSED_BODY))
    unexpected = sorted(key for key in loading["unexpected_keys"] if not key.startswith(UNUSED_HEADS))
    if missing or unexpected:
        raise RuntimeError(f"{folder}: missing keys {missing}, unexpected keys {unexpected}")
