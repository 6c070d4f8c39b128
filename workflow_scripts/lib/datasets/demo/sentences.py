"""The words of the demo: queries, step headings, captions."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from workflow_scripts.lib.datasets.demo.event_plan import Event, Look, VideoPlan

T = TypeVar("T")

# Makes the annotation files anew: raise it when the same plan would be told in other words.
WORDS_VERSION = 2

# Two ways to say each thing; an event's `template` picks one.
LOOK_SENTENCES = {
    "still": ("a {colour} {shape} is shown", "there is a {colour} {shape} on the screen"),
    "left": ("a {colour} {shape} moves to the left", "a {colour} {shape} goes from right to left"),
    "right": ("a {colour} {shape} moves to the right", "a {colour} {shape} goes from left to right"),
    "background": ("the background turns {colour}", "the whole screen is {colour}"),
}
SOUND_SENTENCES = {
    "low": ("a low tone is heard", "there is a deep hum"),
    "high": ("a high tone is heard", "there is a thin whistle"),
    "clicks": ("clicks are heard", "something is ticking"),
    "noise": ("noise is heard", "there is a hissing sound"),
    "chord": ("a chord is played", "several notes sound together"),
    "siren": ("a siren is heard", "an alarm goes up and down"),
    "speech": ("someone is speaking", "a person talks"),
}
SPEECH_SENTENCES = ('someone says "{phrase}"', 'the words "{phrase}" are spoken')
LOOK_NAMES = {
    "still": "a {colour} {shape}",
    "left": "a {colour} {shape} moving left",
    "right": "a {colour} {shape} moving right",
    "background": "a {colour} screen",
}
SOUND_NAMES = {
    "low": "a low tone",
    "high": "a high tone",
    "clicks": "clicks",
    "noise": "noise",
    "chord": "a chord",
    "siren": "a siren",
    "speech": "speech",
}


@dataclass(frozen=True)
class DemoQuery:
    """A sentence that describes exactly one event of its video."""

    event: int
    """Position of the event in the plan."""
    text: str
    kind: str
    """`picture`, `sound`, `both`, or `speech` (the words tell the event)."""


def video_queries(plan: VideoPlan) -> list[DemoQuery]:
    """Return the queries of one video: the events in order of time, then the questions about words.

    Parameters
    ----------
    plan : VideoPlan
        The video.

    Returns
    -------
    list of DemoQuery
        One for every event that can be told from the others, and one for every phrase if at least two are spoken
        (with a single one, hearing that somebody speaks would be enough).
    """
    queries = [
        DemoQuery(position, event_query(event), event.kind)
        for position, event in enumerate(plan.events)
        if event.kind is not None
    ]
    spoken = plan.speech_events
    if len(spoken) > 1:
        for position in spoken:
            event = plan.events[position]
            text = SPEECH_SENTENCES[event.template].format(phrase=event.phrase)
            queries.append(DemoQuery(position, text, "speech"))
    return queries


def event_query(event: Event) -> str:
    """Return the sentence that asks for an event by what its kind needs."""
    look = _look_text(LOOK_SENTENCES, event.look, event.template)
    if event.kind == "picture" or event.sound is None:
        return look
    sound = SOUND_SENTENCES[event.sound][event.template]
    return sound if event.kind == "sound" else f"{look} while {sound}"


def step_heading(event: Event) -> str:
    """Return what is seen in an event; systems that describe steps see and read, and hear nothing."""
    return _look_name(event.look)


def prompt(first: Event, last: Event) -> str:
    """Return the request for the part of a video from one event to another."""
    return f"From {_event_name(first)} to {_event_name(last)}"


def visual_caption(plan: VideoPlan) -> str:
    """Return a caption that names the look that is there for longest."""
    return _look_name(_longest((event.look, event) for event in plan.events))


def audiovisual_caption(plan: VideoPlan) -> str:
    """Return a caption that names the look that is there for longest, and the sound."""
    sound = main_sound(plan)
    return visual_caption(plan) if sound is None else f"{visual_caption(plan)} with {SOUND_NAMES[sound]}"


def main_sound(plan: VideoPlan) -> str | None:
    """Return the sound that is heard for longest; None in a video without sound."""
    heard = [(event.sound, event) for event in plan.events if event.sound is not None]
    return _longest(heard) if heard else None


def _longest(named: Iterable[tuple[T, Event]]) -> T:
    """Return what lasts longest over all its events, the first of equals."""
    lasts: dict[T, int] = {}
    for name, event in named:
        lasts[name] = lasts.get(name, 0) + event.end_cs - event.start_cs
    return max(lasts, key=lasts.__getitem__)


def _event_name(event: Event) -> str:
    if event.kind == "sound" and event.sound is not None:
        return SOUND_NAMES[event.sound]
    if event.kind == "both" and event.sound is not None:
        return f"{_look_name(event.look)} with {SOUND_NAMES[event.sound]}"
    return _look_name(event.look)


def _look_name(look: Look) -> str:
    key = "background" if look.shape == "background" else look.motion
    return LOOK_NAMES[key].format(colour=look.colour, shape=look.shape)


def _look_text(sentences: dict[str, tuple[str, str]], look: Look, template: int) -> str:
    key = "background" if look.shape == "background" else look.motion
    return sentences[key][template].format(colour=look.colour, shape=look.shape)
