"""What happens when in every demo video, as a pure function of the seed and the video's id.

Times are whole centiseconds, so that the plan and the files written from it have the same bytes on every machine.
"""

import hashlib
import random
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, TypeVar

from workflow_scripts.lib.datasets.demo.phrases import PAUSE_CS, PHRASES, VOICES, spoken_cs
from workflow_scripts.lib.store.digest import digest_json

T = TypeVar("T")

# Part of a video's digest: raise it when the same plan would be drawn, played or encoded differently.
RENDER_VERSION = 1
SPLITS = ("train", "val", "test")
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SHAPES = ("circle", "square", "triangle")
MOTIONS = ("still", "left", "right")
SOUNDS = ("low", "high", "clicks", "noise", "chord", "siren", "speech")
# Mostly 8 frames per second to keep decoding cheap; the others are rates that rounding gets wrong.
FRAME_RATES = ("8", "8", "8", "8", "8", "6", "10", "25/2", "8000/1001")
# Frame intervals of the videos with a variable frame rate, repeated; 8 frames per second on average.
VARIABLE_INTERVALS_MS = (80, 125, 210, 85)

# The seven events as (look, sound, kind of query). Looks 0 and 1 and sounds 0 and 1 return in other company, so
# neither stream finds a "both" event alone, and no silence or blank screen betrays the other kinds.
SCHEME = (
    (0, 0, "both"),
    (0, 1, "both"),
    (1, 0, "both"),
    (2, 1, "picture"),
    (3, 0, "picture"),
    (1, 2, "sound"),
    (0, 3, "sound"),
)

LEAD_IN_CS = (30, 300)
EVENT_CS = (150, 350)
GAP_CS = (30, 120)
# At least 50: an event of 150 then always reaches into a complete 2 s clip, so every query has saliency scores.
TAIL_CS = (50, 300)

NO_AUDIO_INDEX = 1
VARIABLE_RATE_INDEX = 2
SPECIAL_SPLITS = ("train", "test")


@dataclass(frozen=True)
class Look:
    """A shape in a colour, at rest or moving to a side; the shape `background` fills the screen."""

    colour: str
    shape: str
    motion: str


@dataclass(frozen=True)
class Event:
    """One thing that is seen and heard from `start_cs` to `end_cs`."""

    start_cs: int
    end_cs: int
    look: Look
    sound: str | None
    """One of `SOUNDS`; None in a video without an audio track."""
    phrase: str | None
    """The words, if the sound is speech."""
    voice: str | None
    kind: str | None
    """What is needed to find it: `picture`, `sound` or `both`; None if nothing tells it from another event."""
    template: int
    """Which of the two ways of asking is used."""
    variant: int
    """0..999: position, size and pitch."""


@dataclass(frozen=True)
class VideoPlan:
    """Everything that decides the content of one demo video."""

    video_id: str
    split: str
    index: int
    duration_cs: int
    frame_rate: str
    """Rational frames per second, or `variable`."""
    has_audio: bool
    shade: int
    """Grey level 0..255 of the empty screen."""
    events: tuple[Event, ...]

    @property
    def speech_events(self) -> list[int]:
        """Positions of the events in which someone speaks."""
        return [position for position, event in enumerate(self.events) if event.phrase is not None]


class _Draws:
    """Random choices built on `random.Random.random` alone, whose sequence Python guarantees across versions."""

    def __init__(self, seed: int, name: str) -> None:
        self._random = random.Random(int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest(), 16)).random

    def between(self, low: int, high: int) -> int:
        """Return an integer from `low` to `high`, both included."""
        return low + int(self._random() * (high - low + 1))

    def choice(self, options: tuple[T, ...]) -> T:
        return options[self.between(0, len(options) - 1)]

    def sample(self, options: tuple[T, ...], n: int) -> list[T]:
        """Return `n` different options in random order."""
        left = list(options)
        return [left.pop(self.between(0, len(left) - 1)) for _ in range(n)]


def plan_video(seed: int, split: str, index: int) -> VideoPlan:
    """Plan one video; the result does not depend on how many other videos there are.

    Parameters
    ----------
    seed : int
        Seed of the whole dataset.
    split : {"train", "val", "test"}
        Split of the video.
    index : int
        Position within the split, from 0. In train and test, number 1 has no audio track and number 2 has a variable
        frame rate.

    Returns
    -------
    VideoPlan
        Seven events in order of time, with irregular gaps.
    """
    video_id = f"demo_{split}_{index:03d}"
    draws = _Draws(seed, video_id)
    has_audio = not (split in SPECIAL_SPLITS and index == NO_AUDIO_INDEX)
    frame_rate = draws.choice(FRAME_RATES)
    if split in SPECIAL_SPLITS and index == VARIABLE_RATE_INDEX:
        frame_rate = "variable"
    looks = [_draw_look(draws, colour) for colour in draws.sample(COLOURS, 4)]
    sounds = _draw_sounds(draws)
    phrases = draws.sample(tuple(PHRASES), len(SCHEME))
    events = []
    now = draws.between(*LEAD_IN_CS)
    for (look, sound, kind), phrase in zip(draws.sample(SCHEME, len(SCHEME)), phrases, strict=True):
        is_speech = sounds[sound] == "speech"
        voice = draws.choice(VOICES) if is_speech else None
        length = _draw_length(draws, phrase if is_speech else None, voice)
        event = Event(
            start_cs=now,
            end_cs=now + length,
            look=looks[look],
            sound=sounds[sound] if has_audio else None,
            phrase=phrase if is_speech and has_audio else None,
            voice=voice if has_audio else None,
            kind=kind if has_audio or kind == "picture" else None,
            template=draws.between(0, 1),
            variant=draws.between(0, 999),
        )
        events.append(event)
        now = event.end_cs + draws.between(*GAP_CS)
    duration = events[-1].end_cs + draws.between(*TAIL_CS)
    shade = draws.between(20, 70)
    return VideoPlan(video_id, split, index, duration, frame_rate, has_audio, shade, tuple(events))


def plan_demo(seed: int, counts: dict[str, int]) -> list[VideoPlan]:
    """Plan all videos, split by split.

    Parameters
    ----------
    seed : int
        Seed of the whole dataset.
    counts : dict of str to int
        Number of videos of each split.
    """
    return [plan_video(seed, split, index) for split in SPLITS for index in range(counts.get(split, 0))]


def plan_record(plan: VideoPlan) -> dict[str, Any]:
    """Return the plan as plain JSON values."""
    return asdict(plan)


def plan_digest(plan: VideoPlan) -> str:
    """Return a digest of everything that decides a video's content: its plan and how plans are rendered."""
    return digest_json({"plan": plan_record(plan), "render_version": RENDER_VERSION})


def picture_times(plan: VideoPlan) -> list[Fraction]:
    """Return the presentation time in seconds of every frame, from 0 to just before the video's duration."""
    end = Fraction(plan.duration_cs, 100)
    if plan.frame_rate != "variable":
        step = 1 / Fraction(plan.frame_rate)
        return [i * step for i in range(round(end / step))]
    times = [Fraction(0)]
    while times[-1] < end:
        interval_ms = VARIABLE_INTERVALS_MS[(len(times) - 1) % len(VARIABLE_INTERVALS_MS)]
        times.append(times[-1] + Fraction(interval_ms, 1000))
    return times[:-1]


def _draw_look(draws: _Draws, colour: str) -> Look:
    shape = draws.choice((*SHAPES, "background"))
    return Look(colour, shape, "still" if shape == "background" else draws.choice(MOTIONS))


def _draw_sounds(draws: _Draws) -> list[str]:
    """Four sounds; in half of the videos speech is one that returns, so that only the words tell its events apart."""
    if draws.between(0, 1):
        return draws.sample(SOUNDS, 4)
    sounds = draws.sample(SOUNDS[:-1], 3)
    sounds.insert(draws.between(0, 1), "speech")
    return sounds


def _draw_length(draws: _Draws, phrase: str | None, voice: str | None) -> int:
    """Length of an event in centiseconds; a phrase is said twice, with a pause that fills the event."""
    if phrase is None or voice is None:
        return draws.between(*EVENT_CS)
    return 2 * spoken_cs(phrase, voice) + draws.between(*PAUSE_CS)
