"""Thinning out the frames of the second stage of CALCE until they fit.

Reproduces tjhd1475/CALCE, in closed form where the published code loops: halving a run of neighbouring frames leaves
single frames, so the runs are independent of one another and the order in which they are halved is known at the start.
"""

import numpy as np
import torch
from torch import BoolTensor

OTHER_LOSS, KEY_LOSS = 0.7, 0.3
"""Chances that a frame that was drawn is left out."""


def compress(
    key: BoolTensor, other: BoolTensor, target: int, generator: torch.Generator | None = None
) -> tuple[BoolTensor, BoolTensor]:
    """Thin out two masks until at most `target` frames are left.

    In turn the longest run of other frames and the longest run of key frames lose every second frame (the earlier one
    of equal runs first). If that does not suffice, frames are drawn, other ones and key ones in turn, and left out by
    chance.

    Parameters
    ----------
    key, other : bool (T,) on the CPU, with no frame in common
    target : frames that may stay; at least one does
    generator : of the CPU; None is torch's own. Per turn and mask: `randint` for the frame, then `rand`

    Returns
    -------
    key, other : bool (T,); `target - 1` frames may be left, since a turn is finished
    """
    target = max(target, 1)
    key_frames, other_frames = (mask.numpy() for mask in (key, other))
    excess = int(key_frames.sum() + other_frames.sum()) - target
    if excess <= 0:
        return key, other
    key_runs, other_runs = _runs(key_frames), _runs(other_frames)
    if len(key_runs) == 0:
        # parity: without key frames the published loop ends after one turn
        other_runs = other_runs[:1]
    n_turns = max(len(key_runs), len(other_runs))
    lost = np.zeros((n_turns, 2), np.int64)
    lost[: len(other_runs), 0] = other_runs[:, 1] // 2
    lost[: len(key_runs), 1] = key_runs[:, 1] // 2
    n_steps = int(np.searchsorted(lost.reshape(-1).cumsum(), excess)) + 1
    halved_other = _halve(other_frames, other_runs[: (n_steps + 1) // 2])
    halved_key = _halve(key_frames, key_runs[: n_steps // 2])
    return _drop_by_chance(halved_key, halved_other, target, generator)


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return start and length of every run of True, int64 (R, 2), the longest first, then the earliest."""
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    order = np.argsort(-lengths, kind="stable")
    return np.stack([starts[order], lengths[order]], axis=1)


def _halve(mask: np.ndarray, runs: np.ndarray) -> np.ndarray:
    halved = mask.copy()
    for start, length in runs:
        halved[start + 1 : start + length : 2] = False
    return halved


def _drop_by_chance(
    key: np.ndarray, other: np.ndarray, target: int, generator: torch.Generator | None
) -> tuple[BoolTensor, BoolTensor]:
    key_frames, other_frames = np.flatnonzero(key).tolist(), np.flatnonzero(other).tolist()
    while len(key_frames) + len(other_frames) > target:
        for frames, chance in ((other_frames, OTHER_LOSS), (key_frames, KEY_LOSS)):
            if frames and len(key_frames) + len(other_frames) > 1:
                drawn = int(torch.randint(0, len(frames), (1,), generator=generator))
                if float(torch.rand(1, generator=generator)) < chance:
                    del frames[drawn]
    return _mask(len(key), key_frames), _mask(len(key), other_frames)


def _mask(n_frames: int, frames: list[int]) -> BoolTensor:
    mask = torch.zeros(n_frames, dtype=torch.bool)
    mask[frames] = True
    return mask
