"""The values of a JSON file of predictions, each with its file and line, and checks of their kind."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.source_files import read_text, what_json_lacks, whole_number
from workflow_scripts.lib.metrics.errors import MalformedRow, MissingField


def read_values(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield file and line, and value, of JSON lines or of the entries of one JSON list, one at a time.

    Raises
    ------
    MalformedRow
        If the text is not JSON there.
    """
    text = read_text(path)
    decoder, position, line, counted = json.JSONDecoder(parse_int=whole_number), 0, 1, 0
    is_list = text.lstrip()[:1] == "["
    blank = " \t\r\n,[" if is_list else " \t\r\n"
    while True:
        while position < len(text) and text[position] in blank:
            # Only the bracket that opens the list is passed over.
            blank = blank.replace("[", "") if text[position] == "[" else blank
            position += 1
        line, counted = line + text.count("\n", counted, position), position
        if position == len(text) and is_list:
            raise MalformedRow(f"{path}:{line}: the list does not end; is the file complete?")
        if position == len(text) or (is_list and text[position] == "]"):
            return
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            line += text.count("\n", counted, error.pos)
            raise MalformedRow(f"{path}:{line}: no JSON at column {error.colno} ({error.msg})") from None
        except (ValueError, RecursionError) as error:
            raise MalformedRow(f"{path}:{line}: {what_json_lacks(error)}") from None
        yield f"{path}:{line}", value


def checked_object(value: Any, place: str) -> Mapping[str, Any]:
    """Return an object; anything else is MalformedRow."""
    if not isinstance(value, Mapping):
        raise MalformedRow(f"{place}: expected an object {{...}}, found {shown(value)}")
    return value


def checked_list(value: Any, place: str) -> list[Any]:
    """Return a list; anything else is MalformedRow."""
    if not isinstance(value, list):
        raise MalformedRow(f"{place}: expected a list, found {shown(value)}")
    return value


def checked_text(value: Any, place: str) -> str:
    """Return a text; anything else is MissingField."""
    if not isinstance(value, str):
        raise MissingField(f"{place}: expected a text, found {shown(value)}")
    return value


def shown(value: Any) -> str:
    """Return the beginning of a value as JSON, for messages."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
