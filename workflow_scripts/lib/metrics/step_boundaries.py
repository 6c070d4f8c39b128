"""The preparation of predicted steps before HiREST's segmentation score.

Reproduces the boundary preprocessing of j-min/HiREST evaluate.py, which is on for the published numbers. It uses the
annotated moment: predicted steps outside are dropped, and what is left is made to fill the moment.
"""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.lib.metrics.errors import BadReference
from workflow_scripts.lib.metrics.windows import read_windows


def prepare_steps(
    steps: Sequence[Sequence[float]], reference: Sequence[Sequence[float]], name: str = "?"
) -> list[list[float]]:
    """Return steps that follow one another without gap or overlap from start to end of the annotated moment.

    Parameters
    ----------
    steps : predicted start and end in seconds, in the order of the system
    reference : annotated steps; the first start and the last end make the moment
    name : of the video, for messages

    Returns
    -------
    list of [start, end]
        The whole moment as one step if no predicted step lies strictly inside.

    Raises
    ------
    NonFiniteSpan, ReversedSpan
        If a step is no span.
    BadReference
        If there are no annotated steps.

    Notes
    -----
    Of overlapping or touching steps the later in the list stays (bounds count as pixels there, so that a step of 4 to
    5 s has length 2). The published code orders the list by an unstable sort of equal values; here the order is
    always last to first.
    """
    if not len(reference):
        raise BadReference(f"annotations without steps: video {name}")
    moment_start, moment_end = reference[0][0], reference[-1][1]
    predicted = read_windows([name], [steps], False, True)
    spans = predicted.spans[0, : predicted.counts[0]]
    spans = spans[(spans[:, 0] > moment_start) & (spans[:, 1] < moment_end)]
    kept = _last_of_overlapping(spans)
    filled: list[list[float]] = []
    position = moment_start
    for start, end in sorted(kept.tolist()):
        if start > position:
            filled.append([position, start])
        filled.append([start, end])
        position = end
    if not filled or position < moment_end:
        filled.append([position, moment_end])
    return filled


def _last_of_overlapping(spans: np.ndarray) -> np.ndarray:
    kept, is_left = [], np.ones(len(spans), dtype=bool)
    for i in range(len(spans) - 1, -1, -1):
        if is_left[i]:
            kept.append(i)
            overlap = np.minimum(spans[i, 1], spans[:i, 1]) - np.maximum(spans[i, 0], spans[:i, 0]) + 1
            is_left[:i] &= overlap <= 0
    return spans[kept]
