"""Write the predictions table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.lib.datasets.prediction_checks import validate_predictions
from workflow_scripts.lib.datasets.schema import PREDICTIONS, QUERY_SCORES
from workflow_scripts.lib.store.tables import write_table


def write_predictions(
    path: Path, predictions: Sequence[Any], names: Mapping[str, str], query_ids: Collection[str]
) -> None:
    """Write ranked spans in canonical form.

    Parameters
    ----------
    predictions : objects with query_id, video_id, rank, start_s, end_s, score and text
    names : run_id, system, dataset and split of all rows
    query_ids : the queries that were asked

    Raises
    ------
    AnnotationError
        the predictions break an invariant of the table (`validate_predictions`); nothing is written
    """
    rows = _rows(predictions, names)
    validate_predictions(rows, query_ids, str(path))
    write_table(path, pa.Table.from_pylist(rows, schema=PREDICTIONS))


def write_ablations(
    path: Path, ablations: Mapping[str, Sequence[Any]], names: Mapping[str, str], query_ids: Collection[str]
) -> None:
    """Write the predictions with a stream set to zero or settings varied, as `write_predictions` does.

    A column `zeroed` names the stream or the variation.

    Parameters
    ----------
    ablations : stream that was set to zero, or variation -> predictions
    """
    labels = {zeroed: f"{zeroed} set to zero" for zeroed in ablations}
    _write_kinds(path, "zeroed", ablations, names, query_ids, labels)


def write_predictors(
    path: Path, predictors: Mapping[str, Sequence[Any]], names: Mapping[str, str], query_ids: Collection[str]
) -> None:
    """Write the predictions of each of a system's predictors, as `write_predictions` does, with a column `predictor`.

    Parameters
    ----------
    predictors : name of a predictor -> predictions
    """
    _write_kinds(path, "predictor", predictors, names, query_ids, {name: f"predictor {name}" for name in predictors})


def write_query_scores(path: Path, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Write numbers that a system gives for whole queries.

    Parameters
    ----------
    scores : name of a score -> query id -> value
    """
    rows = [
        {"query_id": query, "name": name, "value": value}
        for name, values in scores.items()
        for query, value in values.items()
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=QUERY_SCORES))


def _write_kinds(
    path: Path,
    column: str,
    kinds: Mapping[str, Sequence[Any]],
    names: Mapping[str, str],
    query_ids: Collection[str],
    labels: Mapping[str, str],
) -> None:
    """Write several sets of predictions in one table; `column` says which row is of which, `labels` messages."""
    found = []
    for kind, predictions in kinds.items():
        rows = _rows(predictions, names)
        validate_predictions(rows, query_ids, f"{path}, {labels[kind]}")
        found += [{**row, column: kind} for row in rows]
    schema = PREDICTIONS.append(pa.field(column, pa.string(), nullable=False))
    write_table(path, pa.Table.from_pylist(found, schema=schema))


def _rows(predictions: Sequence[Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**names, **vars(prediction), "step_index": None} for prediction in predictions]
