"""What a video or query is called in a folder of feature files: `{video_id}.npy`, `qid{source_query_id}.npz`."""

import string
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from workflow_scripts.lib.errors import UserError

VIDEO_FIELDS = ("video_id", "source_video_id", "youtube_id")
QUERY_COLUMNS = ("query_id", "source_query_id", "video_id", "split", "ordinal", "audio_path")
"""Columns of the table of queries that tell the fields of a pattern."""
QUERY_FIELDS = (*QUERY_COLUMNS, "audio_stem")


def pattern_fields(pattern: str) -> set[str]:
    """Return the names in braces of a pattern.

    Raises
    ------
    UserError
        If braces do not match, or hold anything but a name.
    """
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise UserError(f"name pattern {pattern!r}: {error}. Write it like {{video_id}}.npy") from None
    fields = set()
    for _, name, spec, conversion in parsed:
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise UserError(f"name pattern {pattern!r}: expected a name in braces, as in {{video_id}}, found {name!r}.")
        fields.add(name)
    return fields


def check_pattern(pattern: str, known: Collection[str]) -> None:
    """Raise `UserError` unless a pattern names at least one field and only known ones."""
    fields = pattern_fields(pattern)
    unknown = sorted(fields - set(known))
    if unknown or not fields:
        found = f"unknown name {unknown[0]!r}" if unknown else "no name in braces, so that all would be called the same"
        raise UserError(f"name pattern {pattern!r}: {found}. Known: {', '.join(known)}.")


def fill_pattern(pattern: str, row: Mapping[str, Any]) -> str | None:
    """Return the name of one video or query, None if a field of the pattern has no value for it.

    Raises
    ------
    UserError
        If the name would lie outside the folder.
    """
    values = {field: row[field] for field in pattern_fields(pattern)}
    if any(value is None for value in values.values()):
        return None
    name = pattern.format(**values)
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise UserError(f"name pattern {pattern!r}: {name!r} lies outside the folder.")
    return name


def query_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a pattern for a row of the table of queries."""
    audio = row["audio_path"]
    return {**row, "audio_stem": None if audio is None else PurePosixPath(audio).stem}


def require_any_file(
    names: Mapping[str, str | None],
    is_there: Callable[[str], bool],
    example: Callable[[], str | None],
    place: Path,
    pattern: str,
) -> None:
    """Refuse names of which none is there: the path or the pattern is wrong.

    Parameters
    ----------
    names : id -> what its file or entry would be called, of the whole dataset
    is_there : whether there is something of a name
    example : returns the name of something that is there
    place, pattern : `path` and `id_pattern` of the feature's file

    Raises
    ------
    UserError
        nothing is there for any id
    """
    if names and not any(name and is_there(name) for name in names.values()):
        raise UserError(called_otherwise(place, pattern, list(names.values()), example()))


def called_otherwise(place: Path, pattern: str, names: Sequence[str | None], example: str | None) -> str:
    """Return what is said of a place in which nothing has one of the names that a pattern gives."""
    return (
        f"{place}: nothing there is called as `id_pattern: {pattern}` says; looked for {names[0]!r} and "
        f"{len(names) - 1} others, found e.g. {example!r}. Change `path` or `id_pattern` in the feature's file."
    )
