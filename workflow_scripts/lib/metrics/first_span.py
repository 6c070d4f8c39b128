"""How a rule set judges the first span of a query: the part of every rule set for moments that R1 is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.metrics.windows import Windows


@dataclass(frozen=True)
class FirstSpan:
    """The overlap of one span per query, and what counts as a hit.

    Attributes
    ----------
    iou : predicted spans float64 (N, 2) in seconds, annotated Windows of the N queries -> float (N,) in `dtype`, the
        IoU with the annotated span that the rule set compares with (its first, or its best)
    is_strict : whether a hit needs an IoU above the threshold (True), or of at least the threshold (False)
    dtype : of the comparison
    """

    iou: Callable[[np.ndarray, Windows], np.ndarray]
    is_strict: bool = False
    dtype: type = np.float64

    def is_hit(self, iou: np.ndarray, threshold: float) -> np.ndarray:
        """Return which IoUs, of any shape, reach the threshold; NaN and -1 (nothing predicted) do not."""
        bound = self.dtype(threshold)
        return iou > bound if self.is_strict else iou >= bound

    def hits(self, iou: np.ndarray, thresholds: Sequence[float], prefix: str = "R1") -> dict[str, np.ndarray]:
        """Return hits per query as shares, float64 (N,), by the name of their recall; NaN where the IoU is NaN."""
        return {f"{prefix}@{t}": np.where(np.isnan(iou), np.nan, self.is_hit(iou, t)) for t in thresholds}
