"""What was asked and what a system answered, as a report lists it: an entry per query, caption and ranking."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from statistics import fmean
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import NothingAnnotated
from workflow_scripts.lib.metrics.scored import LENGTHS
from workflow_scripts.lib.metrics.window_ap import cross_iou
from workflow_scripts.lib.predictions.caption_files import window_span
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.shown_captions import marked_words
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id
from workflow_scripts.lib.store.tables import read_table

MAX_RANKS = 5
HIT_IOU = 0.5
"""From this IoU on a moment is found, as R1@0.5 counts it."""
OUTCOMES = {
    "hit": f"rank 1 has an IoU of {HIT_IOU} or more",
    "lower rank": f"not rank 1, but one of ranks 2 to {MAX_RANKS} has",
    "imprecise": "rank 1 overlaps an annotated moment by less",
    "elsewhere": "rank 1 overlaps no annotated moment",
    "no answer": "asked, and nothing could be read or found",
    "not asked": "left out, see the reason",
    "not judged": "nothing is annotated to compare with",
}
"""What became of a query -> what that means."""

Rows = Sequence[Mapping[str, Any]]
Entry = dict[str, Any]


@dataclass(frozen=True)
class SeedAnswers:
    """What one seed answered.

    Attributes
    ----------
    seed : its name
    answers : task -> rows of its table
    scores : rows of the scores that the system gives for queries
    caption_scores : of captions, by what they describe
    unheard : rows of the captions that were written with the sound set to zero
    """

    seed: str
    answers: Mapping[str, Rows]
    scores: Rows = ()
    caption_scores: Mapping[str, float] | None = None
    unheard: Rows = ()


def query_entries(
    split: AnnotatedSplit, references: Sequence[Reference], seeds: Sequence[SeedAnswers], group_by: str | None = None
) -> list[Entry]:
    """Return an entry for every query of which a moment, highlights or steps could be asked; none if none was.

    Parameters
    ----------
    split : annotated
    references : its queries
    seeds : answers; every list of an entry that is by seed is in their order
    group_by : field of the queries' extra data that is their kind
    """
    tasks = ("moments", "highlights", "steps")
    by_seed = [{task: _by_query(own.answers[task]) for task in tasks} for own in seeds]
    if not any(own[task] for own in by_seed for task in tasks):
        return []
    ratings, steps = _mean_ratings(split), _by_query(split.table("steps").to_pylist())
    notes = _by_query(seeds[0].scores)
    return [
        _query_entry(query, [{task: own[task][query.query_id] for task in tasks} for own in by_seed])
        | _optional(rated=ratings.get(query.query_id), steps=_steps(steps[query.query_id]))
        | _optional(notes=[f"{row['name'].replace('_', ' ')} {row['value']:.2f}" for row in notes[query.query_id]])
        | {"kind": str(query.extra.get(group_by or "kind", ""))}
        for query in references
    ]


def _query_entry(query: Reference, answers: Sequence[Mapping[str, Rows]]) -> Entry:
    annotated = list(query.spans) or ([query.span] if query.span else [])
    ranked = [_ranked(own["moments"], annotated) for own in answers]
    curves = [own["highlights"][0]["scores"] if own["highlights"] else [] for own in answers]
    steps = [_steps(own["steps"]) for own in answers]
    was_asked = [any(own.values()) for own in answers]
    return {
        "task": "moments",
        "id": query.query_id,
        "video": query.video_id,
        "text": query.text,
        "duration": _seconds(query.duration_s),
        "length": length_of(annotated[0]) if annotated else "",
        "annotated": [_span(span) for span in annotated],
        "predicted": [[row for row in rows if row is not None] for rows in ranked],
        "quality": [_first_iou(rows, annotated) for rows in ranked],
        "outcome": [_outcome(rows, annotated, asked) for rows, asked in zip(ranked, was_asked, strict=True)],
    } | _optional(
        curves=[_rounded(curve, 4) for curve in curves] if any(curves) else None,
        predicted_steps=steps if any(steps) else None,
    )


def length_of(span: Sequence[float]) -> str:
    """Return which of the lengths that metrics are reported for a moment has."""
    length_s = span[1] - span[0]
    return next((name for name, (low, high) in LENGTHS.items() if low < length_s <= high), next(iter(LENGTHS)))


def _ranked(rows: Rows, annotated: Sequence[Sequence[float]]) -> list[list[Any] | None]:
    """Return start, end, score and best IoU of the first ranks; None for one without a span."""
    first = sorted((row for row in rows if row["rank"] < MAX_RANKS), key=lambda row: row["rank"])
    return [
        None
        if row["start_s"] is None
        else [
            *_span((row["start_s"], row["end_s"])),
            _rounded([row["score"]], 4)[0] if row.get("score") is not None else None,
            best_iou((row["start_s"], row["end_s"]), annotated),
        ]
        for row in first
    ]


def best_iou(span: Sequence[float], annotated: Sequence[Sequence[float]]) -> float | None:
    """Return the largest IoU of a span with any annotated one; None if nothing is annotated."""
    if not annotated:
        return None
    return round(float(cross_iou(np.array(span), np.array(annotated), "identical").max()), 4)


def _first_iou(rows: Sequence[list[Any] | None], annotated: Sequence[Sequence[float]]) -> float | None:
    if not annotated or not rows:
        return None
    return 0.0 if rows[0] is None else rows[0][3]


def _outcome(rows: Sequence[list[Any] | None], annotated: Sequence[Sequence[float]], was_asked: bool) -> str:
    if not was_asked:
        return "not asked"
    if rows and rows[0] is None:
        return "no answer"
    if not annotated or not rows:
        return "not judged"
    ious = [row[3] for row in rows if row is not None]
    if ious[0] >= HIT_IOU:
        return "hit"
    if max(ious) >= HIT_IOU:
        return "lower rank"
    return "imprecise" if ious[0] > 0 else "elsewhere"


def _mean_ratings(split: AnnotatedSplit) -> dict[str, list[list[float]]]:
    """Return start, end and mean of the raters of every rated clip."""
    rated: dict[str, list[list[float]]] = defaultdict(list)
    for row in split.table("saliency").to_pylist():
        start_s = row["clip_index"] * row["clip_length_s"]
        rated[row["query_id"]].append([*_span((start_s, start_s + row["clip_length_s"])), round(_mean(row), 2)])
    return rated


def _mean(row: Mapping[str, Any]) -> float:
    return fmean(row["scores"]) if row["scores"] else 0.0


def _steps(rows: Rows) -> list[list[Any]]:
    ordered = sorted((row for row in rows if row["start_s"] is not None), key=lambda row: row["step_index"])
    return [[*_span((row["start_s"], row["end_s"])), row.get("text") or ""] for row in ordered]


def caption_entries(split: AnnotatedSplit, seeds: Sequence[SeedAnswers], window_s: float | None) -> list[Entry]:
    """Return an entry for every caption: of a video, a window of one, or a step.

    Parameters
    ----------
    window_s : length of the windows in seconds, where captions are of windows
    """
    texts = _reference_texts(split.captions) | _reference_texts(split.step_captions)
    bounds = {
        step_id(row["query_id"], row["step_index"]): _span((row["start_s"], row["end_s"]))
        for row in split.table("steps").to_pylist()
    }
    videos = read_table(split.folder / "videos.parquet", ["video_id", "duration_s"])
    durations_s = dict(zip(*(column.to_pylist() for column in videos.columns), strict=True))
    first = [{_described(row): row for row in own.answers["captions"] if row["rank"] == 0} for own in seeds]
    deaf = {_described(row): row["text"] for row in seeds[0].unheard if row["rank"] == 0}
    named = {name: row for own in first for name, row in own.items()}
    found = []
    for name, row in named.items():
        own = [answers[name]["text"] if name in answers else "" for answers in first]
        spans = {"step": bounds.get(name)} if row["query_id"] else {"window": _window(row, window_s, durations_s)}
        references = list(texts.get(name, []))
        scores = [(each.caption_scores or {}).get(name) for each in seeds]
        entry = {"task": "captions", "id": f"caption/{name}", "video": row["video_id"], "text": own[0], "name": name}
        entry |= {"captions": own, "references": references, "heard": marked_words(own[0], deaf.get(name))}
        entry |= {"quality": _rounded(scores, 2), "outcome": ["" if references else "not judged"] * len(seeds)}
        found.append(entry | _optional(**spans))
    return found


def _described(row: Mapping[str, Any]) -> str:
    """Return what scores call a video, a window of one or a step."""
    if row["query_id"]:
        return step_id(row["query_id"], row["step_index"])
    return row["video_id"] if row["step_index"] is None else f"{row['video_id']}, window {row['step_index'] + 1}"


def _window(
    row: Mapping[str, Any], window_s: float | None, durations_s: Mapping[str, float | None]
) -> list[float] | None:
    if row["step_index"] is None or window_s is None:
        return None
    duration_s = durations_s.get(row["video_id"])
    return _span(window_span(row["step_index"], window_s, inf if duration_s is None else duration_s))


def _reference_texts(question: Callable[[], Any]) -> dict[str, Sequence[str]]:
    try:
        asked = question()
    except NothingAnnotated:
        return {}
    return dict(zip(asked.ids, asked.texts, strict=True))


def ranking_entries(split: AnnotatedSplit, seeds: Sequence[SeedAnswers]) -> list[Entry]:
    """Return an entry for every prompt: the first videos, and at which rank the first right one is."""
    prompts, names = split.prompts(), split.source_names()
    by_seed = [_by_query(own.answers["videos"]) for own in seeds]
    if not any(by_seed):
        return []
    asked = split.rankings()
    relevant = dict(zip(asked.ids, map(set, asked.videos), strict=True))
    found = []
    for query in dict.fromkeys(query for own in by_seed for query in own):
        prompt = prompts.get(query, query)
        right = relevant.get(prompt, set())
        ranked = [sorted(own[query], key=lambda row: row["rank"]) for own in by_seed]
        firsts = [next((row["rank"] + 1 for row in rows if names[row["video_id"]] in right), None) for rows in ranked]
        shown = [
            [[row["video_id"], names[row["video_id"]], names[row["video_id"]] in right] for row in rows[:MAX_RANKS]]
            for rows in ranked
        ]
        entry = {"task": "videos", "id": f"ranking/{query}", "text": prompt, "first_right": firsts, "ranking": shown}
        entry |= {"video": next((rows[0][0] for rows in shown if rows), "")}
        found.append(entry | {"quality": [1 / rank if rank else 0.0 for rank in firsts], "outcome": [""] * len(seeds)})
    return found


def _by_query(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["query_id"]].append(row)
    return found


def _optional(**fields: Any) -> Entry:
    """Return those fields that say something."""
    return {name: value for name, value in fields.items() if value}


def _span(span: Sequence[float]) -> list[float]:
    return [_seconds(span[0]), _seconds(span[1])]


def _seconds(value: float) -> float:
    # What a player can be sent to; more digits would only make the page longer.
    return round(float(value), 2)


def _rounded(values: Iterable[float | None], digits: int) -> list[float | None]:
    return [None if value is None else round(float(value), digits) for value in values]
