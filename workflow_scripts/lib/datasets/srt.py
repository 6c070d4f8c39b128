"""SubRip files (.srt): the form in which transcripts of HiREST and CALCE are published."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from workflow_scripts.lib.errors import UserError

_TIME = r"(\d{1,4}):([0-5]\d):([0-5]\d)[,.](\d{3})"
_SPAN = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}")


class Subtitle(NamedTuple):
    """One entry of a file."""

    start_s: float
    end_s: float
    text: str


def srt_text(subtitles: Iterable[tuple[float, float, str]]) -> str:
    """Return the content of a .srt file as openai-whisper writes it.

    Parameters
    ----------
    subtitles : (start, end) in seconds and text
        Milliseconds are rounded half to even; an arrow in a text would start a new entry and becomes `->`.
    """
    return "".join(
        f"{number}\n{_stamp(start_s)} --> {_stamp(end_s)}\n{text.strip().replace('-->', '->')}\n\n"
        for number, (start_s, end_s, text) in enumerate(subtitles, start=1)
    )


def _stamp(time_s: float) -> str:
    milliseconds = round(time_s * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


def parse_srt(text: str, where: str) -> list[Subtitle]:
    """Read the entries of a .srt file in their order.

    Parameters
    ----------
    text : content of the file; several lines of an entry are joined with a space, entries without text are kept
    where : name of the file, for messages

    Raises
    ------
    UserError
        there is text before the first times, or a line with an arrow has no times
    """
    found: list[tuple[float, float, list[str]]] = []
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()]
    for number, line in enumerate(lines, start=1):
        match = _SPAN.match(line)
        is_entry_number = line.isdigit() and "-->" in "".join(lines[number : number + 1])
        if match:
            found.append((_seconds(match.groups()[:4]), _seconds(match.groups()[4:]), []))
        elif "-->" in line:
            raise UserError(f"{where}:{number}: expected `HH:MM:SS,mmm --> HH:MM:SS,mmm`, found {line[:80]!r}")
        elif line and not is_entry_number:
            if not found:
                raise UserError(f"{where}:{number}: text before the first times; this is not a .srt file")
            found[-1][2].append(line)
    return [Subtitle(start_s, end_s, " ".join(words)) for start_s, end_s, words in found]


def _seconds(fields: tuple[str, ...]) -> float:
    hours, minutes, seconds, milliseconds = map(int, fields)
    return (hours * 3600 + minutes * 60 + seconds) + milliseconds / 1000
