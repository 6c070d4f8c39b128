"""What a person reads when a setting is wrong: the file, the dotted key, what was found, and the nearest valid name."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

Layer = tuple[str, Mapping[str, Any]]
"""Where settings come from, as a person would look for them, and the settings."""

Place = tuple[Any, ...]
"""Keys and list indices that lead to a value."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `did you mean "x"? Known: ...` for a name that is not known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f'did you mean "{close[0]}"? ' if close else ""
    return f"{hint}Known: {', '.join(known) or 'none'}."


def source_of(layers: list[Layer], place: Place) -> str:
    """Return the layer that set the value at `place`, or the one that set the section it is missing from."""
    for depth in range(len(place), 0, -1):
        for label, content in reversed(layers):
            found: Any = content
            for key in place[:depth]:
                if not isinstance(found, Mapping) or key not in found:
                    break
                found = found[key]
            else:
                return label
    return layers[0][0]


def explain(
    model: type[BaseModel],
    layers: list[Layer],
    prefix: tuple[str, ...],
    merged: Mapping[str, Any],
    error: ValidationError,
) -> Iterator[str]:
    """Yield one line for every problem that pydantic found.

    Parameters
    ----------
    prefix : keys under which the settings stand in their files
    merged : the settings of all `layers`
    """
    problems = [(_written_place(merged, problem), problem) for problem in error.errors()]
    # Of a value that may be one thing or another, the one that was meant has its fault further inside.
    outer = {place[:depth] for place, _ in problems for depth in range(1, len(place))}
    for place, problem in problems:
        if place not in outer:
            yield _line(model, layers, prefix, place, problem)


def _written_place(merged: Mapping[str, Any], problem: Mapping[str, Any]) -> Place:
    """Return the place as it is written: without the names of alternatives that pydantic puts between the keys."""
    place, current = [], merged
    for key in problem["loc"]:
        is_index = isinstance(current, list) and isinstance(key, int)
        if is_index or (isinstance(current, Mapping) and key in current):
            place.append(key)
            current = current[key]
    return (*place, problem["loc"][-1]) if problem["type"] == "missing" else tuple(place)


def _line(
    model: type[BaseModel], layers: list[Layer], prefix: tuple[str, ...], place: Place, problem: Mapping[str, Any]
) -> str:
    keys = ".".join(str(key) for key in (*prefix, *place))
    where = ": ".join(part for part in (source_of(layers, place), keys) if part)
    if problem["type"] == "extra_forbidden":
        return f"{where}: unknown key; {nearest(str(place[-1]), _fields_at(model, place[:-1]))}"
    if problem["type"] == "missing":
        return f"{where}: missing; add it"
    if problem["type"] == "value_error":
        # A check of the model's own: it says what it found.
        return f"{where}: {problem['ctx']['error']}"
    message = problem["msg"].split(" or instance of ")[0]
    return f"{where}: {message[0].lower()}{message[1:]}, found {problem['input']!r}"


def _fields_at(model: type[BaseModel], place: Place) -> list[str]:
    """Return the keys allowed in the section at `place`."""
    current: Any = model
    for key in place:
        field = current.model_fields.get(key) if _is_model(current) else None
        if field is not None:
            current = _model_in(field.annotation)
        elif not _is_model(current):
            return []
    return list(current.model_fields) if _is_model(current) else []


def _is_model(candidate: Any) -> bool:
    return isinstance(candidate, type) and issubclass(candidate, BaseModel)


def _model_in(annotation: Any) -> Any:
    """Return the model inside an annotation such as `X | None` or `dict[str, X]`, else the annotation."""
    if _is_model(annotation):
        return annotation
    return next(
        (found for arg in getattr(annotation, "__args__", ()) if _is_model(found := _model_in(arg))), annotation
    )
