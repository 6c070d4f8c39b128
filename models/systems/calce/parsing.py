"""Reading the answers of CALCE's language model.

Reproduces `post_process` of tjhd1475/CALCE: whatever the model writes becomes a list of windows in whole seconds,
sorted by their starts. No scores are written.
"""

import re
from typing import NamedTuple

INVALID = [[-1, -1]]
"""Answer that cannot be read, for a video of unknown duration."""
_ANSWER = re.compile(r"\[\[.*\],*\]")


class Answer(NamedTuple):
    """Windows of an answer, and whether they were read from it or stand for the whole video instead."""

    windows: list[list[int]]
    is_readable: bool


def windows(text: str, duration_s: int | None, *, strict_reference: bool = False) -> list[list[int]]:
    """Return the windows of an answer, see `read`."""
    return read(text, duration_s, strict_reference=strict_reference).windows


def read(text: str, duration_s: int | None, *, strict_reference: bool = False) -> Answer:
    """Read the answer of a model.

    Parameters
    ----------
    text : answer such as `[[10, 24], [36, 48]]`; from `</s>` on it is passed over
    duration_s : duration of the video in whole seconds, or None
    strict_reference : fail on the numbers on which the published code fails, and return no window where it returns
        none (its evaluator fails on that later); otherwise the whole video stands for such answers too

    Returns
    -------
    Answer
        Starts and ends in seconds, not always inside the video, sorted by start. An answer that is no list of lists
        stands for the whole video, or for `[[-1, -1]]` if the duration is unknown.

    Raises
    ------
    ValueError
        With `strict_reference`, if an end repeats the digits of the duration and has no others, e.g. 150150.
    """
    whole_video = INVALID if duration_s is None else [[0, duration_s]]
    text = text.split("</s>")[0]
    if not _ANSWER.match(text):
        return Answer([list(window) for window in whole_video], is_readable=False)
    try:
        found = _listed_windows(text[1:-1], duration_s)
    except ValueError:
        if strict_reference:
            raise
        found = []
    if not found and not strict_reference:
        return Answer([list(window) for window in whole_video], is_readable=False)
    return Answer(sorted(found, key=lambda window: window[0]), is_readable=True)


def _listed_windows(text: str, duration_s: int | None) -> list[list[int]]:
    """Read the pieces of a list; a lone number waits for the next one to make a window with."""
    found: list[list[int]] = []
    waiting: int | None = None

    def add(start: int, end: int) -> None:
        found.append(_window(start, end, duration_s))

    for piece in re.split(r"\s+(?=\[)", text):
        numbers = _numbers(piece)
        if len(numbers) == 1 and waiting is None:
            waiting = numbers[0]
        elif len(numbers) == 1:
            add(*sorted((waiting, numbers[0])))
            waiting = None
        elif numbers:
            start, end = sorted(numbers[:2])
            add(start, end)
            if waiting is not None and waiting < start:
                add(waiting, start - 1)
                waiting = None
    if waiting is not None and duration_s:
        add(waiting, duration_s)
    return found


def _numbers(piece: str) -> list[int]:
    piece = piece.rstrip(",")
    piece = re.sub(r"(\d) (\d)", r"\1, \2", piece)
    return [int(number) for number in re.findall(r"\d+", re.sub(",+", ",", piece))]


def _window(start: int, end: int, duration_s: int | None) -> list[int]:
    """Bring an end that lies past the video back by the rules of the published code.

    Ends that repeat the duration's digits or join two numbers are taken apart; others become the duration. Starts are
    left as they are.
    """
    if duration_s is not None and end > duration_s:
        digits = str(end)
        if str(duration_s) in digits:
            end = int(digits.replace(str(duration_s), ""))
        elif len(digits) == 4:
            end %= 100
        elif len(digits) == 6:
            end %= 1000
        else:
            end = duration_s
    return [min(start, end), max(start, end)]
