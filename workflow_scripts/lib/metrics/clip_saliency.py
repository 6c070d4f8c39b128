"""Highlight detection: average precision and HIT@1 of saliency scores of clips, for each of several raters.

Reproduces jayleicn/moment_detr standalone_eval/eval.py (compute_hl_ap, compute_hl_hit1) and its get_ap, which takes
the curve of scikit-learn's precision_recall_curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import EmptyPrediction, NonFiniteScore, name_some
from workflow_scripts.lib.metrics.windows import as_float

CLIP_LENGTH_S = 2.0


@dataclass(frozen=True)
class ClipRatings:
    """Raters' scores of the clips of N videos, at most C each.

    Attributes
    ----------
    scores : float64 (N, C, R), R raters; 0 for clips that were not rated and past the end
    counts : int64 (N,), clips of every video
    """

    scores: np.ndarray
    counts: np.ndarray

    def rows(self, chosen: np.ndarray) -> "ClipRatings":
        """Return the ratings of some of the videos; `chosen` is int (M,)."""
        return ClipRatings(self.scores[chosen], self.counts[chosen])


@dataclass(frozen=True)
class ClipScores:
    """Predicted saliency of N queries.

    Attributes
    ----------
    scores : float64 (N, C), as many clips as the longest video has; 0 where a list is too short
    best_clip : int64 (N,), index of the highest score (first of equals) in the whole list, which may lie past the end
    is_answered : bool (N,)
    has_other_length : bool (N,), lists that are not as long as their video
    """

    scores: np.ndarray
    best_clip: np.ndarray
    is_answered: np.ndarray
    has_other_length: np.ndarray

    def rows(self, chosen: np.ndarray) -> "ClipScores":
        """Return the scores of some of the queries; `chosen` is int (M,)."""
        return ClipScores(*(a[chosen] for a in (self.scores, self.best_clip, self.is_answered, self.has_other_length)))


def read_clip_scores(
    ids: Sequence[Any], lists: Sequence[Sequence[float] | None], n_clips: np.ndarray, empty_ok: bool
) -> ClipScores:
    """Return lists of saliency scores cut or filled up with zeros to the clips of their videos.

    Raises
    ------
    EmptyPrediction
        If a list is empty, unless `empty_ok`.
    NonFiniteScore
        If a score is not a finite number.
    """
    given: list[Sequence[float]] = [s if isinstance(s, (list, tuple, np.ndarray)) else () for s in lists]
    lengths = np.fromiter(map(len, given), dtype=np.int64, count=len(given))
    if not empty_ok and not lengths.all():
        empty = [ids[i] for i in np.flatnonzero(lengths == 0).tolist()]
        remedy = "`empty_as_miss: true` counts them as misses."
        raise EmptyPrediction(f"no saliency scores: query {name_some(empty)}. {remedy}")
    longest = int(max(lengths.max(initial=1), n_clips.max(initial=1), 1))
    scores, is_listed = np.zeros((len(given), longest)), np.arange(longest) < lengths[:, None]
    try:
        scores[is_listed] = np.array([score for listed in given for score in listed], dtype=np.float64)
    except (TypeError, ValueError):
        scores[is_listed] = [as_float(score) for listed in given for score in listed]
    if not np.isfinite(scores).all():
        wrong = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        places = [f"{ids[i]} (clip {np.flatnonzero(~np.isfinite(scores[i]))[0]})" for i in wrong.tolist()]
        raise NonFiniteScore(f"saliency scores that are not finite numbers: query {name_some(places)}")
    best_clip = np.where(is_listed, scores, -np.inf).argmax(axis=1)
    return ClipScores(scores[:, : int(n_clips.max(initial=1))], best_clip, lengths > 0, lengths != n_clips)


def hit_at_one(predicted: ClipScores, ratings: ClipRatings, minimum: float) -> np.ndarray:
    """Return 1 for queries whose best clip some rater gave at least `minimum`, else 0; float64 (N,)."""
    clip = np.minimum(predicted.best_clip, ratings.scores.shape[1] - 1)
    is_hit = (ratings.scores[np.arange(len(clip)), clip] >= minimum).any(axis=-1)
    return (is_hit & (predicted.best_clip < ratings.counts) & predicted.is_answered).astype(np.float64)


def saliency_ap(predicted: ClipScores, ratings: ClipRatings, minimums: Sequence[float]) -> np.ndarray:
    """Return the average precision of ranking the clips that a rater gave at least a minimum.

    Parameters
    ----------
    predicted : ClipScores
    ratings : ClipRatings of the same N videos
    minimums : M ratings

    Returns
    -------
    float64 (N, M, R)
        0 where a rater gave no clip the minimum, 1 where every clip has it.

    Notes
    -----
    The mean, over the distinct scores at which recall grows, of the highest precision at that score or a lower one.
    """
    is_clip = np.arange(ratings.scores.shape[1]) < ratings.counts[:, None]
    order = np.argsort(np.where(is_clip, -predicted.scores, np.inf), axis=1, kind="stable")
    ranked = np.take_along_axis(predicted.scores, order, axis=1)
    # The last clip of every group of equal scores, and of the video.
    is_last = is_clip & np.ones_like(is_clip)
    is_last[:, :-1] &= (ranked[:, 1:] != ranked[:, :-1]) | ~is_clip[:, 1:]
    by_rank = np.take_along_axis(ratings.scores, order[..., None], axis=1)
    is_positive = by_rank[:, None] >= np.asarray(minimums, dtype=np.float64)[:, None, None]
    is_positive = np.moveaxis(is_positive, 2, 3) & is_clip[:, None, None]
    n_found = np.cumsum(is_positive, axis=-1, dtype=np.int32)
    precision = np.where(is_last[:, None, None], n_found / np.arange(1, n_found.shape[-1] + 1), 0.0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    found_so_far = np.maximum.accumulate(np.where(is_last[:, None, None], n_found, 0), axis=-1)
    grows = np.diff(found_so_far, axis=-1, prepend=0) > 0
    ap = (envelope * grows).sum(axis=-1) / np.maximum(grows.sum(axis=-1), 1)
    n_positive = n_found[..., -1]
    ap = np.where(n_positive == ratings.counts[:, None, None], 1.0, ap)
    return np.where((n_positive == 0) | ~predicted.is_answered[:, None, None], 0.0, ap)
