"""Reading source annotation files, plain or gzip-compressed, with the place of every fault.

A file that is named without `.gz` and kept with it is found; whoever names it need not know.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.errors import BadSourceFile, BadValue, MissingKey
from workflow_scripts.lib.foreign.boundary import free_memory, what_it_is
from workflow_scripts.lib.media.video_files import VIDEO_EXTENSIONS

_MOST_DIGITS = 300
_LARGEST_INTEGER = 2**63 - 1
_GZIP = b"\x1f\x8b"
_MEMORY_PARTS = 8
"""Text as Python objects takes several times its bytes."""
_LONG_NUMBER = re.compile(rf'"(\w+)"\s*:\s*-?\d{{{_MOST_DIGITS}}}')
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
_VIDEO_SUFFIXES = tuple(f".{extension}" for extension in VIDEO_EXTENSIONS)


def stored_path(path: Path) -> Path:
    """Return where a file is kept: under its name or, if only that exists, under its name with `.gz` added."""
    compressed = path.with_name(f"{path.name}.gz")
    return compressed if compressed.is_file() and not path.is_file() else path


def read_text(path: Path) -> str:
    """Return a file's text (UTF-8, a byte order mark is dropped).

    Raises
    ------
    BadSourceFile
        If it is missing, is not UTF-8, or is a damaged gzip file.
    """
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadSourceFile(f"{path}:{line}", "bytes that are not UTF-8", "UTF-8", "Save the file as UTF-8.") from None


def content_sha256(path: Path) -> str:
    """Return the sha256 of a file's content; that of a `.gz` file is of what it holds."""
    return hashlib.sha256(_read_bytes(path)).hexdigest()


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; the same key twice in one object is an error, not a silent loss."""
    return _parse(read_text(path), str(path), first_line=1)


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `file:line` and the object of every line that is not blank."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            where = f"{path}:{number}"
            record = _parse(line, str(path), first_line=number)
            yield where, require_object(record, where)


def require_object(value: Any, where: str) -> dict[str, Any]:
    """Return `value` if it is a JSON object."""
    if not isinstance(value, dict):
        raise BadSourceFile(where, f"{_shown(value)}", "an object {...}", "Check that the format is the right one.")
    return value


def require(record: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return a field of a source record.

    Parameters
    ----------
    record : dict
        The record.
    key : str
        Name of the field.
    kind : type or tuple of types
        What it must be. A boolean is no number here.
    where : str
        File and line.

    Raises
    ------
    MissingKey
        If there is no such field.
    BadValue
        If it is of another kind, or a whole number that no table holds.
    """
    if key not in record:
        raise MissingKey(f"{where}:{key}", f"only {', '.join(record) or 'nothing'}", f"a field {key!r}")
    value = record[key]
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(each.__name__ for each in kinds)
        raise BadValue(f"{where}:{key}", _shown(value), names)
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        raise BadValue(f"{where}:{key}", _shown(value), f"a number up to {_LARGEST_INTEGER}")
    return value


def require_span(value: Any, where: str) -> tuple[float, float]:
    """Return a pair of numbers; whether they make sense is checked with the tables."""
    if not isinstance(value, list) or len(value) != 2 or not all(_is_number(bound) for bound in value):
        raise BadValue(where, _shown(value), "[start, end] in seconds")
    return float(value[0]), float(value[1])


def require_duration(record: dict[str, Any], key: str, where: str) -> float:
    """Return a duration in seconds as float."""
    return float(require(record, key, (int, float), where))


def without_suffix(name: str) -> str:
    """Return a file name without the suffix of a video file."""
    return name[: name.rindex(".")] if name.lower().endswith(_VIDEO_SUFFIXES) else name


def extra_json(record: dict[str, Any], known: tuple[str, ...]) -> str | None:
    """Return the fields that the canonical tables have no column for as JSON, or None."""
    extra = {key: value for key, value in record.items() if key not in known}
    return json.dumps(extra, sort_keys=True, ensure_ascii=False) if extra else None


def _read_bytes(path: Path) -> bytes:
    try:
        stored = stored_path(path)
        data = stored.read_bytes()
        other = what_it_is(stored) if data else None
        if other:
            raise BadSourceFile(str(path), other, "the file itself", "Put the file itself in its place.")
        return _decompressed(stored) if stored.suffix == ".gz" or data.startswith(_GZIP) else data
    except FileNotFoundError:
        remedy = "Put it there, or correct its path in the dataset's YAML file."
        raise BadSourceFile(str(path), "no such file", "an annotation file", remedy) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadSourceFile(
            str(path), f"damaged gzip data ({error})", "a complete .gz file", "Fetch it again."
        ) from None


def _decompressed(path: Path) -> bytes:
    """Return what a gzip file holds, if a part of the memory is enough for it."""
    most = free_memory() // _MEMORY_PARTS
    with gzip.open(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        found = f"more than {most:,} bytes, which are too many for the memory"
        raise BadSourceFile(str(path), found, "annotations or predictions", "Unpack it and look what it is.")
    return data


def _parse(text: str, path: str, first_line: int) -> Any:
    try:
        value = json.loads(text, object_pairs_hook=_object_of_different_keys, parse_int=whole_number)
    except json.JSONDecodeError as error:
        where = f"{path}:{first_line + error.lineno - 1}"
        raise BadSourceFile(where, f"no JSON at column {error.colno} ({error.msg})", "JSON") from None
    except _RepeatedKeyError as error:
        raise BadSourceFile(f"{path}:{first_line}", f"the key {error} twice in one object", "every key once") from None
    except (ValueError, RecursionError) as error:
        raise BadSourceFile(f"{path}:{first_line}{_long_number_in(text)}", what_json_lacks(error), "JSON") from None
    if _HALF_A_PAIR.search(text):
        _refuse_halves(value, f"{path}:{first_line}")
    return value


def whole_number(text: str) -> int:
    """Return a whole number of a JSON text (`parse_int` of the decoder).

    Raises
    ------
    ValueError
        If it has more digits than any time or id: converting it takes long, and a float cannot hold it.
    """
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(text)} digits")
    return int(text)


def what_json_lacks(error: ValueError | RecursionError) -> str:
    """Return what is wrong with a JSON text that is well formed and cannot be read."""
    return "too many brackets in one another" if isinstance(error, RecursionError) else str(error)


def _long_number_in(text: str) -> str:
    field = _LONG_NUMBER.search(text)
    return f":{field[1]}" if field else ""


def _refuse_halves(value: Any, where: str) -> None:
    """Refuse text with half of a pair of code units, which no table can hold."""
    parts = value if isinstance(value, dict) else {"": value}
    for key, part in parts.items():
        try:
            json.dumps({key: part}, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            found = f"half of a character, {error.object[error.start]!a}"
            remedy = "Write the whole character, or take it out."
            raise BadValue(f"{where}:{ascii(key)[1:-1]}", found, "Unicode text", remedy) from None


class _RepeatedKeyError(Exception):
    pass


def _object_of_different_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKeyError(repr(next(key for key in keys if keys.count(key) > 1)))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
