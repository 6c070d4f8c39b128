"""What brings frames and words together in a small network with random weights, before and while it learns to answer.

Not from the paper. It stands in for what published weights bring along: BLIP-2 learnt from images and captions which
word a picture shows, and a language model how to find again what a question names.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def distinct(vectors: Tensor, shared: Tensor) -> Tensor:
    """Return vectors (n, D) of norm 1 without what they have in common, their part along `shared` (D,)."""
    axis = F.normalize(shared, dim=0)
    return F.normalize(vectors - (vectors @ axis)[:, None] * axis, dim=-1)


def contrast(
    frames: Sequence[Tensor],
    words: Sequence[Tensor],
    are_inside: Sequence[Tensor],
    shared: Tensor,
    temperature: float,
) -> Tensor:
    """Return how badly words find the frames of their moments: the mean -log p(a frame inside) over queries, scalar.

    Parameters
    ----------
    frames : of every query, the vectors (T, D) of the frames of its video
    words : of every query, the embeddings (L, D) of its pieces
    are_inside : of every query, bool (T,), frames within a moment; a query without any, or of such frames alone, does
        not count
    shared : (D,), what all words have in common; it is left out of frames and words
    temperature : what cosines are divided by

    Notes
    -----
    A frame's logit is the logarithm of the summed exponentials of its scaled cosines with the words, a soft maximum.
    """
    losses = []
    for of_video, of_query, is_inside in zip(frames, words, are_inside, strict=True):
        if not is_inside.any() or is_inside.all():
            continue
        cosines = distinct(of_video, shared) @ distinct(of_query, shared).T
        logits = (cosines / temperature).logsumexp(1)
        losses.append(logits.logsumexp(0) - logits[is_inside].logsumexp(0))
    return torch.stack(losses).mean() if losses else torch.cat(list(frames)).sum() * 0


def hint(words: Tensor, shared: Tensor) -> Tensor:
    """Return (D,) of norm root D, the mean of a query's words (L, D) without what all have in common."""
    return F.normalize(distinct(words, shared).mean(dim=0), dim=0) * words.shape[1] ** 0.5
