"""What is believed of a media file: a wrong clock, or a wrong header, states more than anybody recorded."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# No codec shows a picture after more than 16 that follow it in the file; fields of a picture may come one by one.
_REORDERED = 64


@dataclass(frozen=True)
class Plausible:
    """What is believed of a file; rows would be planned, and memory taken, for all that it states.

    Attributes
    ----------
    gap_s : longest time without a picture, and by which sound may outlast the pictures or begin before them
    duration_s : longest video
    pixels : largest picture
    """

    gap_s: float = 3600.0
    duration_s: float = 172800.0
    pixels: int = 2**27


PLAUSIBLE = Plausible()


def gap(ticks: Sequence[int], time_base: Fraction, longest_s: float) -> str | None:
    """Return what is wrong with a video whose pictures are implausibly far apart, None if they are not."""
    times = np.unique(np.asarray(ticks, np.int64))
    gaps_s = np.diff(times) * float(time_base)
    if not gaps_s.size or gaps_s.max() <= longest_s:
        return None
    widest = int(gaps_s.argmax())
    at_s = float((times[widest] - times[0]) * time_base)
    found = f"no picture for {gaps_s[widest]:,.0f} s after second {at_s:,.2f}"
    return f"{found}: more than {longest_s:,.0f} s is implausible"


def second_beginning(ticks: Sequence[int], time_base: Fraction) -> str | None:
    """Return what is wrong with a video whose clock runs back, None if it does not.

    Parameters
    ----------
    ticks : times of the pictures, in the order of the file
    """
    times = np.asarray(ticks, np.int64)
    latest = np.maximum.accumulate(times[:-_REORDERED])
    back = np.flatnonzero(times[_REORDERED:] < latest)
    if not back.size:
        return None
    from_s = float((times[: back[0] + _REORDERED].max() - times[0]) * time_base)
    return (
        f"its clock runs back after second {from_s:,.2f}, as in recordings that were put one after the other: give it "
        "one clock, such as by `ffmpeg -i FILE -map 0 -c copy NEW.mkv`"
    )


def outlasted(by_s: float, before_s: float, longest_s: float) -> str | None:
    """Return what is wrong with a video whose sound, or another stream, goes on implausibly long without pictures.

    Parameters
    ----------
    by_s : from the end of the pictures to that of the last stream
    before_s : from the begin of the first stream to that of the pictures
    """
    if max(by_s, before_s) <= longest_s:
        return None
    where = f"{by_s:,.0f} s longer" if by_s > longest_s else f"{before_s:,.0f} s earlier"
    return f"its sound is there {where} than its pictures: more than {longest_s:,.0f} s is implausible"


def too_long(duration_s: float | None, longest_s: float) -> str | None:
    """Return what is wrong with a video that lasts implausibly long, None if it does not."""
    if duration_s is None or duration_s <= longest_s:
        return None
    return f"lasts {duration_s:,.0f} s: more than {longest_s:,.0f} s is implausible"


def too_large(width: int | None, height: int | None, most_pixels: int) -> str | None:
    """Return what is wrong with a video whose pictures are implausibly large, None if they are not."""
    if (width or 0) * (height or 0) <= most_pixels:
        return None
    return f"its pictures have {width:,} x {height:,} pixels: more than {most_pixels:,} are implausible"
