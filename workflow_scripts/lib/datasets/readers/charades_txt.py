"""Charades-STA as text: one line `VIDEO START END##sentence`, or `VIDEO START END##qid_N##sentence` (IMG).

With `qid_N` the query has that id; without, it is known by its video and its place in it. Charades-AudioMatter has the
same forms. Durations are kept apart: give `charades.json` (video -> `duration`, ...) or the official
`Charades_v1_{train,test}.csv` (column `length`) under a name that begins with `durations`; without them the videos are
asked.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue, MissingDuration, MissingKey
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json,
    read_text,
    require_duration,
    require_object,
)

DURATIONS_PREFIX = "durations"

_LINE = re.compile(r"(?P<video>\S+) (?P<start>\S+) (?P<end>\S+?)##(?:(?P<qid>qid_\d+)##)?(?P<sentence>.*)")


def splits_of(names: Iterable[str]) -> list[str]:
    """Return the names that are no files of durations."""
    return [name for name in names if not name.startswith(DURATIONS_PREFIX)]


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read Charades-STA text files.

    Parameters
    ----------
    files : dict of str to Path
        `.txt` file of every split, and files of durations under `durations`, `durations_test`, ...
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries and moments. What the file of durations says besides is in the videos' `extra_json`.

    Raises
    ------
    MissingDuration
        If a file of durations is given and lacks a video.
    """
    annotations = Annotations(dataset)
    durations: dict[str, tuple[float, str | None]] = {}
    for path in (path for name, path in files.items() if name.startswith(DURATIONS_PREFIX)):
        durations.update(_durations(path))
    for split, path in files.items():
        if not split.startswith(DURATIONS_PREFIX):
            for number, line in enumerate(read_text(path).split("\n"), start=1):
                if line.strip():
                    _add_line(annotations, split, line.rstrip("\r"), f"{path}:{number}", durations)
    return annotations


def _add_line(
    annotations: Annotations, split: str, line: str, where: str, durations: dict[str, tuple[float, str | None]]
) -> None:
    match = _LINE.fullmatch(line)
    if match is None:
        raise BadSourceFile(where, repr(line[:80]), "VIDEO START END##sentence or VIDEO START END##qid_N##sentence")
    video_id = match["video"]
    if durations and video_id not in durations:
        remedy = "Add the file that has it, e.g. durations_test: Charades_v1_test.csv, or name none."
        raise MissingDuration(where, f"no duration of {video_id}", "one in the files of durations", remedy)
    duration_s, extra = durations.get(video_id, (None, None))
    annotations.add_video(video_id, split, duration_s, where, extra_json=extra)
    start_s, end_s = (_seconds(match[bound], f"{where}:{bound}") for bound in ("start", "end"))
    query_id = annotations.add_query(video_id, split, match["sentence"], where, source_id=match["qid"])
    annotations.add_moment(video_id, split, query_id, start_s, end_s)


def _durations(path: Path) -> Iterator[tuple[str, tuple[float, str | None]]]:
    """Yield video -> duration in seconds and the other fields as JSON."""
    if path.name.removesuffix(".gz").endswith(".csv"):
        yield from _csv_durations(path)
        return
    for video_id, entry in require_object(read_json(path), str(path)).items():
        where = f"{path}:{video_id}"
        entry = require_object(entry, where)
        yield video_id, (require_duration(entry, "duration", where), extra_json(entry, ("duration",)))


def _csv_durations(path: Path) -> Iterator[tuple[str, tuple[float, str | None]]]:
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    try:
        missing = [name for name in ("id", "length") if name not in (reader.fieldnames or [])]
        if missing:
            columns = ", ".join(reader.fieldnames or ["nothing"])
            raise MissingKey(f"{path}:1:{missing[0]}", f"the columns {columns}", f"a column {missing[0]!r}")
        for row in reader:
            record: dict[str, Any] = {str(name): value for name, value in row.items()}
            duration_s = _seconds(row["length"] or "", f"{path}:{reader.line_num}:length")
            yield row["id"], (duration_s, extra_json(record, ("id", "length")))
    except csv.Error as error:
        raise BadSourceFile(f"{path}:{reader.line_num}", str(error), "a table with commas (CSV)") from None


def _seconds(text: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValue(where, repr(text), "a number of seconds, such as 12.5") from None
