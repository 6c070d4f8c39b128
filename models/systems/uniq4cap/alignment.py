"""Losses that align towers with texts before a captioner is trained.

The release has none of it, only towers that have been aligned: what the paper's figure names is written out here by our
own rule.
"""

import torch
import torch.nn.functional as F
from torch import BoolTensor, Tensor


def nce(media: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return how badly media and texts find each other, the mean of both directions.

    Parameters
    ----------
    media, texts : unit vectors (N, E), of which equal numbers belong together
    scale : what their products are multiplied by
    """
    logits, own = scale * media @ texts.t(), torch.arange(len(media), device=media.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.t(), own)) / 2


def mil_nce(media: Tensor, bags: Tensor, is_text: BoolTensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return how badly media find one of their texts among all, and bags of texts their medium.

    Parameters
    ----------
    media : unit vectors (N, E)
    bags : unit vectors (N, K, E), the texts of each medium
    is_text : bool (N, K), at least one per medium

    Notes
    -----
    The loss is the mean of both.
    """
    products = scale * torch.einsum("ie,jke->ijk", media, bags)
    products = products.masked_fill(~is_text, -torch.inf)
    together = products.logsumexp(dim=2)
    own = together.diagonal()
    return (products.flatten(1).logsumexp(dim=1) - own).mean(), (together.logsumexp(dim=0) - own).mean()
