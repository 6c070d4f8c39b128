"""From rows of frames and a query's row to ranked spans: frames that look alike in a row are cut into segments.

Nuetee/TAG, `vlm_localizer.py` and `llm_prompting.select_proposal`, with its option `--tckmeans`.
"""

import numpy as np
from scipy import optimize

from models.systems.zero_shot.config import Segments
from models.systems.zero_shot.overlap import iou
from models.systems.zero_shot.temporal_clusters import cluster, smoothed
from models.systems.zero_shot.turning_points import earlier_starts

IOU_POWER = 0.6
"""Of the overlap with a span that speaks for another one."""
ALIKE = 1e-6
"""Scores that differ by less are equal: there is nothing to bend."""


def segment_spans(rows: np.ndarray, query: np.ndarray, options: Segments) -> np.ndarray:
    """Return spans by score, best first, float64 (n, 3): first frame, the one after the last, score (at most 1).

    Parameters
    ----------
    rows : (T, R, D), R rows of every frame, T at least 1; frames follow one another at equal distances
    query : (D,)
    """
    scores, best = frame_scores(rows, query)
    above = scores > options.min_score
    kept = np.flatnonzero(_majority(above))
    kept = kept if len(kept) else np.arange(len(rows))
    aligned = _aligned(scores[kept], options.gamma)
    places = (kept / len(rows)).astype(np.float32)[:, None]
    seen = np.concatenate([rows[kept, best[kept]].astype(np.float32), places], axis=1)
    labels = cluster(smoothed(seen, options.smoothing), options.clusters, options.window)
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(kept)]])
    spans = _candidates(cuts, aligned, len(rows) * options.longest)
    spans[:, :2] = np.append(kept, len(rows))[spans[:, :2].astype(int)]
    if not len(spans):
        spans = np.array([[0.0, len(rows), 1.0]])
    spans = spans[np.argsort(-spans[:, 2], kind="stable")]
    spans[:, 0] = earlier_starts(spans[:, 0].astype(int), scores, above, options.stride)
    spans[:, 2] /= spans[0, 2] or 1.0
    return spans[: options.spans]


def ranked(spans: np.ndarray) -> np.ndarray:
    """Return spans (n, 3) by how much the others speak for them: overlap times score, added up."""
    scores = np.maximum(spans[:, 2], 0)
    weights = np.array([(iou(span, spans) ** IOU_POWER * scores).sum() for span in spans])
    # The published sort leaves open which of equals comes first; they are the same span.
    return spans[np.argsort(-weights, kind="stable")]


def frame_scores(rows: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best cosine (T,) of a frame's rows with the query, and which row it was."""
    rows, query = np.asarray(rows, dtype=np.float32), np.asarray(query, dtype=np.float32)
    lengths = np.maximum(np.linalg.norm(rows, axis=2) * np.linalg.norm(query), 1e-8)
    cosines = rows @ query / lengths
    return cosines.max(axis=1), cosines.argmax(axis=1)


def _majority(mask: np.ndarray) -> np.ndarray:
    """Return the mask (T,) without frames that stand alone: fewer than two of three neighbours are set."""
    if len(mask) < 3:
        return mask
    padded = np.pad(mask, 1).astype(int)
    is_kept = mask & (padded[:-2] + padded[1:-1] + padded[2:] >= 2)
    is_kept[0] = mask[0]  # parity: the first frame has no vote.
    return is_kept


def _aligned(scores: np.ndarray, gamma: float) -> np.ndarray:
    """Return scores (n,) bent to a normal distribution and stretched to a range of `gamma` at least."""
    scores = scores.astype(np.float64)
    if (scores <= 0).any():
        scores = scores + abs(scores.min()) + 1e-6
    spread = scores.max() - scores.min()
    if spread < ALIKE:
        return scores
    bent = _box_cox(scores, optimize.minimize_scalar(_misfit, bounds=(-2, 2), method="bounded", args=(scores,)).x)
    return (bent - bent.min()) / (bent.max() - bent.min()) * max(spread, gamma) + scores.min()


def _box_cox(scores: np.ndarray, power: float) -> np.ndarray:
    return np.log(scores) if power == 0 else (scores**power - 1) / power


def _misfit(power: float, scores: np.ndarray) -> float:
    bent = _box_cox(scores, power)
    # parity: the logarithm is that of the bent scores, not of the scores as in Box and Cox.
    return -np.log(np.abs(bent)).sum() + 0.5 * len(bent) * np.log(bent.var(ddof=1))


def _candidates(cuts: np.ndarray, scores: np.ndarray, longest: float) -> np.ndarray:
    """Return first row, the one after the last, and score of what lies between any two cuts, (n, 3)."""
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    found = []
    for number, start in enumerate(cuts):
        for end in cuts[number + 1 :]:
            if end - start <= longest:
                inside, n_outside = sums[end] - sums[start], len(scores) - (end - start)
                outside = (sums[-1] - inside) / n_outside if n_outside else 0.0
                found.append((start, end, round(inside / (end - start) - outside, 4)))
    return np.array(found).reshape(-1, 3)
