"""What the log of a job tells while it runs and after it ended."""

import re
import textwrap
from pathlib import Path

TAIL_BYTES = 8192
LONGEST_WORDS = 70
STAMP = re.compile(r"^\d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR|CRITICAL) ")
BAR = re.compile(r"^(?P<what>.*?):? *\d+%\|.*\| *(?P<done>\S+) \[\S+<(?P<left>[^,]+), *(?P<rate>[^,\]]+)")
"""A progress bar of tqdm."""


def last_lines(path: Path, number: int) -> list[str]:
    """Return the last lines of a log that are not blank; none if it is not there."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    # A bar is drawn over and over on one line.
    lines = [line.rpartition("\r")[2] if not line.endswith("\r") else line for line in text.split("\n")]
    return [line.rstrip() for line in lines if line.strip()][-number:]


def progress_in(path: Path) -> str:
    """Return what the job said last, shortened: how far it is, at which rate, and the time left."""
    said = "".join(last_lines(path, 1))
    bar = BAR.match(said)
    if bar:
        return f"{bar['what']}: {bar['done']}, {bar['rate']}, {bar['left']} left"
    return textwrap.shorten(STAMP.sub("", said), LONGEST_WORDS, placeholder=" …")


def warnings_in(path: Path) -> list[str]:
    """Return the warnings of a log, each once, without their time."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = [STAMP.sub("", line) for line in lines if STAMP.match(line) and STAMP.match(line)[1] == "WARNING"]
    return list(dict.fromkeys(found))


def reason_in(path: Path) -> str:
    """Return why a job failed: its message for people, else the last that it said."""
    lines = last_lines(path, 200)
    said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (said or lines or ["its log is empty"])[-1]
