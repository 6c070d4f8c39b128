"""The answers of a run as tables, one per task: `answers/<task>.parquet`, all of them always there."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.datasets.schema import columns
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.predictions.answer_checks import check_answers
from workflow_scripts.lib.store.tables import read_table, write_table

FOLDER, QUERY_SCORES = "answers", "query_scores.parquet"
OWN = ""
"""Variant of the system's own answers."""
ZERO, VARIATION, PREDICTOR, FLOOR = "zero:", "variation:", "predictor:", "floor"
"""Prefixes of other variants: a stream set to zero, other settings, a part of the system; and the baseline's."""

_TEXT = pa.string()
_RUN = {"run_id": _TEXT, "system": _TEXT, "dataset": _TEXT, "split": _TEXT, "variant": _TEXT}
SCHEMAS: dict[str, pa.Schema] = {
    "moments": columns(
        **_RUN,
        query_id=_TEXT,
        video_id=_TEXT,
        rank=pa.int32(),
        start_s=(pa.float64(),),
        end_s=(pa.float64(),),
        score=(pa.float64(),),
        text=(_TEXT,),
        is_readable=pa.bool_(),
    ),
    "highlights": columns(**_RUN, query_id=_TEXT, video_id=_TEXT, scores=pa.list_(pa.float32())),
    "steps": columns(
        **_RUN, query_id=_TEXT, video_id=_TEXT, step_index=pa.int32(), start_s=(pa.float64(),), end_s=(pa.float64(),)
    ),
    "captions": columns(
        **_RUN,
        query_id=_TEXT,
        video_id=_TEXT,
        step_index=(pa.int32(),),
        rank=pa.int32(),
        text=_TEXT,
        score=(pa.float64(),),
    ),
    "videos": columns(**_RUN, query_id=_TEXT, rank=pa.int32(), video_id=_TEXT, score=pa.float64()),
}
"""Task -> its table."""
QUERY_SCORES_SCHEMA = columns(query_id=_TEXT, name=_TEXT, value=pa.float64())


def answers_table(task: str, answers: Iterable[Any], names: Mapping[str, str]) -> pa.Table:
    """Return answers to one task as a table.

    Parameters
    ----------
    answers : of the answer type of the task (`models.systems.interface`)
    names : run_id, system, dataset and split of all rows
    """
    given, schema = list(answers), SCHEMAS[task]
    columns = [
        pa.array([names.get(field.name, "")] * len(given), field.type)
        if field.name in _RUN and field.name != "variant"
        else pa.array([getattr(answer, field.name) for answer in given], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def write_answers(
    run: Path,
    answers: Mapping[str, Iterable[Any]],
    names: Mapping[str, str],
    asked: Mapping[str, Collection[str]],
    *,
    may_be_reversed: bool = False,
) -> None:
    """Write the five tables of a run.

    Parameters
    ----------
    run : folder of the run
    answers : task -> answers of all variants; a task that is not there was not asked
    names : run_id, system, dataset and split of all rows
    asked : task -> what every variant of it must answer: ids of queries, or of videos for captions of videos
    may_be_reversed : whether spans may end before they start

    Raises
    ------
    AnnotationError
        the answers break an invariant (`check_answers`); nothing is written
    """
    tables = {task: answers_table(task, answers.get(task, ()), names) for task in SCHEMAS}
    for task, table in tables.items():
        if task in answers:
            check_answers(task, table, asked[task], str(answers_path(run, task)), may_be_reversed=may_be_reversed)
    for task, table in tables.items():
        write_table(answers_path(run, task), table)


def answers_path(run: Path, task: str) -> Path:
    """Return the table of a task in the folder of a run."""
    return run / FOLDER / f"{task}.parquet"


def read_answers(run: Path, task: str, variant: str | None = OWN) -> pa.Table:
    """Read the answers of one variant to a task; None: of all.

    Raises
    ------
    UserError
        the table is missing, damaged, or of an older form
    """
    path = answers_path(run, task)
    if not path.is_file() and (run / "predictions.parquet").is_file():
        raise UserError(f"{run}: holds predictions.parquet, the older form of answers; {_AGAIN}")
    table = read_table(path)
    if not table.schema.equals(SCHEMAS[task]):
        other = sorted(set(table.schema.names) ^ set(SCHEMAS[task].names)) or "their types"
        raise UserError(f"{path}: a table of an older form (columns that differ: {other}); {_AGAIN}")
    return table if variant is None else table.filter(pc.equal(table["variant"], variant))


_AGAIN = "run the rule `predict` again (delete the file, or use --forcerun predict)"


def variants_in(table: pa.Table, prefix: str) -> list[str]:
    """Return what follows a prefix in the variants of a table, in the order of their first rows."""
    return [name.removeprefix(prefix) for name in pc.unique(table["variant"]).to_pylist() if name.startswith(prefix)]


def write_query_scores(run: Path, scores: Iterable[Any]) -> None:
    """Write the numbers that a system gives for whole queries."""
    rows = [asdict(score) for score in scores]
    write_table(run / QUERY_SCORES, pa.Table.from_pylist(rows, schema=QUERY_SCORES_SCHEMA))
