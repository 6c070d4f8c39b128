"""Your own queries: one JSON object per line (`.jsonl`) or a table with a header (`.csv`).

Fields: `video` (name of the file, with or without extension; with its path where it lies in a subfolder) and `query`;
optional `start` and `end` of the moment in seconds, `split` (overrides the file's), `duration` of the video in seconds,
and `qid`. Lines of one split with the same `qid` are further moments of one query. Any other field is kept in
`extra_json`. Without `duration` the videos are probed.
"""

import csv
import difflib
import io
import logging
import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue, DuplicateQuery, MissingKey
from workflow_scripts.lib.datasets.source_files import extra_json, read_json_lines, read_text, require
from workflow_scripts.lib.datasets.video_names import VideoNames

REQUIRED = ("video", "query")
NUMBERS = ("start", "end", "duration")
FIELDS = (*REQUIRED, *NUMBERS, "split", "qid")
_EXAMPLE = ",".join((*REQUIRED, "start", "end"))
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_UNIT = re.compile(r"(s|secs?|seconds?|times?)\W*$")
_SIMILAR = 0.75
_SPLIT = re.compile(r"[a-z0-9_]+")

log = logging.getLogger(__name__)


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
    names = VideoNames()
    annotations = _read(files, dataset, names)
    # Which names share an id shows when all are read.
    return _read(files, dataset, VideoNames(names.shared)) if names.shared else annotations


def _read(files: dict[str, Path], dataset: str, names: VideoNames) -> Annotations:
    annotations = Annotations(dataset)
    asked: dict[str, tuple[str, str]] = {}
    for split, path in files.items():
        repeated: Counter[tuple[Any, ...]] = Counter()
        fields: set[str] = set()
        numeric: dict[str, bool] = {}
        for where, record in _records(path):
            _add_record(annotations, split, where, record, asked, names)
            repeated[tuple(record.get(field) for field in FIELDS)] += 1
            fields.update(record)
            for name in record.keys() - set(FIELDS):
                if _holds_numbers(record[name]):
                    numeric[name] = isinstance(record[name], list)
        if not repeated:
            remedy = "Add a line for every query, or take the file out of `annotations.files`."
            raise BadSourceFile(str(path), "no query", "one or more", remedy)
        _warn_of_similar(fields, path)
        # Bounds are two: a number alone is somebody's id.
        if not fields & {"start", "end"} and (len(numeric) > 1 or any(numeric.values())):
            log.warning(
                "%s: no moment is given: the fields that hold numbers (%s) are kept and not read. If they are the "
                "bounds of moments in seconds, rename them to 'start' and 'end'",
                path,
                ", ".join(sorted(numeric)),
            )
        n_repeated = sum(count - 1 for count in repeated.values())
        if n_repeated:
            log.warning("%s: %d lines repeat another one; every line counts", path, n_repeated)
    names.refuse_unusable()
    return annotations


def _refuse_misnamed(record: Collection[str], where: str) -> None:
    """Refuse a field that is a known one but for capitals, signs or a unit: it would be passed over in silence."""
    for name in record:
        meant = re.sub(r"[^a-z]", "", _UNIT.sub("", name.lower()))
        if name not in FIELDS and meant in FIELDS and meant not in record:
            found = f"the field {name!r}"
            raise MissingKey(f"{where}:{meant}", found, f"{meant!r}", f"Rename {name!r} to {meant!r}.")


def _warn_of_similar(fields: Collection[str], path: Path) -> None:
    """Warn of further fields that are called almost as a known one that the file lacks."""
    absent = [field for field in FIELDS if field not in fields]
    for name in sorted(fields - set(FIELDS)):
        for meant in difflib.get_close_matches(name.lower(), absent, n=1, cutoff=_SIMILAR):
            log.warning("%s: the field %r is kept and not read; if it is %r, rename it", path, name, meant)


def _holds_numbers(value: Any) -> bool:
    """Tell whether a field holds a number, as a number or as text, or a list of them."""
    if isinstance(value, list):
        return bool(value) and all(map(_holds_numbers, value))
    try:
        return isinstance(value, int | float | str) and not isinstance(value, bool) and math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False


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
    rows = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        columns = _columns(next(rows, []), f"{path}:1")
        for cells in rows:
            where = f"{path}:{rows.line_num}"
            if len(cells) > len(columns):
                remedy = 'Put a query that holds a comma in quotes: "first this, then that".'
                raise BadSourceFile(where, "more cells than columns", f"{len(columns)} cells", remedy)
            record = dict(zip(columns, cells, strict=False))
            if any(record.values()):
                yield (
                    where,
                    {name: _cell(name, text, where) for name, text in record.items() if text or name == "query"},
                )
    except csv.Error as error:
        expected = "a table with commas (CSV)"
        remedy = 'Close every quote, and write a quote inside a query twice: "a ""stop"" sign".'
        raise BadSourceFile(f"{path}:{rows.line_num}", str(error), expected, remedy) from None


def _columns(header: Sequence[str], where: str) -> list[str]:
    columns = [name.strip() for name in header]
    doubled = [name for name, count in Counter(columns).items() if name and count > 1]
    if doubled:
        raise BadSourceFile(f"{where}:{doubled[0]}", "this column twice", "every column once", "Rename one of them.")
    for name in REQUIRED:
        if name not in columns:
            found = f"the columns {', '.join(columns) or 'nothing'}"
            raise MissingKey(f"{where}:{name}", found, f"a column {name!r}", _header_remedy(columns, name))
    return columns


def _header_remedy(columns: Sequence[str], name: str) -> str:
    remedy = f"Make the first line a header such as: {_EXAMPLE}"
    used = [words for sign, words in _OTHER_DELIMITERS.items() if len(columns) == 1 and sign in columns[0]]
    if used:
        return f"{remedy} (this one is separated by {used[0]}; save the table with commas)"
    near = difflib.get_close_matches(name, [column.lower() for column in columns], n=1)
    meant = next((column for column in columns if near and column.lower() == near[0]), None)
    return f"{remedy} (rename {meant!r} to {name!r}?)" if meant else remedy


def _cell(name: str, text: str, where: str) -> Any:
    if name not in NUMBERS:
        return text
    try:
        return float(text)
    except ValueError:
        raise BadValue(f"{where}:{name}", repr(text), "a number of seconds, such as 12.5") from None


def _add_record(
    annotations: Annotations,
    file_split: str,
    where: str,
    record: dict[str, Any],
    asked: dict[str, tuple[str, str]],
    names: VideoNames,
) -> None:
    record = {name: value for name, value in record.items() if value is not None or name not in FIELDS}
    _refuse_misnamed(record, where)
    text = require(record, "query", str, where)
    name = names.of(require(record, "video", str, where), f"{where}:video")
    given = {field: float(require(record, field, (int, float), where)) for field in NUMBERS if field in record}
    split = require(record, "split", str, where) if "split" in record else file_split
    if not _SPLIT.fullmatch(split):
        raise BadValue(f"{where}:split", repr(split), "small letters, digits and underscores, such as train")
    if name is None:
        return
    video_id = name.video_id
    annotations.add_video(video_id, split, given.get("duration"), where, source_video_id=name.file or video_id)
    if name.file is not None:
        annotations.files[video_id] = name.file
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
