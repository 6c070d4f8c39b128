"""The words of the demo: queries, step headings, captions."""

from dataclasses import dataclass

from workflow_scripts.lib.datasets.demo.event_plan import Event, Look, VideoPlan

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
    """Return what is seen and heard in an event."""
    look = _look_text(LOOK_SENTENCES, event.look, event.template)
    return look if event.sound is None else f"{look} while {SOUND_SENTENCES[event.sound][event.template]}"


def prompt(first: Event, last: Event) -> str:
    """Return the request for the part of a video from one event to another."""
    return f"From {_event_name(first)} to {_event_name(last)}"


def visual_caption(plan: VideoPlan) -> str:
    """Return a caption that names the video's looks in order of first appearance."""
    return _enumerate([_look_name(event.look) for event in plan.events])


def audiovisual_caption(plan: VideoPlan) -> str:
    """Return a caption that names the video's looks, then its sounds."""
    sounds = [SOUND_NAMES[event.sound] for event in plan.events if event.sound is not None]
    return f"{visual_caption(plan)}, with {_enumerate(sounds)}" if sounds else visual_caption(plan)


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


def _enumerate(names: list[str]) -> str:
    distinct = list(dict.fromkeys(names))
    return distinct[0] if len(distinct) == 1 else f"{', '.join(distinct[:-1])} and {distinct[-1]}"
