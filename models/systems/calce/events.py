"""Which frames of a video CALCE shows to the language model, and which of them in full.

Reproduces tjhd1475/CALCE: density peaks clustering with nearest neighbours (DPC-KNN, as in TCFormer), frames at the
borders of events (stage 1), and the frames of the events that the first stage found (stage 2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import BoolTensor, LongTensor, Tensor

N_NEIGHBOURS = 5
NOISE_SCALE = 1e-6
"""Random numbers in [0, 1) are added to the density times this, to tell equal densities apart."""
TALK_WORDS = ("talk", "speak", "say", "describe", "explain", "chat", "shout", "scream")
OUTSIDE = -1
"""Cluster of the frames that the second stage left out."""
MODES = ("event", "information", "interval", "none")


def cluster_count(n_clusters: float, n_frames: int) -> int:
    """Return how many events a video of `n_frames` frames has: `n_clusters`, or up to 1 that share of the frames.

    parity: 1 is a share too, so that every frame is an event.
    """
    return math.ceil(n_clusters) if n_clusters > 1 else max(math.ceil(n_frames * n_clusters), 1)


def cluster(
    features: Tensor,
    n_clusters: float,
    noise: Tensor | None = None,
    mask: BoolTensor | None = None,
    *,
    strict_reference: bool = False,
) -> LongTensor:
    """Group frames into events by DPC-KNN.

    Parameters
    ----------
    features : float (T, C)
    n_clusters : number of events, or their share, see `cluster_count`; a video with fewer frames has one per frame
    noise : float (T,) in [0, 1), or None
        Added to the densities times 1e-6. The published code draws it anew for every sample; without it the result is
        repeatable.
    mask : bool (T,), True for frames that take part, or None for all
    strict_reference : fail on fewer frames than clusters or neighbours, as the published code does

    Returns
    -------
    int64 (T,)
        Cluster of every frame, from 0. That of a masked frame means nothing.

    Raises
    ------
    RuntimeError
        With `strict_reference`, if there are fewer frames than clusters.
    """
    return _group(_distances(features), n_clusters, noise, mask, strict_reference)


def _distances(features: Tensor) -> Tensor:
    """Return the distances (T, T) of frames by their features (T, C), over the root of C."""
    features = features.float()
    return torch.cdist(features, features) / features.shape[1] ** 0.5


def _group(
    distance: Tensor, clusters: float, noise: Tensor | None, mask: Tensor | None, strict_reference: bool
) -> LongTensor:
    """Do what `cluster` says with distances (T, T)."""
    n_frames = len(distance)
    n_clusters = cluster_count(clusters, n_frames)
    n_neighbours = N_NEIGHBOURS if n_clusters >= N_NEIGHBOURS else min(3, max(n_clusters // 2, 1))
    if not strict_reference:
        n_clusters, n_neighbours = min(n_clusters, n_frames), min(n_neighbours, n_frames)
    if n_frames == 0:
        return torch.zeros(0, dtype=torch.long, device=distance.device)
    if mask is not None:
        distance = torch.where(mask, distance, distance.max() + 1)
    density = _density(distance, n_neighbours, noise, mask)
    is_denser = density > density[:, None]
    separation = torch.where(is_denser, distance, distance.max()).amin(1)
    centres = (separation * density).topk(n_clusters).indices
    ids = distance[centres].argmin(0)
    ids[centres] = torch.arange(n_clusters, device=ids.device)
    return ids


def _density(distance: Tensor, n_neighbours: int, noise: Tensor | None, mask: Tensor | None) -> Tensor:
    """Return the density (T,) of the frames: the nearer the neighbours, the higher; 0 where masked."""
    nearest = distance.topk(n_neighbours, largest=False).values
    density = torch.exp(-nearest.square().mean(1))
    if noise is not None:
        density = density + NOISE_SCALE * noise.to(density)
    return density if mask is None else density * mask


def is_about_talking(query: str) -> bool:
    """Return whether a query has one of the words of speech, as a part of any word and in lower case only."""
    return any(word in query for word in TALK_WORDS)


def borders(ids: Tensor) -> BoolTensor:
    """Mark the frames on both sides of every change of `ids` (T,), and the first and the last frame."""
    change = torch.ones(len(ids) + 1, dtype=torch.bool, device=ids.device)
    change[1:-1] = ids[1:] != ids[:-1]
    return change[1:] | change[:-1]


def dilate(mask: Tensor, reach: int) -> BoolTensor:
    """Mark the frames that lie at most `reach` frames from a marked one; bool (T,)."""
    if reach == 0 or len(mask) == 0:
        return mask
    return F.max_pool1d(mask.float()[None, None], 2 * reach + 1, stride=1, padding=reach)[0, 0].bool()


def spoken_frames(n_frames: int, duration_s: float, spans: Sequence[tuple[float, float]]) -> BoolTensor:
    """Mark the frames of the speech spans (start and end in seconds); spans after the end of the video mark none."""
    mask = torch.zeros(n_frames, dtype=torch.bool)
    for start_s, end_s in spans:
        mask[int(start_s * n_frames / duration_s) : int(end_s * n_frames / duration_s) + 1] = True
    return mask


def first_stage_key_frames(
    cluster_ids: Tensor | None,
    n_frames: int,
    duration_s: float,
    query: str,
    speech_spans: Sequence[tuple[float, float]],
    reach: int,
    mode: str = "event",
    frame_means: Tensor | None = None,
) -> BoolTensor:
    """Return which frames the first stage shows in full.

    Parameters
    ----------
    cluster_ids : int64 (T,) of `cluster`; needed by mode `event`
    n_frames : T
    duration_s : duration of the video
    query : a query about talking takes the frames with speech instead of the borders, if there are any spans
    speech_spans : starts and ends in seconds
    reach : frames at most so far from a border are taken too
    mode : `event`: borders of events; `information`: both frames of the third of neighbours that differ most;
        `interval`: every second frame; `none`: no frame
    frame_means : float (T, C), mean feature of every frame; needed by mode `information`

    Returns
    -------
    bool (T,) on the CPU

    Raises
    ------
    ValueError
        If the mode is unknown or its input is missing.
    """
    if mode == "event" and cluster_ids is not None:
        if speech_spans and is_about_talking(query):
            return spoken_frames(n_frames, duration_s, speech_spans)
        return dilate(borders(cluster_ids.cpu()), reach)
    if mode == "information" and frame_means is not None:
        return dilate(_changing_frames(frame_means.cpu().float()), reach)
    mask = torch.zeros(n_frames, dtype=torch.bool)
    if mode == "interval":
        mask[1::2] = True
    elif mode != "none":
        raise ValueError(f"key frames: mode {mode!r} is not one of {', '.join(MODES)}, or its input is missing")
    return mask


def _changing_frames(frame_means: Tensor) -> BoolTensor:
    n_frames = len(frame_means)
    similarity = F.cosine_similarity(frame_means[1:], frame_means[:-1], dim=1)
    first = similarity.topk(n_frames // 3, largest=False).indices
    mask = torch.zeros(n_frames, dtype=torch.bool)
    mask[first] = mask[first + 1] = True
    return mask


@dataclass(frozen=True)
class SecondStage:
    """How the second stage chooses frames.

    Attributes
    ----------
    n_clusters : events of a video, or their share of the frames, see `cluster_count`
    top_clusters : events that are kept at most, those with most frames in the windows of the first stage
    reach : frames at most so far from the border of an event are shown in full (published name: bias1)
    filter_reach : frames at most so far from a kept one are kept too (bias2; 1 on QVHighlights, 2 on Charades-STA)
    strict_reference : fail where the published code fails, and show no frame where it shows none; otherwise windows
        are cut to the video, and the whole video stands for windows without a frame
    """

    n_clusters: float = 12
    top_clusters: int = 8
    reach: int = 3
    filter_reach: int = 1
    strict_reference: bool = False


def second_stage_frames(
    qformer_rows: Tensor,
    times_s: Tensor,
    windows: Sequence[Sequence[float]],
    query: str,
    speech_spans: Sequence[tuple[float, float]],
    duration_s: float,
    options: SecondStage,
    noises: tuple[Tensor | None, Tensor | None] = (None, None),
) -> tuple[BoolTensor, BoolTensor]:
    """Return the frames that the second stage shows in full, and those that it shows in short.

    Parameters
    ----------
    qformer_rows : float (T, nq, d), output of the Q-Former
    times_s : float (T,), times of the frames, never decreasing
    windows : answer of the first stage, starts and ends in seconds
    query, speech_spans, duration_s : as in `first_stage_key_frames`
    options : see `SecondStage`
    noises : of the two clusterings, see `cluster`

    Returns
    -------
    key, other : bool (T,) each on the CPU, with no frame in common, before compression

    Raises
    ------
    IndexError
        With `strict_reference`, if there is no window, or one begins after the last frame or ends before the first.
    RuntimeError
        With `strict_reference`, if there are fewer frames than clusters.
    """
    n_frames = len(times_s)
    strict = options.strict_reference
    distance = _distances(F.normalize(qformer_rows.float(), dim=-1).flatten(1))
    ids = _group(distance, options.n_clusters, noises[0], None, strict).cpu()
    kept = _kept_frames(ids, times_s, windows, options)
    inside = _group(distance, options.n_clusters, noises[1], kept.to(distance.device), strict).cpu()
    if speech_spans and is_about_talking(query):
        key = spoken_frames(n_frames, duration_s, speech_spans)
    else:
        key = borders(inside.masked_fill(~kept, OUTSIDE))
    key = dilate(key, options.reach) & kept
    return key, kept & ~key


def _kept_frames(ids: Tensor, times_s: Tensor, windows: Sequence[Sequence[float]], options: SecondStage) -> BoolTensor:
    """Mark the frames in the windows and those of the events that have most of them."""
    hits = _frames_in_windows(times_s.cpu().float().round(), windows, options.strict_reference)
    n_clusters = cluster_count(options.n_clusters, len(times_s))
    counts = torch.zeros(n_clusters, dtype=torch.long).index_add_(0, ids, hits)
    # parity: of equal counts the higher cluster numbers are kept
    top = counts.argsort(stable=True)[-options.top_clusters :]
    top = top[counts[top] > 0]
    return dilate(torch.isin(ids, top) | (hits > 0), options.filter_reach)


def _frames_in_windows(rounded_s: Tensor, windows: Sequence[Sequence[float]], strict: bool) -> LongTensor:
    """Return how many windows every frame is in; `rounded_s` (T,) are times in whole seconds."""
    if strict and not windows:
        raise IndexError("the first stage's list of windows is empty; strict_reference false shows the whole video")
    hits = torch.zeros(len(rounded_s), dtype=torch.long)
    for start_s, end_s in windows:
        first = int(torch.searchsorted(rounded_s, float(start_s)))
        last = int(torch.searchsorted(rounded_s, float(end_s), right=True)) - 1
        if strict and (first == len(rounded_s) or last < 0):
            raise IndexError(f"window [{start_s}, {end_s}] has no frame at its start or end")
        # parity: the last frame of a window is left out
        hits[first : max(last, 0)] += 1
    if not strict and not hits.any():
        hits += 1
    return hits
