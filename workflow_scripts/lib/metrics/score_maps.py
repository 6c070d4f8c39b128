"""From two-dimensional score maps to candidate spans, metrics and the results file of MMN and MRNet.

Reproduces xian-sh/MRNet (evaluation.py) and MCG-NJU/MMN: candidates are the cells of a map of start and end clip
whose score is not zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import (
    BadReference,
    Caution,
    DuplicateVideo,
    EmptyPrediction,
    MissingPrediction,
    NonFiniteScore,
    caution,
    name_some,
)
from workflow_scripts.lib.metrics.ranked_spans import MMN, RANKS, summarise, suppress, top_iou
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates


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
    metrics : `R1@t`, `R5@t`, `mIoU`, in percent
    results : video id -> entry of the results file, by descending mean IoU of the best spans
    per_query : column name -> (N,) array: `query_id` (video#sentence), `IoU` (rank 1), `best_IoU` (first five)
    cautions : what looked odd
    """

    official: dict[str, float]
    metrics: dict[str, float]
    results: dict[str, dict[str, Any]]
    per_query: dict[str, np.ndarray]
    cautions: tuple[Caution, ...]


def map_scores(contrastive: np.ndarray, iou: np.ndarray, power: float) -> np.ndarray:
    """Return the score of every cell, float32: (contrastive / 2 + 1/2) ** power * iou."""
    half = np.float32(0.5)
    # NaN of a negative base is refused by the caller, with the sentence's name.
    with np.errstate(invalid="ignore"):
        return (half * contrastive.astype(np.float32) + half) ** np.float32(power) * iou.astype(np.float32)


def map_candidates(scores: np.ndarray, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the cells of S maps as spans.

    Parameters
    ----------
    scores : float32 (S, T, T)
    duration_s : of the video

    Returns
    -------
    spans : float32 (C, 2), start and end in seconds of the cells that some sentence scores
    cell_scores : float32 (S, C); 0 where a sentence does not score the cell
    """
    n_clips = scores.shape[-1]
    first, last = np.nonzero((scores != 0).any(axis=0))
    bounds = np.stack([first, last + 1], axis=-1).astype(np.float32)
    return bounds * np.float32(duration_s) / np.float32(n_clips), scores[:, first, last]


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
    videos : maps and annotations
    power : exponent of the contrastive part (0.5; MRNet on TACoS 0.3)
    nms_threshold : IoU above which the span with the lower score is dropped (0.5; TACoS 0.4)
    thresholds : IoUs that make a hit
    empty_as_miss : count a map without a score as missed, instead of refusing

    Returns
    -------
    MapScores

    Raises
    ------
    DuplicateVideo, EmptyPrediction, NonFiniteScore, MissingPrediction, BadReference
        If the maps cannot be scored; the message names video and sentence.

    Notes
    -----
    Cells with equal scores are ranked by start clip, then by end clip; the published code sorts them in no fixed order.
    """
    if not videos:
        raise BadReference("no video to score")
    refuse_duplicates((video.video_id for video in videos), DuplicateVideo, "video")
    results, all_iou, few = {}, [], []
    for index, video in enumerate(videos):
        _check_shapes(video)
        spans, iou, n_kept = _score_video(video, power, nms_threshold, empty_as_miss)
        all_iou.append(iou)
        few += [f"{video.video_id}#{i}" for i in np.flatnonzero(n_kept < max(RANKS))]
        results[video.video_id] = {
            "idx": index,
            "duration": video.duration_s,
            "sentences": list(video.sentences),
            "gt_moments": np.asarray(video.moments, dtype=np.float32).tolist(),
            "pred_moments": spans,
            "pred_scores": float(np.maximum(iou[:, 0], 0).mean()),
        }
    iou = np.concatenate(all_iou)
    metrics = summarise(iou, thresholds, MMN)
    ids = [f"{video.video_id}#{i}" for video in videos for i in range(len(video.sentences))]
    per_query = {
        "query_id": np.array(ids, dtype=object),
        "IoU": np.maximum(iou[:, 0], 0).astype(np.float64),
        "best_IoU": np.maximum(iou.max(axis=1), 0).astype(np.float64),
    }
    ordered = dict(sorted(results.items(), key=lambda item: item[1]["pred_scores"], reverse=True))
    return MapScores(
        _official(metrics, thresholds), metrics, ordered, per_query, caution("FewCandidates", len(few), few)
    )


def _official(metrics: dict[str, float], thresholds: Sequence[float]) -> dict[str, float]:
    shares = {f"R@{rank},IoU@{t}": metrics[f"R{rank}@{t}"] / 100 for rank in RANKS for t in thresholds}
    means = {f"Best_R{rank}": float(np.mean([shares[f"R@{rank},IoU@{t}"] for t in thresholds])) for rank in RANKS}
    return shares | {"R@{1},mIoU": metrics["mIoU"] / 100} | means


def _check_shapes(video: VideoMaps) -> None:
    n = len(video.sentences)
    shape = video.contrastive.shape
    if not n or shape != video.iou.shape or len(shape) != 3 or shape[0] != n or shape[1] != shape[2]:
        raise MissingPrediction(
            f"video {video.video_id}: {n} sentences, maps {shape} and {video.iou.shape}; expected (sentences, T, T)"
        )
    moments = np.asarray(video.moments, dtype=np.float64)
    if moments.shape != (n, 2) or not np.isfinite(moments).all():
        raise BadReference(f"video {video.video_id}: annotated moments {moments.shape}, expected {n} finite spans")


def _score_video(
    video: VideoMaps, power: float, nms_threshold: float, empty_as_miss: bool
) -> tuple[list[list[float] | None], np.ndarray, np.ndarray]:
    """Return the best span of every sentence (None for none), IoUs (S, 5) and the numbers of spans kept (S,)."""
    scores = map_scores(video.contrastive, video.iou, power)
    is_finite = np.isfinite(scores).all(axis=(1, 2))
    if not is_finite.all():
        raise NonFiniteScore(f"maps with NaN or infinite scores: {_name_sentences(video, ~is_finite)}")
    is_empty = ~scores.any(axis=(1, 2))
    if is_empty.any() and not empty_as_miss:
        raise EmptyPrediction(
            f"maps without any score: {_name_sentences(video, is_empty)}. --empty-as-miss counts them as misses."
        )
    spans, cell_scores = map_candidates(scores, video.duration_s)
    order = np.argsort(np.where(cell_scores != 0, -cell_scores, np.inf), axis=1, kind="stable")
    ranked, is_candidate = spans[order], np.take_along_axis(cell_scores, order, axis=1) != 0
    kept = suppress(ranked, is_candidate, nms_threshold, MMN)
    best = [None if empty else span.tolist() for empty, span in zip(is_empty, ranked[:, :1], strict=True)]
    moments = np.asarray(video.moments, dtype=np.float32)
    return [span and span[0] for span in best], top_iou(ranked, kept, moments, MMN), kept.counts


def _name_sentences(video: VideoMaps, chosen: np.ndarray) -> str:
    names = [f"{i} ({video.sentences[i]!r})" for i in np.flatnonzero(chosen)]
    return f"video {video.video_id}, sentence {name_some(names)}"
