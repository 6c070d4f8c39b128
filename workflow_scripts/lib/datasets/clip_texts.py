"""Files with a text per clip of a video: JSON lines or CSV, by the number of the clip or by seconds."""

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from workflow_scripts.lib.datasets.srt import Subtitle
from workflow_scripts.lib.errors import UserError


@dataclass(frozen=True)
class ClipFields:
    """What the fields of a file are called.

    Attributes
    ----------
    text : field of the text
    clip : field with the number of the clip, from 0; None: `start` and `end` say the seconds
    clip_s : length of a numbered clip
    """

    text: str = "text"
    clip: str | None = None
    clip_s: float | None = None


def parse_clip_texts(content: str, layout: str, fields: ClipFields, where: str) -> list[Subtitle]:
    """Return seconds and text of every clip, in time.

    Parameters
    ----------
    content : of the file
    layout : `jsonl` or `csv` (with a line of names)
    where : name of the file, for messages

    Raises
    ------
    UserError
        a line is not of the layout, a field is missing or no number, or a clip is there twice
    """
    found: dict[tuple[float, float], str] = {}
    for line, record in (_json_lines if layout == "jsonl" else _csv_lines)(content.lstrip("\ufeff"), where):
        text = _field(record, fields.text, line)
        if not isinstance(text, str):
            raise UserError(f"{line}: {fields.text} is {repr(text)[:80]}, not a text")
        if fields.clip is None:
            span = _number(record, "start", line), _number(record, "end", line)
        else:
            number = _number(record, fields.clip, line)
            span = number * fields.clip_s, (number + 1) * fields.clip_s
        if span in found:
            raise UserError(f"{line}: a second text for {span[0]:g} to {span[1]:g} s; one text per clip")
        if not 0 <= span[0] < span[1]:
            raise UserError(f"{line}: a clip from {span[0]:g} to {span[1]:g} s")
        found[span] = text
    return [Subtitle(*span, found[span]) for span in sorted(found)]


def _json_lines(content: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                record = json.loads(line)
            except ValueError as error:
                raise UserError(f"{where}:{number}: not JSON ({error}); one object per line") from None
            if not isinstance(record, dict):
                raise UserError(f"{where}:{number}: {repr(record)[:80]} is no object; one per line")
            yield f"{where}:{number}", record


def _csv_lines(content: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(content, newline=""))
    for record in reader:
        yield f"{where}:{reader.line_num}", record


def _field(record: dict[str, Any], name: str, line: str) -> Any:
    if record.get(name) is None:
        there = ", ".join(map(str, record))
        raise UserError(f"{line}: no {name!r}, only {there}. Name the field in the feature's file (`fields`)")
    return record[name]


def _number(record: dict[str, Any], name: str, line: str) -> float:
    value = _field(record, name, line)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"{line}: {name} is {repr(value)[:80]}, not a number")
    return number
