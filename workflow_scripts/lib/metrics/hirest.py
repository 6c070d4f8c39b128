"""Video retrieval, moment retrieval and moment segmentation as HiREST scores them.

Reproduces j-min/HiREST evaluate.py (that of QUAG computes the same numbers). Step captions are in `captions`, the
preparation of predicted steps in `step_boundaries`.
"""

from collections.abc import Sequence

import numpy as np

from workflow_scripts.lib.metrics.errors import (
    BadReference,
    DuplicateVideo,
    MissingScore,
    NonFiniteScore,
    name_some,
    refuse_duplicates,
)
from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.questions import Moments, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.scored import Options, Scored, by_length
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps
from workflow_scripts.lib.metrics.windows import as_float, list_windows, window_cautions

THRESHOLDS = (0.5, 0.7)
RANKS = (1, 5, 10, 50)
SIDES = ("recall", "precision")
EPSILON = 1e-8
"""Added to every union, so that an overlap of exactly one half does not reach 0.5."""


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return overlap / (union + 1e-8), union = the smaller of hull and sum of lengths; spans are float64 (..., 2).

    A span that ends before it starts overlaps nothing.
    """
    overlap = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return np.maximum(0.0, overlap) / (np.minimum(hull, lengths) + EPSILON)


FIRST = FirstSpan(lambda predicted, targets: iou(predicted, targets.spans[:, 0]))
"""How a moment is judged."""


def score_moments(question: Moments, answers: Spans, options: Options) -> Scored:
    """Score one span of every query: R@0.5 and R@0.7; `options.clip` is heeded."""
    predicted = answers.moments.clipped(question.durations_s) if options.clip else answers.moments
    overlap = np.where(predicted.counts > 0, FIRST.iou(predicted.spans[:, 0], question.targets), 0.0)
    per_query = FIRST.hits(overlap, THRESHOLDS, "R")
    cautions = window_cautions(question.ids, predicted, question.durations_s)
    return Scored(per_query, lengths=by_length(question, per_query), cautions=cautions)


def moment_names(options: Options) -> tuple[str, ...]:
    """Return the names of the metrics of moments."""
    return tuple(f"R@{t}" for t in THRESHOLDS)


def score_steps(is_prepared: bool, question: Steps, answers: Steps, options: Options) -> Scored:
    """Score the steps of every video: recall and precision at IoU 0.5 and 0.7.

    Parameters
    ----------
    is_prepared : whether predicted steps go through `prepare_steps`
    answers : an empty list of steps has recall and precision 0
    options : `reversed` is heeded

    Raises
    ------
    NonFiniteSpan, ReversedSpan, BadReference

    Notes
    -----
    A step is covered by any step of the other side with an IoU above (not at) the threshold.
    """
    allow_reversed = options.reversed == "miss"
    without = [name for name, steps in zip(question.ids, question.bounds, strict=True) if not len(steps)]
    if without:
        raise BadReference(f"annotations without steps: video {name_some(without)}")
    targets, bounds = list_windows(question.ids, question.bounds), answers.bounds
    predicted = list_windows(question.ids, bounds, allow_reversed=allow_reversed)
    if is_prepared:
        bounds = [prepare_steps(steps, wanted) for steps, wanted in zip(bounds, question.bounds, strict=True)]
        predicted = list_windows(question.ids, bounds, allow_reversed=allow_reversed)
    is_pair = predicted.valid_mask[:, :, None] & targets.valid_mask[:, None]
    overlap = np.where(is_pair, iou(predicted.spans[:, :, None], targets.spans[:, None]), 0.0)
    sides = zip(SIDES, (1, 2), (targets.counts, predicted.counts), strict=True)
    per_query = {
        f"{side}@{t}": (overlap > t).any(axis=axis).sum(axis=1) / np.maximum(counts, 1)
        for side, axis, counts in sides
        for t in THRESHOLDS
    }
    return Scored(per_query, cautions=window_cautions(question.ids, predicted, None))


def step_names(options: Options) -> tuple[str, ...]:
    """Return the names of the metrics of steps."""
    return tuple(f"{side}@{t}" for side in SIDES for t in THRESHOLDS)


def score_videos(question: Rankings, answers: Rankings, options: Options) -> Scored:
    """Score ranked videos of every prompt: R@1, R@5, R@10, R@50.

    Raises
    ------
    MissingScore, NonFiniteScore, DuplicateVideo

    Notes
    -----
    Equal scores are ranked by descending name.
    """
    hits = np.zeros((len(question.ids), len(RANKS)))
    for i, prompt in enumerate(question.ids):
        videos = answers.videos[i]
        scores = [] if answers.scores is None else answers.scores[i]
        _check_ranking(prompt, videos, scores)
        ranked = sorted(zip(map(float, scores), videos, strict=True), reverse=True)
        is_relevant = [name in question.videos[i] for _, name in ranked]
        hits[i] = [any(is_relevant[:rank]) for rank in RANKS]
    return Scored(dict(zip(video_names(options), hits.T, strict=True)))


def video_names(options: Options) -> tuple[str, ...]:
    """Return the names of the metrics of videos."""
    return tuple(f"R@{rank}" for rank in RANKS)


def _check_ranking(prompt: str, videos: Sequence[str], scores: Sequence[float]) -> None:
    if len(videos) != len(scores):
        raise MissingScore(f"{len(videos)} videos, {len(scores)} scores: prompt {prompt}")
    wrong = [name for name, value in zip(videos, scores, strict=True) if not np.isfinite(as_float(value))]
    if wrong:
        raise NonFiniteScore(f"prompt {prompt}: scores that are not finite numbers: video {name_some(wrong)}")
    refuse_duplicates(videos, DuplicateVideo, "video", f"prompt {prompt}")
