"""BERTScore of captions: how well their words match those of a reference in the space of a language model.

Follows Tiiiger/bert_score as HiREST calls it (English: roberta-large, output of layer 17, neither idf weights nor
rescaling). Zhang et al., BERTScore, ICLR 2020.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow_scripts.lib.metrics.captions import CaptionTexts

LAYER = 17
MAX_TOKENS = 512
FILES = ("model.safetensors", "config.json", "vocab.json", "merges.txt")


@dataclass(frozen=True)
class Tokens:
    """The tokens of one text.

    Attributes
    ----------
    vectors : float (T, D), one per token, the two around the text included, of any length
    is_word : bool (T,), False for those two
    """

    vectors: np.ndarray
    is_word: np.ndarray


Embedder = Callable[[Sequence[str]], Sequence[Tokens]]


def match(caption: Tokens, reference: Tokens) -> tuple[float, float, float]:
    """Return precision, recall and F1 of the greedy match of two texts.

    Notes
    -----
    A word counts with the cosine to its nearest token of the other text. parity: the tokens around a text do not count,
    but can be the nearest ones; a text without words scores 0.
    """
    if not caption.is_word.any() or not reference.is_word.any():
        return 0.0, 0.0, 0.0
    cosines = _unit(caption.vectors) @ _unit(reference.vectors).T
    precision = float(cosines.max(axis=1)[caption.is_word].mean())
    recall = float(cosines.max(axis=0)[reference.is_word].mean())
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class BertScore:
    """The scorer: F1 of every caption with the reference that suits it best.

    Parameters
    ----------
    embed : texts -> their tokens, e.g. `RobertaEmbedder`
    """

    def __init__(self, embed: Embedder) -> None:
        self._embed = embed

    def __call__(self, texts: CaptionTexts) -> np.ndarray:
        """Return F1 of every caption, float64 (N,)."""
        flat = [text.lower() for texts_of_one in texts.references for text in texts_of_one]
        own = self._embed([caption.lower() for caption in texts.captions])
        wanted = iter(self._embed(flat))
        best = [
            max(match(caption, next(wanted))[2] for _ in references)
            for caption, references in zip(own, texts.references, strict=True)
        ]
        return np.array(best, dtype=np.float64)


class RobertaEmbedder:
    """Tokens of a RoBERTa model as bert_score sees them.

    Parameters
    ----------
    folder : holds `FILES`
    layer : hidden layer whose output is taken; 0 is the embedding
    device : `cpu` or `cuda`
    batch_size : texts per forward pass
    """

    def __init__(self, folder: Path, layer: int = LAYER, device: str = "cpu", batch_size: int = 64) -> None:
        from transformers import RobertaModel, RobertaTokenizer

        self._tokenizer = RobertaTokenizer.from_pretrained(folder, add_prefix_space=True)
        self._model = RobertaModel.from_pretrained(folder, add_pooling_layer=False).to(device).eval()
        self._layer, self._device, self._batch_size = layer, device, batch_size

    def __call__(self, texts: Sequence[str]) -> list[Tokens]:
        """Return the tokens of every text; equal texts are computed once."""
        distinct = sorted(set(texts), key=len)
        known: dict[str, Tokens] = {}
        for first in range(0, len(distinct), self._batch_size):
            chosen = distinct[first : first + self._batch_size]
            known |= zip(chosen, self._embed_batch(chosen), strict=True)
        return [known[text] for text in texts]

    def _embed_batch(self, texts: Sequence[str]) -> list[Tokens]:
        import torch

        limit = min(MAX_TOKENS, self._model.config.max_position_embeddings - 2)
        stripped = [text.strip() for text in texts]
        batch = self._tokenizer(stripped, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        with torch.inference_mode():
            states = self._model(**batch.to(self._device), output_hidden_states=True).hidden_states[self._layer]
        around = (self._tokenizer.cls_token_id, self._tokenizer.sep_token_id)
        found = []
        for rows, ids, mask in zip(
            states.float().cpu(), batch["input_ids"].cpu(), batch["attention_mask"].cpu(), strict=True
        ):
            kept = ids[mask.bool()].numpy()
            found.append(Tokens(rows[mask.bool()].numpy().astype(np.float64), ~np.isin(kept, around)))
        return found
