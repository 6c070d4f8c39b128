"""Write the predictions table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.datasets.schema import PREDICTIONS
from workflow_scripts.store.tables import write_table


def write_predictions(
    path: Path, predictions: Sequence[Any], names: Mapping[str, str], extra: Sequence[Mapping[str, str]] | None = None
) -> None:
    """Write ranked spans in canonical form.

    Parameters
    ----------
    predictions : objects with query_id, video_id, rank, start_s, end_s, score and text
    names : run_id, system, dataset and split of all rows
    extra : text columns beyond the canonical ones, one mapping per prediction
    """
    schema = PREDICTIONS
    if extra is not None:
        schema = schema.append(pa.field("zeroed", pa.string(), nullable=False))
    rows = [
        {**names, **vars(prediction), "step_index": None, **(extra[i] if extra else {})}
        for i, prediction in enumerate(predictions)
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=schema))
