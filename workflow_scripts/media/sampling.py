"""Sampling rules: from presentation times to the frames that a network sees. Pure functions on integers and rationals.

A feature file names a rule (`sampling: {rule: ffmpeg_fps, rate: 1}`); `RULES` maps the name to its function. A new rule
is one more function there.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from workflow_scripts.errors import UserError

# Floats in YAML stand for simple fractions: 0.1667 is what was typed, 0.16666666666666666 is 1/6.
_LARGEST_DENOMINATOR = 100_000


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
    """

    pts: np.ndarray
    time_base: Fraction
    start: int
    end: int
    duration_s: float | None
    is_timed: bool = True


class FramePlan(NamedTuple):
    """The frames that a network will see.

    Attributes
    ----------
    frame_idx : int64 (T,)
        Positions in presentation order, never decreasing; a repeated one means a repeated frame.
    times : float64 (T, 2)
        Start and end second of the stretch that each stands for, from the start of the container.
    """

    frame_idx: np.ndarray
    times: np.ndarray


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


RULES: dict[str, Callable[..., FramePlan]] = {"ffmpeg_fps": _plan_ffmpeg_fps}


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
