"""Read the tables of answers as what a rule set scores, column by column."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.calce import UNREADABLE
from workflow_scripts.lib.metrics.clip_saliency import CLIP_LENGTH_S, ClipScores, read_clip_scores
from workflow_scripts.lib.metrics.errors import MissingPrediction, MissingScore, name_some
from workflow_scripts.lib.metrics.questions import Captions, Moments, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.windows import pad_windows


def read_spans(
    moments: pa.Table, question: Moments, *, keeps_unreadable: bool = False, may_be_reversed: bool = False
) -> Spans:
    """Return the predicted spans of the queries that are asked.

    Parameters
    ----------
    moments : rows of the table of moments; those of other queries are passed over
    question : what is asked
    keeps_unreadable : whether a row without a span is a window of its own (`UNREADABLE`), or is left out: then a query
        with no other row is a miss
    may_be_reversed : whether the rule set knows spans that end before they start, and counts them as misses. Others
        get an empty span at its start for such a one, which misses too; answers of a system that may not give any were
        refused when they were written

    Raises
    ------
    MissingPrediction, MissingScore, NonFiniteSpan, NonFiniteScore
        If a query has no row, only some rows have a score, or a row is broken.
    """
    asked = pc.index_in(moments["query_id"], pa.array(question.ids, pa.string()))
    query, rank = asked.fill_null(-1).to_numpy(), moments["rank"].to_numpy()
    n_rows = np.bincount(query[query >= 0], minlength=len(question.ids))
    _refuse_missing([question.ids[i] for i in np.flatnonzero(n_rows == 0)], len(question.ids), "queries")
    has_span = pc.or_(pc.is_valid(moments["start_s"]), pc.is_valid(moments["end_s"])).to_numpy()
    is_kept = (query >= 0) if keeps_unreadable else (query >= 0) & has_span
    # By query, then by rank.
    order = np.flatnonzero(is_kept)
    order = order[np.lexsort((rank[order], query[order]))]
    query = query[order]
    has_score = pc.is_valid(moments["score"]).to_numpy()[order]
    if has_score.any() and not has_score.all():
        named = name_some([question.ids[i] for i in np.unique(query[~has_score])])
        raise MissingScore(f"spans without a score beside spans with one: query {named}")
    columns = ("start_s", "end_s", "score") if has_score.any() else ("start_s", "end_s")
    values = np.empty((len(order), len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = moments[name].cast(pa.float64()).to_numpy()[order]
    values[~has_span[order], :2] = UNREADABLE
    counts = np.bincount(query, minlength=len(question.ids))
    if not may_be_reversed:
        np.maximum(values[:, 0], values[:, 1], out=values[:, 1])
    return Spans(pad_windows(question.ids, counts, values, allow_reversed=may_be_reversed))


def read_saliency(highlights: pa.Table, question: Moments) -> ClipScores | None:
    """Return the predicted saliency of the queries that are asked; None if there is none.

    Raises
    ------
    EmptyPrediction, NonFiniteScore
        If a query has no scores, or a score is no finite number.
    """
    if not highlights.num_rows:
        return None
    scores_of = dict(zip(highlights["query_id"].to_pylist(), highlights["scores"].to_pylist(), strict=True))
    n_clips = (question.durations_s / CLIP_LENGTH_S).astype(np.int64)
    return read_clip_scores(question.ids, [scores_of.get(query) for query in question.ids], n_clips, False)


def read_steps(steps: pa.Table, question: Steps) -> Steps:
    """Return the predicted steps of the queries that are asked, in their order; a row without span says: no step."""
    found: dict[str, list[list[float]]] = {}
    for row in _sorted(steps, ("step_index",)):
        own = found.setdefault(row["query_id"], [])
        if row["start_s"] is not None:
            own.append([row["start_s"], row["end_s"]])
    return Steps(question.ids, question.video_ids, _of_all(found, question.ids, "queries"))


def read_captions(captions: pa.Table, question: Captions, name_of: Callable[[Mapping[str, Any]], str]) -> Captions:
    """Return the first caption of everything that is asked.

    Parameters
    ----------
    name_of : row -> what the question calls the thing that it describes
    """
    found: dict[str, list[str]] = {}
    for row in _sorted(captions, ("rank",)):
        if row["rank"] == 0:
            found[name_of(row)] = [row["text"]]
    return Captions(question.ids, question.video_ids, _of_all(found, question.ids, "captions"))


def read_rankings(
    videos: pa.Table, question: Rankings, prompts: Mapping[str, str], names: Mapping[str, str]
) -> Rankings:
    """Return the ranked videos of every prompt that is asked.

    Parameters
    ----------
    prompts : query -> its text
    names : video id -> its name in the question
    """
    found: dict[str, tuple[list[str], list[float]]] = {}
    first: dict[str, str] = {}
    for row in _sorted(videos, ("rank",)):
        prompt = prompts.get(row["query_id"])
        if prompt is not None and first.setdefault(prompt, row["query_id"]) == row["query_id"]:
            ranked = found.setdefault(prompt, ([], []))
            ranked[0].append(names[row["video_id"]])
            ranked[1].append(row["score"])
    rankings = _of_all(found, question.ids, "prompts")
    return Rankings(question.ids, [own[0] for own in rankings], [own[1] for own in rankings])


def _sorted(table: pa.Table, by: Sequence[str]) -> list[dict[str, Any]]:
    return table.sort_by([(name, "ascending") for name in by]).to_pylist()


def _of_all(found: Mapping[str, Any], ids: Sequence[str], what: str) -> list[Any]:
    _refuse_missing([name for name in ids if name not in found], len(ids), what)
    return [found[name] for name in ids]


def _refuse_missing(missing: Sequence[str], n_asked: int, what: str) -> None:
    if missing:
        raise MissingPrediction(f"{len(missing)} of {n_asked} {what} have no prediction: query {name_some(missing)}")
