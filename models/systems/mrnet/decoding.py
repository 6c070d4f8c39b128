"""From scores of candidates to ranked spans, as xian-sh/MRNet evaluates them."""

import numpy as np
from torch import Tensor

from models.layers.nms import best_apart


def candidate_scores(contrastive: Tensor, iou: Tensor, power: float) -> Tensor:
    """Return the scores of candidates, same shape: ((1 + cosine) / 2) ** power * IoU score (0 to 1)."""
    # A cosine a rounding error below -1 would give NaN.
    return (0.5 * contrastive + 0.5).clamp(min=0) ** power * iou


def ranked_spans(
    scores: np.ndarray, spans: np.ndarray, nms_threshold: float, max_spans: int | None
) -> list[list[tuple[float, float, float]]]:
    """Return (start, end, score) of the spans kept for every query, best first.

    Parameters
    ----------
    scores : float32 (S, C)
    spans : float32 (C, 2), seconds, in row-major order of the cells: of equal scores the first counts as better
    """
    orders = np.argsort(-scores, axis=1, kind="stable")
    kept = [best_apart(order, spans, nms_threshold, max_spans) for order in orders]
    return [
        [(float(spans[c, 0]), float(spans[c, 1]), float(row[c])) for c in places]
        for row, places in zip(scores, kept, strict=True)
    ]
