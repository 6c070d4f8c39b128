"""Sampling rules: from presentation times to the frames that a network sees. Pure functions on integers and rationals.

A feature file names a rule (`sampling: {rule: ffmpeg_fps, rate: 1}`); `RULES` maps the name to its function. A new rule
is one more function there.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.clip_windows import (
    HERO_RATE,
    TAILS,
    hero_clips,
    i3d_chunks,
    slowfast_positions,
    windows_in,
    windows_in_blocks,
)
from workflow_scripts.lib.media.media_error import MediaError
from workflow_scripts.lib.media.sparse_sampling import (
    lavis_edges,
    lavis_head,
    lavis_uniform,
    linspace_frames,
    seek_per_second,
)

# Floats in YAML stand for simple fractions: 0.1667 is what was typed, 0.16666666666666666 is 1/6.
_LARGEST_DENOMINATOR = 100_000
# A last window that would hold less than a thousandth of its length is rounding.
_ROUNDING = Fraction(1, 1000)
# Clocks of containers are coarser.
_TICK_S = 1e-6


@dataclass(frozen=True)
class FrameTimes:
    """Presentation times of a video stream, as its packets state them.

    Attributes
    ----------
    pts : int64 (N,)
        Strictly increasing, in ticks of `time_base`.
    time_base : Fraction
        Seconds per tick.
    start : int
        Start of the container (second 0 of the video), in the same ticks.
    end : int
        End of the last frame: its time plus its duration.
    duration_s : float or None
        Duration that the stream's header states; None where the container has none (mkv, webm).
    is_timed : bool
        Whether the container has presentation times. Without them (AVI) the first frame is at `start`, the others
        follow at the frame rate, and a frame can be found by its position only.
    average_rate : Fraction or None
        Frames per second that the header states.
    n_leading : int
        Frames at the begin that cannot be decoded: a recording that was cut in an open group of pictures.
    """

    pts: np.ndarray
    time_base: Fraction
    start: int
    end: int
    duration_s: float | None
    is_timed: bool = True
    average_rate: Fraction | None = None
    n_leading: int = 0

    def edges_s(self) -> np.ndarray:
        """Return float64 (N + 1,): the second at which each frame starts, and the end of the last one."""
        ticks = np.append(self.pts, self.end) - self.start
        return ticks * self.time_base.numerator / self.time_base.denominator


class FramePlan(NamedTuple):
    """The frames that a network will see.

    Attributes
    ----------
    frame_idx : int64 (T,) or (sum of frames_per_row,)
        Positions in presentation order; a repeated one means a repeated frame. Never decreasing where rows have one
        frame; the highest positions of longer rows never decrease.
    times : float64 (T, 2)
        Start and end second of the stretch that each row stands for, from the start of the container.
    frames_per_row : int64 (T,) or None
        How many frames each row sees, one row after the other; None: one each.
    """

    frame_idx: np.ndarray
    times: np.ndarray
    frames_per_row: np.ndarray | None = None


def as_rational(value: int | float | str | Fraction) -> Fraction:
    """Return a rate or length as an exact fraction: `1`, `0.5`, `"2/3"`, `"30000/1001"`.

    Raises
    ------
    UserError
        If it is not a positive number.
    """
    try:
        rational = Fraction(value)
        if isinstance(value, float):
            rational = rational.limit_denominator(_LARGEST_DENOMINATOR)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError):
        rational = Fraction(0)
    if rational <= 0:
        raise UserError(f'expected a positive number or fraction such as 1, 0.5 or "2/3", found {value!r}.')
    return rational


def ffmpeg_fps(pts: np.ndarray, time_base: Fraction, start: int, end: int, rate: Fraction) -> FramePlan:
    """Return what ffmpeg's `fps` filter lets through.

    Parameters
    ----------
    pts : int64 (N,)
        Presentation times in ticks, sorted.
    time_base : Fraction
        Seconds per tick.
    start, end : int
        Start of the container; end of the last frame.
    rate : Fraction
        Wanted frames per second.

    Returns
    -------
    FramePlan
        Slot n stands for the seconds [n/rate, (n+1)/rate) and holds the last frame before the slot's centre.

    Notes
    -----
    Input frame i belongs to slot floor(t_i * rate + 1/2), t_i counted from the container's start; slot n takes the last
    frame whose slot is <= n; the last slot is the one before that of `end`. Slots before a video stream that starts
    late repeat the frame of its first slot. Equal to ffmpeg 4.2.2, 7.0.2 and 9.0.2 on constant and variable rates.
    """
    # (t * rate + 1/2) = (2 * ticks * numerator + denominator) / (2 * denominator) in whole numbers of any size.
    step = 2 * time_base * rate
    numerator, denominator = step.numerator, step.denominator

    def slot(tick: int) -> int:
        return ((tick - start) * numerator + denominator) // (2 * denominator)

    frame_slots = np.array([slot(tick) for tick in pts.tolist()], np.int64)
    if len(frame_slots) == 0 or slot(end) <= frame_slots[0]:
        return FramePlan(np.zeros(0, np.int64), np.zeros((0, 2)))
    slots = np.arange(slot(end))
    frame_idx = np.searchsorted(frame_slots, np.maximum(slots, frame_slots[0]), side="right") - 1
    edges = np.array([n * rate.denominator / rate.numerator for n in range(len(slots) + 1)])
    return FramePlan(frame_idx, np.stack([edges[:-1], edges[1:]], axis=1))


def short_clip_rate(rate: Fraction, duration_s: float | None) -> Fraction:
    """Return the rate that HERO, Moment-DETR and lighthouse use for clips of about one sampling interval.

    Parameters
    ----------
    rate : Fraction
        Wanted frames per second.
    duration_s : float or None
        Duration of the stream's header; with None the rate stays.

    Notes
    -----
    parity: 2 / max(int(duration), 1) frames per second if 0 < duration < 1/rate + 0.1, compared as floats.
    """
    if duration_s is None or not 0 < duration_s < 1 / float(rate) + 0.1:
        return rate
    return Fraction(2, max(int(duration_s), 1))


def _plan_ffmpeg_fps(media: FrameTimes, rate: int | float | str, short_clip_guard: bool = False) -> FramePlan:
    exact = as_rational(rate)
    if short_clip_guard:
        exact = short_clip_rate(exact, media.duration_s)
    return ffmpeg_fps(media.pts, media.time_base, media.start, media.end, exact)


def _plan_seek_per_second(media: FrameTimes, rate: int | float | str = 1) -> FramePlan:
    exact = as_rational(rate)
    frame_idx = seek_per_second(media.pts, media.time_base, media.end, exact, media.average_rate)
    first_s = media.edges_s()[0]
    edges = first_s + np.array([n * exact.denominator / exact.numerator for n in range(len(frame_idx) + 1)])
    return FramePlan(frame_idx, np.stack([edges[:-1], edges[1:]], axis=1))


def _plan_lavis(choose: Callable[[np.ndarray], np.ndarray], media: FrameTimes, n_frames: int) -> FramePlan:
    parts = lavis_edges(0, len(media.pts), n_frames)
    edges = media.edges_s()[parts]
    return FramePlan(choose(parts), np.stack([edges[:-1], edges[1:]], axis=1))


def _plan_lavis_head(media: FrameTimes, n_frames: int) -> FramePlan:
    return _plan_lavis(lavis_head, media, n_frames)


def _plan_lavis_uniform(media: FrameTimes, n_frames: int) -> FramePlan:
    return _plan_lavis(lavis_uniform, media, n_frames)


def _plan_linspace(media: FrameTimes, n_frames: int) -> FramePlan:
    seconds = media.edges_s()
    edges = np.linspace(seconds[0], seconds[-1], n_frames + 1)
    return FramePlan(linspace_frames(len(media.pts), n_frames), np.stack([edges[:-1], edges[1:]], axis=1))


def _plan_linspace_clip(media: FrameTimes, n_frames: int, window_s: int | float | str | None = None) -> FramePlan:
    """One row for the whole video, or for every window of it, which sees the frames of rule `linspace`."""
    seconds = media.edges_s()
    edges = seconds[[0, -1]] if window_s is None else _window_edges(seconds[-1], as_rational(window_s))
    borders = [*np.searchsorted(seconds[:-1], edges[:-1] - _TICK_S).tolist(), len(media.pts)]
    frames, times = [], []
    for (first, last), span in zip(pairwise(borders), pairwise(edges), strict=True):
        # A window without a frame, in a gap of the video, has no row.
        if last > first:
            frames.append(first + linspace_frames(last - first, n_frames))
            times.append(span)
    per_row = np.full(len(times), n_frames, np.int64)
    return FramePlan(np.concatenate(frames), np.array(times), per_row)


def _window_edges(end_s: float, length: Fraction) -> np.ndarray:
    n_windows = max(1, math.ceil(Fraction(float(end_s)) / length - _ROUNDING))
    edges = np.array([n * length.numerator / length.denominator for n in range(n_windows + 1)])
    return np.minimum(edges, end_s)


def _plan_hero_clips(media: FrameTimes, clip_s: int | float | str = 2, end: str = "float") -> FramePlan:
    length = as_rational(clip_s)
    if end not in ("float", "int"):
        raise UserError(f'sampling: rule hero_clips: end must be "float" (HERO) or "int" (lighthouse), found {end!r}.')
    if media.average_rate is None:
        raise MediaError("the file states no frame rate, which rule hero_clips needs.")
    at_30 = ffmpeg_fps(media.pts, media.time_base, media.start, media.end, Fraction(HERO_RATE)).frame_idx
    clips = hero_clips(len(at_30), length, media.duration_s)
    if len(clips) == 0:
        raise MediaError("too short for rule hero_clips: no clip is left.")
    seen = clips[:, slowfast_positions(length, media.average_rate, end)]
    edges = np.array([n * length.numerator / length.denominator for n in range(len(clips) + 1)])
    per_row = np.full(len(clips), seen.shape[1], np.int64)
    return FramePlan(at_30[seen].reshape(-1), np.stack([edges[:-1], edges[1:]], axis=1), per_row)


def _plan_windows(
    media: FrameTimes,
    *,
    window: int,
    stride: int | None = None,
    tail: str = "drop",
    skip_last: bool = False,
    block: int | None = None,
    rate: int | float | str | None = None,
    n_frames: int | None = None,
) -> FramePlan:
    if tail not in TAILS:
        raise UserError(f"sampling: rule windows: tail must be one of {', '.join(TAILS)}, found {tail!r}.")
    if block is not None and tail == "pad":
        raise UserError("sampling: rule windows: block has no meaning with tail: pad.")
    frames, edges = _sequence(media, rate)
    if block is None:
        spans = windows_in(len(frames), window, stride or window, tail, skip_last)
    else:
        spans = windows_in_blocks(len(frames), block, window, stride or window, tail=tail, skip_last=skip_last)
    return _plan_spans(frames, edges, spans, len(frames) - skip_last, n_frames)


def _plan_i3d_chunks(media: FrameTimes, rate: int | float | str | None = None) -> FramePlan:
    frames, edges = _sequence(media, rate)
    return _plan_spans(frames, edges, i3d_chunks(len(frames)), len(frames))


def _sequence(media: FrameTimes, rate: int | float | str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the frames that windows run over, all or those of the fps filter, and their T + 1 borders in seconds."""
    if rate is None:
        return np.arange(len(media.pts)), media.edges_s()
    plan = _plan_ffmpeg_fps(media, rate)
    return plan.frame_idx, np.append(plan.times[:, 0], plan.times[-1:, 1])


def _plan_spans(
    frames: np.ndarray, edges: np.ndarray, spans: list[tuple[int, int]], usable: int, n_seen: int | None = None
) -> FramePlan:
    """Turn windows over `frames` into a plan; what lies past the first `usable` frames repeats the last of them.

    `n_seen`: only so many frames of each window, the first of as many equal parts; None: all.
    """
    if any(start >= min(stop, usable) for start, stop in spans):
        raise MediaError(f"too short for its sampling rule: of {len(frames)} frame(s) a window would see none.")
    seen = [start + _starts_of_parts(stop - start, n_seen or stop - start) for start, stop in spans]
    rows = [frames[np.minimum(positions, usable - 1)] for positions in seen]
    times = [(edges[start], edges[min(stop, usable)]) for start, stop in spans]
    frame_idx = np.concatenate([np.zeros(0, np.int64), *rows])
    return FramePlan(frame_idx, np.array(times, float).reshape(-1, 2), np.array([len(row) for row in rows], np.int64))


def _starts_of_parts(length: int, n_parts: int) -> np.ndarray:
    return np.arange(n_parts) * length // n_parts


RULES: dict[str, Callable[..., FramePlan]] = {
    "ffmpeg_fps": _plan_ffmpeg_fps,
    "seek_per_second": _plan_seek_per_second,
    "lavis_head": _plan_lavis_head,
    "lavis_uniform": _plan_lavis_uniform,
    "linspace": _plan_linspace,
    "linspace_clip": _plan_linspace_clip,
    "hero_clips": _plan_hero_clips,
    "windows": _plan_windows,
    "i3d_chunks": _plan_i3d_chunks,
}


def plan_frames(rule: dict[str, Any], media: FrameTimes) -> FramePlan:
    """Apply a sampling rule, given as in a feature file, to a video.

    Parameters
    ----------
    rule : dict
        `rule`, the name of a member of `RULES`, and that rule's options.
    media : FrameTimes
        Presentation times of the video.

    Raises
    ------
    UserError
        If the rule or one of its options is unknown or missing.
    """
    options = dict(rule)
    name = options.pop("rule", None)
    if name not in RULES:
        raise UserError(f"sampling: unknown rule {name!r}. Known: {', '.join(sorted(RULES))}.")
    signature = inspect.signature(RULES[name])
    try:
        signature.bind(media, **options)
    except TypeError as error:
        known = ", ".join(list(signature.parameters)[1:])
        raise UserError(f"sampling: rule {name}: {error}. Options: {known}.") from None
    return RULES[name](media, **options)
