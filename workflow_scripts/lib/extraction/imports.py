"""Times and lengths of imported features, and the report of what was found."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from workflow_scripts.lib.media.plausible import PLAUSIBLE
from workflow_scripts.lib.store.shard_store import VideoRows

_MOST_ROWS_PER_S = 1000
MISSING = "missing"
SAME_RATE = 0.1
"""Spread of the seconds per row that counts as one rate, as a part of them."""
REPORT_COLUMNS = ("id", "source", "found", "rows", "rows_s", "duration_s", "note")


def import_times(recipe: Mapping[str, Any], n_rows: int, duration_s: float | None) -> np.ndarray:
    """Return start and end second of every row, float64 (T, 2).

    `times` of the recipe: seconds per row from 0; `proportional`: equal parts of the duration; None (text): row
    numbers stand in.
    """
    if recipe["times"] == "proportional":
        edges = np.linspace(0.0, duration_s or 0.0, n_rows + 1)
    else:
        edges = np.arange(n_rows + 1, dtype=np.float64) * (recipe["times"] or 1.0)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def wrong_length(recipe: Mapping[str, Any], n_rows: int, duration_s: float | None) -> str | None:
    """Return how far rows and duration are apart, None if they agree or cannot be compared."""
    stride_s = recipe["times"]
    if not isinstance(stride_s, float) or duration_s is None:
        return None
    tolerance_s = recipe["tolerance_s"] or 2 * stride_s
    difference_s = n_rows * stride_s - duration_s
    if abs(difference_s) <= tolerance_s:
        return None
    return f"{n_rows} rows of {stride_s:g} s for {duration_s:.3f} s ({difference_s:+.3f} s)"


def implausible_length(recipe: Mapping[str, Any], n_rows: int, duration_s: float | None) -> str | None:
    """Return why nobody can have made so many rows of a video; None if somebody can.

    Notes
    -----
    A file of a few bytes may hold a million equal rows. Rows of text belong to no time.
    """
    stride_s = recipe["times"]
    if isinstance(stride_s, float):
        stated_s, longest_s = n_rows * stride_s, max(PLAUSIBLE.duration_s, 2 * (duration_s or 0.0))
        return f"{n_rows} rows of {stride_s:g} s are {stated_s:,.0f} s" if stated_s > longest_s else None
    if stride_s == "proportional" and duration_s and n_rows > _MOST_ROWS_PER_S * (duration_s + 1):
        return f"{n_rows} rows for {duration_s:.3f} s"
    return None


def wrong_rate(recipe: Mapping[str, Any], videos: Iterable[tuple[int, float | None]]) -> str | None:
    """Return which seconds per row the lengths imply, if it is others than the recipe says; None if not.

    Parameters
    ----------
    videos : number of rows and duration of each

    Notes
    -----
    Told only if most videos have a wrong length and nearly all of these imply the same: single broken files, or rows
    that were cut off at some number, are no other rate.
    """
    compared = [(n_rows, duration_s) for n_rows, duration_s in videos if n_rows and duration_s]
    wrong = [duration_s / n_rows for n_rows, duration_s in compared if wrong_length(recipe, n_rows, duration_s)]
    if 2 * len(wrong) <= len(compared):
        return None
    low, implied, high = np.percentile(wrong, [10, 50, 90])
    if high - low > SAME_RATE * implied:
        return None
    return (
        f"the rows of {len(wrong)} of {len(compared)} videos do not fit the durations: they imply {implied:.3g} s per "
        f"row, `times` says {recipe['times']:g}"
    )


def report_lines(
    recipe: Mapping[str, Any],
    held: Iterable[VideoRows],
    names: Mapping[str, str | None],
    durations: Mapping[str, float | None],
) -> list[tuple[str, ...]]:
    """Return the lines of an import report, the header first.

    `found` is `ok`, `missing`, `unreadable` or `wrong length`; the last has rows unless the feature file says `fail`.
    """
    lines: list[tuple[str, ...]] = [REPORT_COLUMNS]
    for video in held:
        n_rows, duration_s = video.stop - video.start, durations[video.id]
        found, _, note = video.reason.partition(": ") if video.status == "failed" else ("ok", "", "")
        wrong = wrong_length(recipe, n_rows, duration_s) if video.status == "ok" else None
        if wrong:
            found, note = "wrong length", wrong
        stride_s = recipe["times"] if isinstance(recipe["times"], float) else None
        seconds = (f"{n_rows * stride_s:.3f}" if stride_s else "", "" if duration_s is None else f"{duration_s:.3f}")
        lines.append((video.id, names[video.id] or "", found, str(n_rows), *seconds, " ".join(note.split())))
    return lines
