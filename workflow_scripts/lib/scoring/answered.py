"""Read predictions.parquet as the answers that a rule set scores, column by column."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.calce import UNREADABLE
from workflow_scripts.lib.metrics.clip_saliency import CLIP_LENGTH_S, ClipScores, read_clip_scores
from workflow_scripts.lib.metrics.errors import MissingPrediction, MissingScore, name_some
from workflow_scripts.lib.metrics.questions import Captions, Moments, Question, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.windows import pad_windows
from workflow_scripts.lib.scoring.annotated import step_id
from workflow_scripts.lib.store.tables import read_table


def read_spans(predictions: pa.Table, question: Moments, *, keeps_unreadable: bool = False) -> Spans:
    """Return the predicted spans of the queries that are asked.

    Parameters
    ----------
    predictions : rows of the table of predictions; those of other queries are passed over
    question : what is asked
    keeps_unreadable : whether a row without a span is a window of its own (`UNREADABLE`), or is left out: then a query
        with no other row is a miss

    Raises
    ------
    MissingPrediction, MissingScore, NonFiniteSpan, ReversedSpan, NonFiniteScore
        If a query has no row, only some rows have a score, or a row is broken.
    """
    asked = pc.index_in(predictions["query_id"], pa.array(question.ids, pa.string()))
    query, rank = asked.fill_null(-1).to_numpy(), predictions["rank"].to_numpy()
    n_rows = np.bincount(query[query >= 0], minlength=len(question.ids))
    if not n_rows.all():
        missing = [question.ids[i] for i in np.flatnonzero(n_rows == 0)]
        raise MissingPrediction(
            f"{len(missing)} of {len(question.ids)} queries have no prediction: query {name_some(missing)}"
        )
    has_span = pc.or_(pc.is_valid(predictions["start_s"]), pc.is_valid(predictions["end_s"])).to_numpy()
    is_kept = (query >= 0) if keeps_unreadable else (query >= 0) & has_span
    # By query, then by rank.
    order = np.flatnonzero(is_kept)
    order = order[np.lexsort((rank[order], query[order]))]
    query = query[order]
    has_score = pc.is_valid(predictions["score"]).to_numpy()[order]
    if has_score.any() and not has_score.all():
        named = name_some([question.ids[i] for i in np.unique(query[~has_score])])
        raise MissingScore(f"spans without a score beside spans with one: query {named}")
    columns = ("start_s", "end_s", "score") if has_score.any() else ("start_s", "end_s")
    values = np.empty((len(order), len(columns)))
    for i, name in enumerate(columns):
        values[:, i] = predictions[name].cast(pa.float64()).to_numpy()[order]
    values[~has_span[order], :2] = UNREADABLE
    return Spans(pad_windows(question.ids, np.bincount(query, minlength=len(question.ids)), values))


def read_answers(
    predictions: pa.Table, saliency: Path, rules: str, question: Question
) -> Spans | Steps | Captions | Rankings:
    """Return what a system's predictions say to a question of a rule set's task.

    Parameters
    ----------
    predictions : rows of the table of predictions: spans, or steps and their captions (rows with a `step_index`), or
        captions of videos (rows with a `text` and no span)
    saliency : table of predicted saliency, which need not be there

    Raises
    ------
    PredictionError
        Its subclasses.
    """
    task, about_steps = RULE_SETS[rules].task, RULE_SETS[rules].about_steps
    is_step = pc.is_valid(predictions["step_index"])
    if task == "moments":
        moments = predictions.filter(pc.invert(is_step)) if pc.any(is_step).as_py() else predictions
        spans = read_spans(moments, question, keeps_unreadable=rules == "calce")
        return Spans(spans.windows, read_saliency(saliency, question))
    if task == "videos":
        raise MissingPrediction("the table of predictions ranks no videos; score a file of them (external)")
    rows = predictions.filter(is_step if task == "steps" or about_steps else pc.invert(is_step)).to_pylist()
    answers: dict[str, list] = {}
    for row in sorted(rows, key=lambda row: (row["step_index"] or 0, row["rank"])):
        if task == "steps" and row["start_s"] is not None:
            answers.setdefault(row["query_id"], []).append([row["start_s"], row["end_s"]])
        elif task != "steps" and row["text"] is not None:
            name = step_id(row["query_id"], row["step_index"]) if about_steps else row["video_id"]
            answers.setdefault(name, []).append(row["text"])
    missing = [name for name in question.ids if name not in answers]
    if missing:
        named = name_some(missing)
        raise MissingPrediction(f"{len(missing)} of {len(question.ids)} {task} have no prediction: query {named}")
    found = [answers[name] for name in question.ids]
    return (
        Steps(question.ids, question.video_ids, found)
        if task == "steps"
        else Captions(question.ids, question.video_ids, [texts[:1] for texts in found])
    )


def read_saliency(path: Path, question: Moments) -> ClipScores | None:
    """Return the predicted saliency of the queries that are asked; None if the system predicts none.

    Raises
    ------
    EmptyPrediction, NonFiniteScore
        If a query has no scores, or a score is no finite number.
    """
    if not path.is_file():
        return None
    table = read_table(path, ["query_id", "scores"])
    scores_of = dict(zip(table["query_id"].to_pylist(), table["scores"].to_pylist(), strict=True))
    n_clips = (question.durations_s / CLIP_LENGTH_S).astype(np.int64)
    return read_clip_scores(question.ids, [scores_of.get(query) for query in question.ids], n_clips, False)
