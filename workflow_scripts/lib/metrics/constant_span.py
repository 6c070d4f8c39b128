"""The best answer that looks at neither video nor query: one span for all, a baseline for reports."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workflow_scripts.lib.metrics.span_index import hull_iou
from workflow_scripts.lib.metrics.top_span import recall_at


@dataclass(frozen=True)
class ConstantSpan:
    """One span for every query.

    Attributes
    ----------
    unit : `seconds`, or `duration` (share of the video's duration)
    start, end : bounds in that unit
    r1 : percentage of the moments it was searched on that it hits
    """

    unit: Literal["seconds", "duration"]
    start: float
    end: float
    r1: float

    def spans(self, durations_s: np.ndarray) -> np.ndarray:
        """Return the predicted spans in seconds, float64 (N, 2), cut at the end of each video."""
        bounds, durations_s = np.array([self.start, self.end]), np.asarray(durations_s, dtype=np.float64)
        if self.unit == "duration":
            return bounds * durations_s[:, None]
        return np.minimum(bounds, durations_s[:, None])


def best_constant_span(
    moments: np.ndarray, durations_s: np.ndarray, threshold: float, n_intervals: int = 40
) -> ConstantSpan:
    """Search a grid of spans, in seconds and relative to the duration, for the highest R1.

    Parameters
    ----------
    moments : float64 (N, 2), seconds; N >= 1
    durations_s : float64 (N,), seconds
    threshold : IoU from which a moment counts as hit
    n_intervals : intervals of the grid, from 0 to the latest end of a moment, and from 0 to the whole duration

    Returns
    -------
    ConstantSpan
        The best of all; on ties the earliest start, then the earliest end, seconds before shares.

    Raises
    ------
    ValueError
        If there is no moment or the numbers of moments and durations differ.
    """
    moments, durations_s = np.asarray(moments, dtype=np.float64), np.asarray(durations_s, dtype=np.float64)
    if not len(moments) or moments.shape != (len(durations_s), 2):
        raise ValueError(f"moments {moments.shape}, durations {durations_s.shape}: need (N, 2) and (N,), N >= 1")
    first, last = np.triu_indices(n_intervals + 1, k=1)
    best: ConstantSpan | None = None
    for unit, extent in (("seconds", float(moments[:, 1].max())), ("duration", 1.0)):
        edges = np.linspace(0.0, extent, n_intervals + 1)
        for start, end in zip(edges[first], edges[last], strict=True):
            candidate = ConstantSpan(unit, float(start), float(end), r1=0.0)
            r1 = recall_at(hull_iou(candidate.spans(durations_s), moments), threshold)
            if best is None or r1 > best.r1:
                best = replace(candidate, r1=r1)
    return best
