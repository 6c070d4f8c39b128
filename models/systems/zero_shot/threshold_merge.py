"""From one score per clip to spans, by a threshold and by merging what lies close together."""

import numpy as np

from models.systems.zero_shot.config import ThresholdMerge
from models.systems.zero_shot.overlap import iou

FLAT = 0.5
"""Score of a whole video whose scores are all equal."""


def merged_spans(scores: np.ndarray, options: ThresholdMerge) -> np.ndarray:
    """Return the spans of all texts of a query, best first, float64 (n, 3): first clip, the one after the last, score.

    Parameters
    ----------
    scores : (texts, T), T at least 1; a row is what one text, the query or another wording of it, gives every clip

    Notes
    -----
    Source: YoucanBaby/VTG-GPT, `infer_qvhighlights.py`. A text whose scores are all equal says nothing and is left out;
    if all are like that, the whole video is the one span. The published code divides by zero there.
    """
    if options.mean_wording and len(scores) > 1:
        scores = np.concatenate([scores, np.mean(scores, axis=0, keepdims=True)])
    telling = _telling(scores)
    if not telling:
        return np.array([[0.0, np.shape(scores)[1], FLAT]])
    spans = np.concatenate([_spans(row, options) for row in telling])
    spans = _apart(spans[np.argsort(-spans[:, 2], kind="stable")], options.nms_threshold)
    spans[:, 1] += 1
    return spans


def saliency(scores: np.ndarray) -> np.ndarray:
    """Return the mean over the texts of the normalised scores (texts, T), float32 (T,); 0 where all are equal."""
    telling = _telling(scores)
    return np.mean(telling, axis=0, dtype=np.float32) if telling else np.zeros(np.shape(scores)[1], dtype=np.float32)


def _telling(scores: np.ndarray) -> list[np.ndarray]:
    """Return the normalised scores of the texts whose scores are not all equal."""
    return [row for row in map(_normalised, np.asarray(scores, dtype=np.float32)) if row is not None]


def _normalised(scores: np.ndarray) -> np.ndarray | None:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else None


def _spans(scores: np.ndarray, options: ThresholdMerge) -> np.ndarray:
    """Return first clip, last clip and score of the spans of one text, float64 (n, 3)."""
    kept = np.flatnonzero(scores > _threshold(scores, options))
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > options.gap) + 1)
    counted = [run if options.mean_of == "kept" else slice(run[0], run[-1] + 1) for run in runs]
    return np.array(
        [
            [run[0], run[-1], 0.5 * len(run) / len(kept) + 0.5 * scores[clips].mean()]
            for run, clips in zip(runs, counted, strict=True)
        ]
    )


def _apart(spans: np.ndarray, threshold: float) -> np.ndarray:
    """Return the spans, given best first, that do not overlap a better one too much."""
    kept = []
    while len(spans):
        kept.append(spans[0])
        # parity: lengths are last - first clip, so that spans of one clip overlap nothing, not even each other.
        spans = spans[1:][iou(spans[0], spans[1:]) < threshold]
    return np.array(kept)


def _threshold(scores: np.ndarray, options: ThresholdMerge) -> float:
    """Return the lower edge of the highest bin that has, with those above it, enough values; 0 if none has."""
    counts, edges = np.histogram(scores, bins=options.bins, range=(0.0, 1.0))
    enough = np.flatnonzero(np.cumsum(counts[::-1])[::-1] >= options.min_clips)
    return float(edges[enough[-1]]) if len(enough) else 0.0
