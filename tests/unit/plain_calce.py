"""CALCE's choice of frames once more, as plainly as its description reads: loops over frames, one step at a time."""

import math

import torch
from torch import BoolTensor, Tensor

from models.systems.calce.events import SecondStage


def plain_second_stage(
    rows: Tensor, times_s: Tensor, windows: list, noises: tuple[Tensor, Tensor], options: SecondStage
) -> tuple[BoolTensor, BoolTensor]:
    """Choose the frames of the second stage for a query that is not about talking."""
    n_frames = len(times_s)
    features = torch.stack([torch.cat([token / token.norm() for token in frame]) for frame in rows])
    ids = plain_cluster(features, options.n_clusters, noises[0], None).tolist()
    marked = torch.zeros(n_frames, dtype=torch.bool)
    counts = [0] * options.n_clusters
    seconds = [round(float(time_s)) for time_s in times_s]
    for start_s, end_s in windows:
        first = min(i for i in range(n_frames) if seconds[i] >= start_s)
        last = max(i for i in range(n_frames) if seconds[i] <= end_s)
        for i in range(first, last):
            marked[i] = True
            counts[ids[i]] += 1
    ranking = sorted(range(options.n_clusters), key=lambda event: counts[event])
    top = [event for event in ranking[-options.top_clusters :] if counts[event] > 0]
    kept = torch.tensor([bool(marked[i]) or ids[i] in top for i in range(n_frames)])
    kept = plain_dilate(kept, options.filter_reach)
    inside = plain_cluster(features, options.n_clusters, noises[1], kept).tolist()
    inside = [inside[i] if bool(kept[i]) else -1 for i in range(n_frames)]
    key = torch.zeros(n_frames, dtype=torch.bool)
    key[0] = key[n_frames - 1] = True
    for i in range(1, n_frames):
        if inside[i] != inside[i - 1]:
            key[i - 1] = key[i] = True
    key = plain_dilate(key, options.reach) & kept
    return key, kept & ~key


def plain_compress(
    key: BoolTensor, other: BoolTensor, target: int, generator: torch.Generator
) -> tuple[BoolTensor, BoolTensor]:
    """Halve the longest runs in turn, at most 1000 times; then drop drawn frames by chance."""
    masks = {"other": other.clone(), "key": key.clone()}
    target = max(target, 1)
    for _ in range(1000):
        if _count(masks) <= target:
            break
        _halve_longest_run(masks["other"])
        if _count(masks) <= target or not bool(masks["key"].any()):
            break
        _halve_longest_run(masks["key"])
    while _count(masks) > target:
        for name, chance in (("other", 0.7), ("key", 0.3)):
            frames = [i for i in range(len(key)) if bool(masks[name][i])]
            if frames and _count(masks) > 1:
                drawn = frames[int(torch.randint(0, len(frames), (1,), generator=generator))]
                if float(torch.rand(1, generator=generator)) < chance:
                    masks[name][drawn] = False
    return masks["key"], masks["other"]


def _count(masks: dict[str, BoolTensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def _halve_longest_run(mask: BoolTensor) -> None:
    longest: list[int] = []
    run: list[int] = []
    for i in range(len(mask)):
        run = [*run, i] if bool(mask[i]) else []
        if len(run) > len(longest):
            longest = run
    for i in longest[1::2]:
        mask[i] = False


def plain_cluster(features: Tensor, n_clusters: int, noise: Tensor, mask: BoolTensor | None) -> Tensor:
    """Density peaks clustering with five neighbours, frame by frame; distances come from `torch.cdist`."""
    n_frames, width = features.shape
    distance = (torch.cdist(features, features) / math.sqrt(width)).clone()
    if mask is not None:
        far = float(distance.max()) + 1
        for j in range(n_frames):
            if not bool(mask[j]):
                distance[:, j] = far
    density = torch.zeros(n_frames)
    for i in range(n_frames):
        nearest = torch.sort(distance[i]).values[:5]
        density[i] = torch.exp(-(nearest**2).mean()) + 1e-6 * noise[i]
        if mask is not None and not bool(mask[i]):
            density[i] = 0
    separation = torch.full((n_frames,), float(distance.max()))
    for i in range(n_frames):
        for j in range(n_frames):
            if density[j] > density[i]:
                separation[i] = min(separation[i], distance[i, j])
    centres = (separation * density).topk(n_clusters).indices.tolist()
    ids = torch.zeros(n_frames, dtype=torch.long)
    for i in range(n_frames):
        ids[i] = min(range(n_clusters), key=lambda rank: float(distance[centres[rank], i]))
    for rank, centre in enumerate(centres):
        ids[centre] = rank
    return ids


def plain_dilate(mask: BoolTensor, reach: int) -> BoolTensor:
    """Mark every frame that has a marked one within reach."""
    n = len(mask)
    near = [any(bool(mask[j]) for j in range(max(0, i - reach), min(n, i + reach + 1))) for i in range(n)]
    return torch.tensor(near, dtype=torch.bool)
