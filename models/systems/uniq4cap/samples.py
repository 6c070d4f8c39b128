"""From stored tokens and captions to batches."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import BoolTensor, Tensor
from torch.nn.utils.rnn import pad_sequence

from models.systems.interface import Annotated
from models.systems.uniq4cap.config import DataConfig
from models.systems.uniq4cap.words import Ids


def captions_to_learn(annotated: Annotated, data: DataConfig) -> list[str]:
    """Return the captions of a video that are trained with; empty ones only where these are kept."""
    return [text for text in annotated.captions if text.strip() or data.empty_captions == "keep"]


def drawn_caption(texts: Sequence[str], rng: random.Random, data: DataConfig) -> str:
    """Return one of the captions of a video."""
    return texts[0] if data.references == "first" else rng.choice(texts)


def collate(samples: Sequence[Mapping[str, Any]], ids: Ids, max_words: int) -> dict[str, Any]:
    """Return a batch.

    Parameters
    ----------
    samples : `video` float (Mv, D), `audio` float (Ma, A) if the system hears, `ids` where there are captions
    max_words : length that captions are padded to

    Returns
    -------
    dict
        `video` (B, Mv, D), `audio` (B, Ma, A); `valid_media` bool (B, Mv + Ma) where samples have unequal numbers of
        tokens; `ids` int64 and `ids_mask` bool (B, L), `start_writing`, the id that a written caption starts with
    """
    streams = [name for name in ("video", "audio") if name in samples[0]]
    batch: dict[str, Any] = {name: _padded([sample[name] for sample in samples]) for name in streams}
    valid = torch.cat([_valid([len(sample[name]) for sample in samples]) for name in streams], dim=1)
    if not valid.all():
        batch["valid_media"] = valid
    if "ids" in samples[0]:
        lengths = torch.tensor([len(sample["ids"]) for sample in samples])
        batch["ids"] = torch.tensor(
            [[*own, *[ids.pad] * (max_words - len(own))] for own in (s["ids"] for s in samples)]
        )
        batch["ids_mask"] = torch.arange(max_words) < lengths[:, None]
        batch["start_writing"] = ids.start_writing
    return batch


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    return pad_sequence([torch.from_numpy(np.ascontiguousarray(own, dtype=np.float32)) for own in rows], True)


def _valid(lengths: Sequence[int]) -> BoolTensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
