"""Captions of videos, or of windows of them, as one table and as subtitles that players show."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workflow_scripts.lib.datasets.srt import srt_text
from workflow_scripts.lib.store.atomic import write_if_changed, write_text
from workflow_scripts.lib.store.item_ids import file_of


class CaptionLine(NamedTuple):
    """One caption and the seconds of its video that it describes."""

    video: str
    start_s: float
    end_s: float
    caption: str
    score: float | None


def caption_lines(
    answers: Iterable[Mapping[str, Any]], durations_s: Mapping[str, float], window_s: float | None
) -> list[CaptionLine]:
    """Return the first captions of videos in the order of videos and time; captions of steps are left out.

    Parameters
    ----------
    answers : rows of the table of captions
    durations_s : video -> its length
    window_s : length of the windows that were described; None: whole videos
    """
    lines = []
    for row in answers:
        if row["query_id"] or row["rank"]:
            continue
        video, number = row["video_id"], row["step_index"]
        whole_s = durations_s[video]
        span = (0.0, whole_s) if number is None else window_span(number, window_s, whole_s)
        lines.append(CaptionLine(video, *span, row["text"], row["score"]))
    return sorted(lines, key=lambda line: line[:2])


def window_span(number: int, window_s: float, duration_s: float) -> tuple[float, float]:
    """Return start and end of a window of a video, in seconds; the last window ends with the video."""
    start_s = number * window_s
    return start_s, min(start_s + window_s, max(start_s, duration_s))


def write_caption_table(path: Path, lines: Sequence[CaptionLine]) -> None:
    """Write captions as CSV with a line of names."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CaptionLine._fields)
    for line in lines:
        score = "" if line.score is None else f"{line.score:.4f}"
        writer.writerow([line.video, f"{line.start_s:.3f}", f"{line.end_s:.3f}", line.caption, score])
    write_text(path, text.getvalue())


def write_subtitles(folder: Path, lines: Sequence[CaptionLine]) -> None:
    """Write `<video id>.srt` for every video; an empty caption has no entry."""
    folder.mkdir(parents=True, exist_ok=True)
    of_video: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for line in lines:
        entries = of_video[line.video]
        if line.caption.strip():
            entries.append((line.start_s, line.end_s, line.caption))
    for video, entries in of_video.items():
        write_if_changed(file_of(folder, video, ".srt"), srt_text(entries))
