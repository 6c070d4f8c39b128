"""Your own queries: one JSON object per line (`.jsonl`) or a table with a header (`.csv`).

Fields: `video` (file name or id) and `query`; optional `start` and `end` of the moment in seconds, `split` (overrides
the file's), `duration` of the video in seconds, and `qid`. Lines of one split with the same `qid` are further moments
of one query. Any other field is kept in `extra_json`. Without `duration` the videos are probed.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.datasets.errors import BadSourceFile, BadValue, DuplicateQuery, MissingKey
from workflow_scripts.datasets.source_files import extra_json, read_json_lines, read_text, require, without_suffix
from workflow_scripts.datasets.tables import Annotations

VERSION = 1

REQUIRED = ("video", "query")
NUMBERS = ("start", "end", "duration")
FIELDS = (*REQUIRED, *NUMBERS, "split", "qid")


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read lists of queries.

    Parameters
    ----------
    files : dict of str to Path
        `.jsonl` or `.csv` file of every split.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries, and moments where `start` and `end` are given.
    """
    annotations = Annotations(dataset)
    asked: dict[str, tuple[str, str]] = {}
    for split, path in files.items():
        for where, record in _records(path):
            _add_record(annotations, split, where, record, asked)
    return annotations


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if kind == ".jsonl":
        yield from read_json_lines(path)
    elif kind == ".csv":
        yield from _read_csv(path)
    else:
        raise BadSourceFile(
            str(path), f"a file name ending in {kind or 'nothing'}", ".jsonl or .csv", "Rename the file."
        )


def _read_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows as objects; an empty cell is a field that is not there."""
    reader = csv.DictReader(io.StringIO(read_text(path)), strict=True)
    try:
        missing = [name for name in REQUIRED if name not in (reader.fieldnames or [])]
        if missing:
            columns = ", ".join(reader.fieldnames or ["nothing"])
            remedy = f"Make the first line a header such as: {','.join((*REQUIRED, 'start', 'end'))}"
            raise MissingKey(f"{path}:1:{missing[0]}", f"the columns {columns}", f"a column {missing[0]!r}", remedy)
        for row in reader:
            where = f"{path}:{reader.line_num}"
            if None in row:
                remedy = 'Put a query that holds a comma in quotes: "first this, then that".'
                raise BadSourceFile(where, "more cells than columns", f"{len(reader.fieldnames or [])} cells", remedy)
            yield where, {name: _cell(name, text, where) for name, text in row.items() if text or name == "query"}
    except csv.Error as error:
        raise BadSourceFile(f"{path}:{reader.line_num}", str(error), "a table with commas (CSV)") from None


def _cell(name: str, text: str | None, where: str) -> Any:
    if name not in NUMBERS or text is None:
        return text or ""
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"{where}:{name}", repr(text), "a number of seconds, such as 12.5") from None


def _add_record(
    annotations: Annotations, file_split: str, where: str, record: dict[str, Any], asked: dict[str, tuple[str, str]]
) -> None:
    name, text = (require(record, field, str, where) for field in REQUIRED)
    given = {field: float(require(record, field, (int, float), where)) for field in NUMBERS if field in record}
    split = require(record, "split", str, where) if "split" in record else file_split
    video_id = without_suffix(name)
    annotations.add_video(video_id, split, given.get("duration"), where, source_video_id=name)
    source_id = str(require(record, "qid", (int, str), where)) if "qid" in record else None
    query_id = f"{annotations.dataset}/{split}/{source_id}"
    if source_id is None or query_id not in asked:
        extra = extra_json(record, FIELDS)
        query_id = annotations.add_query(video_id, split, text, where, source_id=source_id, extra_json=extra)
        asked[query_id] = (video_id, text)
    elif asked[query_id] != (video_id, text):
        remedy = "Lines share a qid only to list several moments of one query; give this one its own qid."
        origin = annotations.origins[query_id]
        raise DuplicateQuery(where, f"the qid of another query ({origin})", "the same video and query", remedy)
    if "start" in given and "end" in given:
        annotations.add_moment(video_id, split, query_id, given["start"], given["end"])
    elif "start" in given or "end" in given:
        absent = "end" if "start" in given else "start"
        raise MissingKey(f"{where}:{absent}", "only one bound of the moment", "start and end, or neither")
