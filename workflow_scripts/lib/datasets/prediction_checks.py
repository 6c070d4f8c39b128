"""The invariants of the table of predictions."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from workflow_scripts.lib.datasets import errors


def validate_predictions(
    rows: Iterable[Mapping[str, Any]], query_ids: Collection[str], where: str, needs_score: bool = False
) -> None:
    """Check the predictions of one run.

    Parameters
    ----------
    rows : iterable of mappings
        Rows of the table of predictions.
    query_ids : collection of str
        The queries that were asked.
    where : str
        File or run that a message names.
    needs_score : bool
        Whether the metrics sort by score.

    Raises
    ------
    UnknownQuery, MissingPrediction
        If the predicted queries are not the asked ones. A query without answer needs a row with rank 0 and no span.
    BadRank, NonFiniteSpan, ReversedSpan, NonFiniteScore, MissingScore
        If a row is broken.
    """
    known, n_rows = set(query_ids), {}
    remedy = "This is a fault of the system that made the predictions."
    for row in rows:
        query_id, place = row["query_id"], f"{where}: {row['query_id']} rank {row['rank']}"
        if query_id not in known:
            raise errors.UnknownQuery(place, repr(query_id), "one of the queries that were asked", remedy)
        if row["rank"] != n_rows.get(query_id, 0):
            raise errors.BadRank(place, f"the rank {row['rank']}", f"{n_rows.get(query_id, 0)}, without gaps", remedy)
        n_rows[query_id] = row["rank"] + 1
        _check_span(place, row["start_s"], row["end_s"], remedy)
        if row["score"] is None and needs_score:
            raise errors.MissingScore(place, "no score", "one, because the metrics sort by it", remedy)
        if row["score"] is not None and not math.isfinite(row["score"]):
            raise errors.NonFiniteScore(place, f"the score {row['score']}", "a finite number", remedy)
    unanswered = sorted(known - n_rows.keys())
    if unanswered:
        found = f"no row for {len(unanswered)} of {len(known)} queries, e.g. {unanswered[0]}"
        raise errors.MissingPrediction(where, found, "a row for every query, without a span for a miss", remedy)


def _check_span(place: str, start_s: float | None, end_s: float | None, remedy: str) -> None:
    if start_s is None and end_s is None:
        return
    if start_s is None or end_s is None or not (math.isfinite(start_s) and math.isfinite(end_s)):
        raise errors.NonFiniteSpan(place, f"the span {start_s} to {end_s} s", "two finite numbers, or none", remedy)
    if start_s > end_s:
        raise errors.ReversedSpan(place, f"the span {start_s} to {end_s} s", "start <= end", remedy)
