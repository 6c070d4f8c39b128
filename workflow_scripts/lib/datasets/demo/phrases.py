"""The spoken phrases of the demo: their words, voices and lengths."""

from pathlib import Path

FOLDER = Path(__file__).parent / "recordings"

VOICES = ("m", "f")
# Length of each recording in centiseconds, in the order of VOICES. Plans are made from these numbers, not from the
# files, so that a plan needs no audio decoder.
PHRASES = {
    "open the red door": (114, 116),
    "close the window": (102, 107),
    "turn off the lamp": (109, 108),
    "the train is late": (100, 104),
    "bring two apples": (97, 97),
    "my dog is hungry": (118, 114),
    "it will rain tomorrow": (123, 120),
    "please sit down here": (131, 132),
    "call me after lunch": (130, 131),
    "the coffee is cold": (124, 121),
}
# A phrase is said twice in an event; with this pause the longest stays within an event's 3.5 s.
PAUSE_CS = (20, 80)


def spoken_cs(phrase: str, voice: str) -> int:
    """Return the length of one recording in centiseconds."""
    return PHRASES[phrase][VOICES.index(voice)]


def recording_path(phrase: str, voice: str) -> Path:
    """Return the file of one recording."""
    return FOLDER / f"{phrase.replace(' ', '_')}_{voice}.ogg"
