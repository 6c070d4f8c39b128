"""What a system answered, as a report shows it: one section per task, what is annotated beside it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from workflow_scripts.lib.metrics.errors import NothingAnnotated
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.shown_captions import shown_captions
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id

MAX_VIDEOS = 12
MAX_RANKS = 5
MIN_BAR_PERCENT = 0.3
"""A bar of this width can still be seen."""


@dataclass(frozen=True)
class AnsweredTask:
    """The answers to one task.

    Attributes
    ----------
    task : its name
    rows : what is shown
    n_all : of how many
    """

    task: str
    rows: Sequence[Mapping[str, Any]]
    n_all: int


def sections_of(
    split: AnnotatedSplit,
    references: Sequence[Reference],
    answers: Mapping[str, Sequence[Mapping[str, Any]]],
    scores: Sequence[Mapping[str, Any]] = (),
    caption_scores: Mapping[str, float] = MappingProxyType({}),
    unheard: Sequence[Mapping[str, Any]] = (),
) -> list[AnsweredTask]:
    """Return a section for every task that has answers.

    Parameters
    ----------
    split : annotated
    references : its queries
    answers : task -> rows of its table
    scores : of queries
    caption_scores : of captions, by what they describe
    unheard : rows of the captions that were written with the sound set to zero
    """
    found = []
    if answers["moments"] or answers["steps"]:
        found.append(timelines(references, answers["moments"], scores, answers["steps"], _annotated_steps(split)))
    if answers["highlights"]:
        found.append(_highlights(split, references, answers["highlights"]))
    if answers["captions"]:
        found.append(_captions(split, answers["captions"], caption_scores, unheard))
    if answers["videos"]:
        found.append(_rankings(split, answers["videos"]))
    return found


def _annotated_steps(split: AnnotatedSplit) -> list[Mapping[str, Any]]:
    return split.table("steps").select(["query_id", "start_s", "end_s", "text"]).to_pylist()


def timelines(
    references: Sequence[Reference],
    moments: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]] = (),
    steps: Sequence[Mapping[str, Any]] = (),
    annotated_steps: Sequence[Mapping[str, Any]] = (),
) -> AnsweredTask:
    """Return the first videos with their queries and scores; spans and steps as percent of the video's duration."""
    scores_of: dict[str, list[str]] = defaultdict(list)
    for row in scores:
        scores_of[row["query_id"]].append(f"{row['name'].replace('_', ' ')} {row['value']:.2f}")
    predicted = {row["query_id"]: row for row in moments if row["rank"] == 0}
    own_steps, true_steps = _by_query(steps), _by_query(annotated_steps)
    by_video: dict[str, list[Reference]] = defaultdict(list)
    for reference in references:
        if reference.query_id in predicted or reference.query_id in own_steps:
            by_video[reference.video_id].append(reference)
    shown = []
    for video_id, queries in sorted(by_video.items())[:MAX_VIDEOS]:
        rows = []
        for query in queries:
            row = predicted.get(query.query_id)
            span = None if row is None or row["start_s"] is None else (row["start_s"], row["end_s"])
            is_cut = query.query_id in own_steps
            rows.append(
                {
                    "text": query.text,
                    "kind": query.extra.get("kind", ""),
                    "scores": ", ".join(scores_of[query.query_id]),
                    "annotated": [_share(query.span, query)] if query.span else [],
                    "predicted": [_share(span, query)] if span else [],
                    "annotated_steps": _step_bars(true_steps[query.query_id], query) if is_cut else [],
                    "predicted_steps": _step_bars(own_steps[query.query_id], query) if is_cut else [],
                }
            )
        shown.append({"video_id": video_id, "duration_s": queries[0].duration_s, "queries": rows})
    return AnsweredTask("moments", shown, len(by_video))


def _by_query(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["query_id"]].append(row)
    return found


def _step_bars(rows: Iterable[Mapping[str, Any]], query: Reference) -> list[dict[str, Any]]:
    spans = [row for row in rows if row["start_s"] is not None]
    return [_share((row["start_s"], row["end_s"]), query) | {"text": row.get("text", "")} for row in spans]


def _share(span: tuple[float, float], query: Reference) -> dict[str, Any]:
    left, right = (100 * min(max(t / query.duration_s, 0), 1) for t in span)
    width = max(right - left, MIN_BAR_PERCENT)
    return {"left": min(left, 100 - width), "width": width, "start": span[0], "end": span[1]}


def _highlights(
    split: AnnotatedSplit, references: Sequence[Reference], rows: Sequence[Mapping[str, Any]]
) -> AnsweredTask:
    """Return rows of cells, 0 to 1, of the clips of the first queries: what was predicted and how they are rated."""
    rated: dict[str, dict[int, float]] = defaultdict(dict)
    for row in split.table("saliency").to_pylist():
        rated[row["query_id"]][row["clip_index"]] = sum(row["scores"]) / max(len(row["scores"]), 1)
    text_of = {reference.query_id: reference.text for reference in references}
    shown = []
    for row in rows[:MAX_VIDEOS]:
        points = rated[row["query_id"]]
        shown.append(
            {
                "text": text_of.get(row["query_id"], row["query_id"]),
                "video_id": row["video_id"],
                "predicted": _scaled(row["scores"]),
                "annotated": _scaled([points.get(i, 0.0) for i in range(len(row["scores"]))]) if points else [],
            }
        )
    return AnsweredTask("highlights", shown, len(rows))


def _scaled(values: Sequence[float]) -> list[float]:
    low, high = min(values, default=0.0), max(values, default=0.0)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


def _captions(
    split: AnnotatedSplit,
    rows: Sequence[Mapping[str, Any]],
    scores: Mapping[str, float],
    unheard: Sequence[Mapping[str, Any]],
) -> AnsweredTask:
    texts = _reference_texts(split.captions) | _reference_texts(split.step_captions)
    own, deaf = ({_described(row): row["text"] for row in table if row["rank"] == 0} for table in (rows, unheard))
    return AnsweredTask("captions", shown_captions(own, texts, scores, deaf)[: 4 * MAX_VIDEOS], len(own))


def _described(row: Mapping[str, Any]) -> str:
    """Return what scores call a video, a window of one or a step."""
    if row["query_id"]:
        return step_id(row["query_id"], row["step_index"])
    return row["video_id"] if row["step_index"] is None else f"{row['video_id']}, window {row['step_index'] + 1}"


def _reference_texts(question: Callable[[], Any]) -> dict[str, Sequence[str]]:
    try:
        asked = question()
    except NothingAnnotated:
        return {}
    return dict(zip(asked.ids, asked.texts, strict=True))


def _rankings(split: AnnotatedSplit, rows: Sequence[Mapping[str, Any]]) -> AnsweredTask:
    prompts, names = split.prompts(), split.source_names()
    asked = split.rankings()
    relevant = dict(zip(asked.ids, map(set, asked.videos), strict=True))
    ranked = _by_query(row for row in rows if row["rank"] < MAX_RANKS)
    shown = []
    for query_id, own in list(ranked.items())[: 2 * MAX_VIDEOS]:
        prompt = prompts.get(query_id, query_id)
        videos = [names[row["video_id"]] for row in sorted(own, key=lambda row: row["rank"])]
        shown.append({"text": prompt, "videos": [(name, name in relevant.get(prompt, ())) for name in videos]})
    return AnsweredTask("videos", shown, len(ranked))
