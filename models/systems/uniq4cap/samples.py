"""From stored tokens and captions to batches."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import BoolTensor, LongTensor, Tensor
from torch.nn.utils.rnn import pad_sequence

from models.systems.interface import Annotated, Item
from models.systems.uniq4cap.config import DataConfig
from models.systems.uniq4cap.words import Ids

_ROUNDING_S = 1e-3
"""Times of rows are stored in single precision."""


def windows(item: Item) -> list[tuple[int | None, Item]]:
    """Return what is described of a video: its windows with their numbers, those with a picture; or None and itself."""
    if item.told.window_s is None:
        return [(None, item)]
    numbers = {
        name: np.floor((rows.times[:, 0] + _ROUNDING_S) / item.told.window_s).astype(np.int64)
        for name, (rows,) in item.streams.items()
    }
    found = []
    for number in np.unique(numbers["visual"]).tolist():
        borders = {name: np.searchsorted(own, [number, number + 1]).tolist() for name, own in numbers.items()}
        found.append((number, replace(item, streams={n: [item.streams[n][0].part(*b)] for n, b in borders.items()})))
    return found


def captions_to_learn(annotated: Annotated, data: DataConfig) -> list[str]:
    """Return the captions of a video that are trained with; empty ones only where these are kept."""
    return [text for text in annotated.captions if text.strip() or data.empty_captions == "keep"]


def drawn_tokens(tokens: np.ndarray, share: float, rng: random.Random) -> np.ndarray:
    """Return a medium's tokens without a share of them, in order; at least one is left."""
    if not share or not len(tokens):
        return tokens
    n_kept = max(1, round((1 - share) * len(tokens)))
    return tokens[sorted(rng.sample(range(len(tokens)), n_kept))]


def drawn_caption(texts: Sequence[str], rng: random.Random, data: DataConfig) -> str:
    """Return one of the captions of a video."""
    return texts[0] if data.references == "first" else rng.choice(texts)


def drawn_bag(texts: Sequence[str], rng: random.Random, size: int) -> list[str]:
    """Return several captions of a video, in random order, or all where there are no more."""
    return rng.sample(texts, min(size, len(texts)))


def collate(samples: Sequence[Mapping[str, Any]], ids: Ids, max_words: int) -> dict[str, Any]:
    """Return a batch.

    Parameters
    ----------
    samples : `video` float (Mv, D), `audio` float (Ma, A) if the system hears; `ids` of a caption or `bag`, those of
        several, where there are captions
    max_words : length that captions are padded to

    Returns
    -------
    dict
        `video` (B, Mv, D), `audio` (B, Ma, A); `valid_video` bool (B, Mv), `valid_audio` bool (B, Ma), and both as
        `valid_media` where samples have unequal numbers of tokens; `ids` int64 and `ids_mask` bool (B, L),
        `start_writing`, the id that a written caption starts with. Of bags: `bags` int64 and `bags_mask` bool
        (B, K, L), `is_text` bool (B, K)
    """
    streams = [name for name in ("video", "audio") if name in samples[0]]
    batch: dict[str, Any] = {name: _padded([sample[name] for sample in samples]) for name in streams}
    valid = {f"valid_{name}": _valid([len(sample[name]) for sample in samples]) for name in streams}
    batch |= valid
    if not all(part.all() for part in valid.values()):
        batch["valid_media"] = torch.cat(list(valid.values()), dim=1)
    if "ids" in samples[0]:
        batch["ids"], batch["ids_mask"] = padded_texts([sample["ids"] for sample in samples], ids, max_words)
        batch["start_writing"] = ids.start_writing
    if "bag" in samples[0]:
        size = max(len(sample["bag"]) for sample in samples)
        bags = [text for sample in samples for text in [*sample["bag"], *[[]] * (size - len(sample["bag"]))]]
        texts, mask = padded_texts(bags, ids, max_words)
        batch["bags"], batch["bags_mask"] = (part.unflatten(0, (-1, size)) for part in (texts, mask))
        batch["is_text"] = batch["bags_mask"].any(dim=2)
    return batch


def padded_texts(texts: Sequence[Sequence[int]], ids: Ids, max_words: int) -> tuple[LongTensor, BoolTensor]:
    """Return texts as ids, int64 (N, L), and where there is a word, bool (N, L)."""
    lengths = torch.tensor([len(text) for text in texts])
    padded = torch.tensor([[*text, *[ids.pad] * (max_words - len(text))] for text in texts])
    return padded, torch.arange(max_words) < lengths[:, None]


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(own, dtype=np.float32)) for own in rows], True)


def _valid(lengths: Sequence[int]) -> BoolTensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
