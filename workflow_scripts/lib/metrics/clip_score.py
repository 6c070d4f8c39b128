"""CLIPScore of captions: how well they fit the pictures that they describe, by CLIP ViT-B/32.

Two rules are in use. `clipscore` (jmhessel/clipscore; Hessel et al., EMNLP 2021): 2.5 x the cosine, not below 0, of the
text with "A photo depicts" before it. `hirest` (j-min/HiREST evaluate.py): the plain cosine of the bare lower-cased
text, averaged over the frames of a step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.captions import CaptionTexts
from workflow_scripts.lib.metrics.errors import BadReference

WEIGHT = 2.5
PREFIX = "A photo depicts "
RULES = ("clipscore", "hirest")


def clip_score(images: Sequence[np.ndarray], texts: np.ndarray, rule: str) -> np.ndarray:
    """Return the score of every caption.

    Parameters
    ----------
    images : N arrays (K, D), embeddings of the K >= 0 pictures of a caption, of any length
    texts : float (N, D), embeddings of the captions
    rule : one of `RULES`

    Returns
    -------
    float64 (N,)
        Mean over the pictures; NaN where there is none.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; known: {', '.join(RULES)}")
    scores = np.full(len(texts), np.nan)
    for i, (pictures, text) in enumerate(zip(images, texts, strict=True)):
        if len(pictures):
            lengths = np.linalg.norm(pictures, axis=1) * np.linalg.norm(text)
            cosines = np.asarray(pictures, dtype=np.float64) @ np.asarray(text, dtype=np.float64) / lengths
            scores[i] = (WEIGHT * np.maximum(cosines, 0) if rule == "clipscore" else cosines).mean()
    return scores


class ClipScore:
    """The scorer.

    Parameters
    ----------
    network : what embeds pictures and texts
    rule : one of `RULES`
    """

    def __init__(self, network: "OpenClip", rule: str = "clipscore") -> None:
        self._network, self._rule = network, rule

    def __call__(self, texts: CaptionTexts) -> np.ndarray:
        """Return the score of every caption, float64 (N,).

        Raises
        ------
        BadReference
            If no caption has a picture.
        """
        if texts.pictures is None or not any(map(len, texts.pictures)):
            raise BadReference("CLIPScore needs pictures of what the captions describe, and there is none")
        prefix = PREFIX if self._rule == "clipscore" else ""
        words = [prefix + (caption.lower() if self._rule == "hirest" else caption) for caption in texts.captions]
        pictures = [self._network.images(paths) for paths in texts.pictures]
        return clip_score(pictures, self._network.texts(words), self._rule)


class OpenClip:
    """Both halves of a CLIP network, with what it wants done to pictures and texts.

    Parameters
    ----------
    network : CLIP of open_clip
    device : `cpu` or `cuda`
    batch_size : texts or pictures per forward pass
    """

    def __init__(self, network: Any, device: str = "cpu", batch_size: int = 64) -> None:
        from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD, SimpleTokenizer, image_transform

        self._network = network.to(device).eval()
        size = network.visual.image_size
        self._transform = image_transform(size, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
        self._tokenize = SimpleTokenizer(context_length=network.context_length)
        self._device, self._batch_size = device, batch_size

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> "OpenClip":
        """Return the network in OpenAI's archive (`clip_vit_b32` in config/weights.yaml)."""
        from open_clip import load_openai_model

        return cls(load_openai_model(str(path), precision="fp32", device=device), device)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Return embeddings of texts, float32 (N, D); long ones are cut."""
        return self._batches(texts, self._tokenize, self._network.encode_text)

    def images(self, paths: Sequence[Path]) -> np.ndarray:
        """Return embeddings of picture files, float32 (N, D)."""
        import torch
        from PIL import Image

        def read(batch: Sequence[Path]) -> torch.Tensor:
            return torch.stack([self._transform(Image.open(path).convert("RGB")) for path in batch])

        return self._batches(paths, read, self._network.encode_image)

    def _batches(self, items: Sequence, prepare: Callable, encode: Callable) -> np.ndarray:
        import torch

        rows = [np.zeros((0, self._network.visual.output_dim), dtype=np.float32)]
        with torch.inference_mode():
            for first in range(0, len(items), self._batch_size):
                batch = prepare(items[first : first + self._batch_size]).to(self._device)
                rows.append(encode(batch).float().cpu().numpy())
        return np.concatenate(rows)
