"""From two-dimensional score maps to candidate spans, their scores, and the results file of MMN and MRNet.

A plain reference for stored maps, after xian-sh/MRNet (evaluation.py) and MCG-NJU/MMN: candidates are the cells of a
map of start and end clip whose score is not zero. Their numbers are those of the rule set `mmn_float32`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import (
    BadReference,
    DuplicateVideo,
    EmptyPrediction,
    MissingPrediction,
    NonFiniteScore,
    name_some,
    refuse_duplicates,
)
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.windows import list_windows

RULES = "mmn_float32"
RANKS = (1, 5)


@dataclass(frozen=True)
class VideoMaps:
    """Maps of the S sentences of one video.

    Attributes
    ----------
    video_id, duration_s, sentences : of the video, S sentences
    contrastive, iou : float32 (S, T, T), both outputs of the network at [start clip, end clip]; 0 where no candidate is
    moments : float (S, 2), annotated spans in seconds
    """

    video_id: str
    duration_s: float
    sentences: Sequence[str]
    contrastive: np.ndarray
    iou: np.ndarray
    moments: np.ndarray


@dataclass(frozen=True)
class MapScores:
    """Result of `evaluate`.

    Attributes
    ----------
    official : `R@1,IoU@t`, `R@5,IoU@t`, `R@{1},mIoU`, `Best_R1`, `Best_R5` (means over the thresholds), as shares
    results : video id -> entry of the results file, by descending mean IoU of the best spans
    """

    official: dict[str, float]
    results: dict[str, dict[str, Any]]


def evaluate(
    videos: Sequence[VideoMaps],
    power: float,
    nms_threshold: float,
    thresholds: Sequence[float] = (0.3, 0.5, 0.7),
    *,
    empty_as_miss: bool = False,
) -> MapScores:
    """Score the maps of all videos of a split.

    Parameters
    ----------
    power : exponent of the contrastive part
    nms_threshold : IoU above which the span with the lower score is dropped
    empty_as_miss : count a map without a score as missed, instead of refusing

    Raises
    ------
    DuplicateVideo, EmptyPrediction, NonFiniteScore, MissingPrediction, BadReference
        If the maps cannot be scored; the message names video and sentence.
    """
    if not videos:
        raise BadReference("no video to score")
    refuse_duplicates((video.video_id for video in videos), DuplicateVideo, "video", "maps")
    ids, names, candidates = [], [], []
    for video in videos:
        _check_shapes(video)
        own = _candidates(video, power, empty_as_miss)
        ids += [f"{video.video_id}#{i}" for i in range(len(own))]
        names += [video.video_id] * len(own)
        candidates += own
    durations_s = np.array([video.duration_s for video in videos for _ in video.sentences])
    targets = list_windows(ids, [[moment] for video in videos for moment in np.asarray(video.moments, float)])
    question, answers = Moments(ids, names, durations_s, targets), Spans(list_windows(ids, candidates))
    options = Options(tuple(thresholds), nms_threshold)
    scored = apply_rules(RULES, question, answers, options)
    official = {
        f"R@{rank},IoU@{t}": float(scored.per_query[f"R{rank}@{t}"].mean()) for rank in RANKS for t in thresholds
    }
    means = {f"Best_R{rank}": float(np.mean([official[f"R@{rank},IoU@{t}"] for t in thresholds])) for rank in RANKS}
    official |= {"R@{1},mIoU": float(scored.per_query["mIoU"].mean())} | means
    return MapScores(official, _results(videos, candidates, scored.per_query["mIoU"]))


def _candidates(video: VideoMaps, power: float, empty_as_miss: bool) -> list[list[list[float]]]:
    """Return start, end and score of the candidates of every sentence, the best first."""
    half = np.float32(0.5)
    n_clips, found = video.iou.shape[-1], []
    for name, contrastive, iou in zip(_sentences(video), video.contrastive, video.iou, strict=True):
        with np.errstate(invalid="ignore"):
            scores = (half * contrastive.astype(np.float32) + half) ** np.float32(power) * iou.astype(np.float32)
        if not np.isfinite(scores).all():
            raise NonFiniteScore(f"a map with NaN or infinite scores: {name}")
        first, last = np.nonzero(scores)
        if not len(first) and not empty_as_miss:
            raise EmptyPrediction(f"a map without any score: {name}")
        bounds = np.stack([first, last + 1], axis=-1).astype(np.float32)
        spans = bounds * np.float32(video.duration_s) / np.float32(n_clips)
        order = np.argsort(-scores[first, last], kind="stable")
        found.append(np.column_stack([spans, scores[first, last]])[order].tolist())
    return found


def _sentences(video: VideoMaps) -> list[str]:
    return [f"video {video.video_id}, sentence {i} ({text!r})" for i, text in enumerate(video.sentences)]


def _check_shapes(video: VideoMaps) -> None:
    n = len(video.sentences)
    shape = video.contrastive.shape
    if not n or shape != video.iou.shape or len(shape) != 3 or shape[0] != n or shape[1] != shape[2]:
        raise MissingPrediction(
            f"video {video.video_id}: {n} sentences, maps {shape} and {video.iou.shape}; expected (sentences, T, T)"
        )
    moments = np.asarray(video.moments, dtype=np.float64)
    if moments.shape != (n, 2) or not np.isfinite(moments).all():
        named = name_some(_sentences(video))
        raise BadReference(f"annotated moments {moments.shape}, expected {n} finite spans: {named}")


def _results(videos: Sequence[VideoMaps], candidates: list, iou: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return the results file: the best span of every sentence, videos by descending mean IoU of these."""
    results, first = {}, 0
    for index, video in enumerate(videos):
        own = slice(first, first + len(video.sentences))
        results[video.video_id] = {
            "idx": index,
            "duration": video.duration_s,
            "sentences": list(video.sentences),
            "gt_moments": np.asarray(video.moments, dtype=np.float32).tolist(),
            "pred_moments": [ranked[0][:2] if ranked else None for ranked in candidates[own]],
            "pred_scores": float(iou[own].mean()),
        }
        first = own.stop
    return dict(sorted(results.items(), key=lambda item: item[1]["pred_scores"], reverse=True))
