"""From start and end logits to one span per query."""

import torch
from torch import Tensor


def best_spans(start_logits: Tensor, end_logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the most probable span with last step >= first step.

    Parameters
    ----------
    start_logits, end_logits : float (B, T), padded steps far below every valid one

    Returns
    -------
    first, last : int64 (B,), inclusive step indices
    score : float32 (B,), product of start and end probability, the largest of all admissible pairs

    Notes
    -----
    parity: first and last come from two separate arg-maxes (of the row and of the column maxima), which can only
    differ from the joint maximum on exact ties; ties go to the lowest index.
    """
    start, end = start_logits.float().softmax(-1), end_logits.float().softmax(-1)
    joint = torch.triu(start[:, :, None] * end[:, None, :])
    first_score, first = joint.amax(2).max(1)
    last = joint.amax(1).argmax(1)
    return first, last, first_score
