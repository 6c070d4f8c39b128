"""The invariants of the tables of answers."""

import math
from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.datasets import errors

COUNTED = {"moments": "rank", "steps": "step_index", "captions": "rank", "videos": "rank"}
"""Task -> the column that counts the rows of everything that was asked; of other tasks there is one row each."""
REMEDY = "This is a fault of the system that made the answers."


def check_answers(
    task: str, table: pa.Table, asked: Collection[str], where: str, *, may_be_reversed: bool = False
) -> None:
    """Check the answers of one run to one task, each variant by itself.

    Parameters
    ----------
    task : of the table
    asked : what every variant must answer: ids of queries, or of videos for captions of videos
    where : file that a message names
    may_be_reversed : whether spans may end before they start (a rule set then counts them as misses)

    Raises
    ------
    UnknownQuery, MissingPrediction
        If what was answered is not what was asked. A moment query without answer needs a row of rank 0 without span.
    BadRank
        If ranks, or the numbers of steps, are not 0, 1, 2, ... for everything that was asked.
    NonFiniteSpan, ReversedSpan, NonFiniteScore
        If a row is broken.
    """
    known = set(asked)
    for variant, rows in _by_variant(table):
        n_rows: dict[tuple[str, int | None], int] = {}
        place = f"{where}, variant {variant}" if variant else where
        for row in rows:
            owner = row.get("query_id") or row["video_id"]
            if owner not in known:
                raise errors.UnknownQuery(place, repr(owner), "one of those that were asked", REMEDY)
            key = row["step_index"] if task == "captions" else None
            due = n_rows.get((owner, key), 0)
            number = row[COUNTED[task]] if task in COUNTED else 0
            if number != due:
                found, expected = f"{COUNTED.get(task, 'row')} {number}", f"{due}, without gaps or repetition"
                raise errors.BadRank(f"{place}: {owner}", found, expected, REMEDY)
            n_rows[owner, key] = due + 1
            _check_numbers(f"{place}: {owner} {number}", row, may_be_reversed)
        unanswered = sorted(known - {owner for owner, _ in n_rows})
        if unanswered:
            found = f"no row for {len(unanswered)} of {len(known)} that were asked, e.g. {unanswered[0]}"
            raise errors.MissingPrediction(place, found, "a row for each", REMEDY)


def _by_variant(table: pa.Table) -> Iterator[tuple[str, Iterator[Mapping[str, Any]]]]:
    order = table.take(pc.sort_indices(table["variant"])) if len(table) else table
    rows = order.to_pylist()
    if not rows:
        yield "", iter(())
    yield from groupby(rows, key=lambda row: row["variant"])


def _check_numbers(place: str, row: Mapping[str, Any], may_be_reversed: bool) -> None:
    if "start_s" in row:
        _check_span(place, row["start_s"], row["end_s"], may_be_reversed)
    scores = row["scores"] if "scores" in row else [] if row.get("score") is None else [row["score"]]
    wrong = [score for score in scores if not math.isfinite(score)]
    if wrong:
        raise errors.NonFiniteScore(place, f"the score {wrong[0]}", "a finite number", REMEDY)


def _check_span(place: str, start_s: float | None, end_s: float | None, may_be_reversed: bool) -> None:
    if start_s is None and end_s is None:
        return
    if start_s is None or end_s is None or not (math.isfinite(start_s) and math.isfinite(end_s)):
        raise errors.NonFiniteSpan(place, f"the span {start_s} to {end_s} s", "two finite numbers, or none", REMEDY)
    if start_s > end_s and not may_be_reversed:
        raise errors.ReversedSpan(place, f"the span {start_s} to {end_s} s", "start <= end", REMEDY)
