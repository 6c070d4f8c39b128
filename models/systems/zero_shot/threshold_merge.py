"""From one score per clip to spans, by a threshold and by merging what lies close together."""

from dataclasses import dataclass

import numpy as np

from models.systems.zero_shot.overlap import iou


@dataclass(frozen=True)
class Merging:
    """Constants of the localiser; the defaults are the published ones.

    Attributes
    ----------
    bins : equal parts of the normalised scores, 0 to 1, whose edges are the possible thresholds
    min_clips : values that must lie in or above a bin for its lower edge to be the threshold
    gap : a kept clip joins a span if it is at most so many clips after the last clip of the span
    nms_threshold : a span whose IoU with a better one is this or more is dropped
    """

    bins: int = 10
    min_clips: int = 8
    gap: int = 6
    nms_threshold: float = 0.95


def spans_and_saliency(scores: np.ndarray, merging: Merging) -> tuple[np.ndarray, np.ndarray]:
    """Return spans of all texts of a query, best first, and the saliency of every clip.

    Parameters
    ----------
    scores : (texts, T), T at least 1; a row is what one text, the query or another wording of it, gives every clip

    Returns
    -------
    float64 (n, 3) : first clip, the one after the last clip, score
    float32 (T,) : mean over the texts of the normalised scores

    Notes
    -----
    Source: YoucanBaby/VTG-GPT, `infer_qvhighlights.py`. A text whose scores are all equal says nothing and is left out;
    if all are like that, the whole video is the one span, of score 0.5, and the saliency is 0. The published code
    divides by zero there.
    """
    normalised = [row for row in map(_normalised, np.asarray(scores, dtype=np.float32)) if row is not None]
    n_clips = np.shape(scores)[1]
    if not normalised:
        return np.array([[0.0, n_clips, 0.5]]), np.zeros(n_clips, dtype=np.float32)
    spans = np.concatenate([_spans(row, merging) for row in normalised])
    spans = _apart(spans[np.argsort(-spans[:, 2], kind="stable")], merging.nms_threshold)
    spans[:, 1] += 1
    return spans, np.mean(normalised, axis=0, dtype=np.float32)


def _normalised(scores: np.ndarray) -> np.ndarray | None:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else None


def _spans(scores: np.ndarray, merging: Merging) -> np.ndarray:
    """Return first clip, last clip and score of the spans of one text, float64 (n, 3)."""
    kept = np.flatnonzero(scores > _threshold(scores, merging))
    runs = np.split(kept, np.flatnonzero(np.diff(kept) > merging.gap) + 1)
    return np.array([[run[0], run[-1], 0.5 * len(run) / len(kept) + 0.5 * scores[run].mean()] for run in runs])


def _apart(spans: np.ndarray, threshold: float) -> np.ndarray:
    """Return the spans, given best first, that do not overlap a better one too much."""
    kept = []
    while len(spans):
        kept.append(spans[0])
        # parity: lengths are last - first clip, so that spans of one clip overlap nothing, not even each other.
        spans = spans[1:][iou(spans[0], spans[1:]) < threshold]
    return np.array(kept)


def _threshold(scores: np.ndarray, merging: Merging) -> float:
    """Return the lower edge of the highest bin that has, with those above it, enough values; 0 if none has."""
    counts, edges = np.histogram(scores, bins=merging.bins, range=(0.0, 1.0))
    enough = np.flatnonzero(np.cumsum(counts[::-1])[::-1] >= merging.min_clips)
    return float(edges[enough[-1]]) if len(enough) else 0.0
