"""The preparation of predicted steps before HiREST's segmentation score.

Reproduces the boundary preprocessing of j-min/HiREST evaluate.py, which is on for the published numbers. It uses the
annotated moment: predicted steps outside are dropped, and what is left is made to fill the moment.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def prepare_steps(steps: Sequence[Sequence[float]], reference: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return steps that follow one another without gap or overlap from start to end of the annotated moment.

    Parameters
    ----------
    steps : predicted start and end in seconds, in the order of the system
    reference : annotated steps, one or more; the first start and the last end make the moment

    Returns
    -------
    list of [start, end]
        The whole moment as one step if no predicted step lies strictly inside.

    Notes
    -----
    Of overlapping or touching steps the later in the list stays (bounds count as pixels there, so that a step of 4 to
    5 s has length 2). The published code orders the list by an unstable sort of equal values; here the order is
    always last to first. A step that ends before it starts (`Options.reversed`) stays in, as it does there.
    """
    moment_start, moment_end = reference[0][0], reference[-1][1]
    spans = np.array(steps, dtype=np.float64).reshape(-1, 2)
    spans = spans[(spans[:, 0] > moment_start) & (spans[:, 1] < moment_end)]
    kept = sorted(_last_of_overlapping(spans).tolist(), key=lambda span: span[0])
    if not kept:
        return [[moment_start, moment_end]]
    filled = [[moment_start, kept[0][0]], kept[0]]
    for before, after in pairwise(kept):
        filled += [[before[1], after[0]], after]
    return [*filled, [kept[-1][1], moment_end]]


def _last_of_overlapping(spans: np.ndarray) -> np.ndarray:
    kept, is_left = [], np.ones(len(spans), dtype=bool)
    for i in range(len(spans) - 1, -1, -1):
        if is_left[i]:
            kept.append(i)
            overlap = np.minimum(spans[i, 1], spans[:i, 1]) - np.maximum(spans[i, 0], spans[:i, 0]) + 1
            is_left[:i] &= overlap <= 0
    return spans[kept]
