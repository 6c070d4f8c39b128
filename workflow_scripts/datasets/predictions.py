"""Write the predictions table."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.datasets.prediction_checks import validate_predictions
from workflow_scripts.datasets.schema import PREDICTIONS
from workflow_scripts.store.tables import write_table


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
    """Write the predictions with a stream set to zero, as `write_predictions` does, with a column `zeroed`.

    Parameters
    ----------
    ablations : stream that was set to zero -> predictions
    """
    found = []
    for zeroed, predictions in ablations.items():
        rows = _rows(predictions, names)
        validate_predictions(rows, query_ids, f"{path}, {zeroed} set to zero")
        found += [{**row, "zeroed": zeroed} for row in rows]
    schema = PREDICTIONS.append(pa.field("zeroed", pa.string(), nullable=False))
    write_table(path, pa.Table.from_pylist(found, schema=schema))


def _rows(predictions: Sequence[Any], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{**names, **vars(prediction), "step_index": None} for prediction in predictions]
