"""Pairs predicted rows with annotated ones, and refuses rows that do not fit together."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workflow_scripts.lib.metrics.errors import (
    DuplicateQuery,
    MalformedRow,
    MissingField,
    MissingPrediction,
    PredictionError,
    UnknownQuery,
    name_some,
)

Row = Mapping[str, Any]


def refuse_duplicates(
    ids: Iterable[Any], error: type[PredictionError] = DuplicateQuery, kind: str = "query", where: str = "predictions"
) -> None:
    """Raise `error` if an id occurs twice."""
    doubled = [i for i, count in Counter(ids).items() if count > 1]
    if doubled:
        raise error(f"{where}: {len(doubled)} ids occur more than once: {kind} {name_some(doubled)}")


def refuse_other_ids(rows: Sequence[Row], field: str, where: str = "predictions") -> None:
    """Raise MalformedRow unless every row's id is a text or a number."""
    wrong = [repr(row[field]) for row in rows if not isinstance(row[field], (str, int, float))]
    if wrong:
        raise MalformedRow(f"{where}: {field!r} is neither a text nor a number: query {name_some(wrong)}")


def refuse_unpaired(predicted: Iterable[Any], annotated: Iterable[Any], kind: str = "query") -> None:
    """Raise UnknownQuery or MissingPrediction unless both sides name the same ids."""
    predicted, annotated = dict.fromkeys(predicted), dict.fromkeys(annotated)
    unknown = [i for i in predicted if i not in annotated]
    if unknown:
        raise UnknownQuery(
            f"{len(unknown)} of {len(predicted)} predictions have no annotation: {kind} {name_some(unknown)}. "
            "Are they of another split? --allow-missing evaluates what both sides have."
        )
    missing = [i for i in annotated if i not in predicted]
    if missing:
        raise MissingPrediction(
            f"{len(missing)} of {len(annotated)} annotations have no prediction: {kind} {name_some(missing)}. "
            "--allow-missing evaluates what both sides have."
        )


def pair_rows(
    predictions: Sequence[Row], annotations: Sequence[Row], allow_missing: bool
) -> tuple[list[Row], list[Row]]:
    """Return predicted and annotated rows of the same `qid` side by side, in the order of the predictions.

    Raises
    ------
    DuplicateQuery, UnknownQuery, MissingPrediction
        If the `qid`s of both sides are not the same set; with `allow_missing` only if they have none in common.
    """
    for rows, where in ((predictions, "predictions"), (annotations, "annotations")):
        require_field(rows, "qid", where)
        refuse_other_ids(rows, "qid", where)
        refuse_duplicates((row["qid"] for row in rows), where=where)
    annotation_of = {row["qid"]: row for row in annotations}
    if not allow_missing:
        refuse_unpaired((row["qid"] for row in predictions), annotation_of)
    common = [row for row in predictions if row["qid"] in annotation_of]
    if not common:
        raise MissingPrediction(
            f"none of the {len(annotation_of)} annotated queries has a prediction, e.g. query "
            f"{name_some(list(annotation_of), 1)}"
        )
    return common, [annotation_of[row["qid"]] for row in common]


def has_field(rows: Sequence[Row], field: str, where: str = "predictions") -> bool:
    """Return whether the rows have a field; raise MissingField if only some do, MalformedRow if a row is no mapping."""
    shapeless = [f"number {i}" for i, row in enumerate(rows) if not isinstance(row, Mapping)]
    if shapeless:
        raise MalformedRow(f"{where}: rows without fields: query {name_some(shapeless)}")
    without = [row for row in rows if field not in row]
    if without and len(without) < len(rows):
        ids = [row.get("qid", f"number {i}") for i, row in enumerate(rows) if field not in row]
        raise MissingField(f"{where}: {len(without)} of {len(rows)} rows have no {field!r}: query {name_some(ids)}")
    return bool(rows) and not without


def require_field(rows: Sequence[Row], field: str, where: str = "predictions") -> None:
    """Raise MissingField unless every row has the field."""
    if rows and not has_field(rows, field, where):
        named = [str(row["qid"]) for row in rows[:1] if "qid" in row]
        raise MissingField(f"{where}: no row has {field!r}" + (f", e.g. query {named[0]}" if named else ""))
