"""Video retrieval, moment retrieval and moment segmentation as HiREST scores them, overall and per category.

Reproduces j-min/HiREST evaluate.py (that of QUAG computes the same numbers). Step captions are in `captions`, the
preparation of predicted steps in `step_boundaries`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics.errors import (
    BadReference,
    Caution,
    DuplicateVideo,
    EmptyPrediction,
    MalformedRow,
    MissingField,
    MissingPrediction,
    MissingScore,
    NonFiniteScore,
    PlaceholderReference,
    name_some,
)
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates, refuse_unpaired
from workflow_scripts.lib.metrics.windows import as_float, read_windows, window_cautions

THRESHOLDS = (0.5, 0.7)
RANKS = (1, 5, 10, 50)
PLACEHOLDER = (0.0, 1.0)
EPSILON = 1e-8
"""Added to every union, so that an overlap of exactly one half does not reach 0.5."""

Answers = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class HirestScores:
    """Result of one of the tasks.

    Attributes
    ----------
    official : category -> numbers in percent, as the published script prints them; `all` is the reported one
    per_query : column name -> (N,) array: `query_id` and one column per number (shares)
    cautions : what looked odd
    """

    official: dict[str, dict[str, Any]]
    per_query: dict[str, np.ndarray]
    cautions: tuple[Caution, ...] = ()


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return overlap / (union + 1e-8), union = the smaller of hull and sum of lengths; spans are float64 (..., 2)."""
    overlap = np.minimum(first[..., 1], second[..., 1]) - np.maximum(first[..., 0], second[..., 0])
    hull = np.maximum(first[..., 1], second[..., 1]) - np.minimum(first[..., 0], second[..., 0])
    lengths = (first[..., 1] - first[..., 0]) + (second[..., 1] - second[..., 0])
    return np.maximum(0.0, overlap) / (np.minimum(hull, lengths) + EPSILON)


def video_retrieval(
    predictions: Answers,
    annotations: Mapping[str, Mapping[str, Any]],
    categories: Mapping[str, str] | None = None,
    *,
    empty_as_miss: bool = False,
    allow_missing: bool = False,
) -> HirestScores:
    """Score ranked videos of every prompt: R@1, R@5, R@10, R@50.

    Parameters
    ----------
    predictions : prompt -> `videos` (names) and `scores`
    annotations : prompt -> its videos
    categories : prompt -> category
    empty_as_miss : count a prompt without videos as missed, instead of refusing
    allow_missing : evaluate the prompts that both sides have, instead of refusing

    Raises
    ------
    UnknownQuery, MissingPrediction, MissingField, EmptyPrediction, MissingScore, NonFiniteScore, DuplicateVideo

    Notes
    -----
    Equal scores are ranked by descending name.
    """
    prompts = _common(predictions, annotations, "prompt", allow_missing)
    for prompt in prompts:
        _check_ranking(prompt, predictions[prompt], empty_as_miss)
    hits = np.zeros((len(prompts), len(RANKS)), dtype=bool)
    for i, prompt in enumerate(prompts):
        scores = map(float, predictions[prompt]["scores"])
        ranked = sorted(zip(scores, predictions[prompt]["videos"], strict=True), reverse=True)
        is_relevant = [name in annotations[prompt] for _, name in ranked]
        hits[i] = [any(is_relevant[:rank]) for rank in RANKS]
    columns = {f"R@{rank}": hits[:, i].astype(np.float64) for i, rank in enumerate(RANKS)}
    return HirestScores(
        _by_category(prompts, columns, categories, "total_prompt_count"),
        {"query_id": np.array(prompts, dtype=object), **columns},
    )


def _check_ranking(prompt: str, answer: Mapping[str, Any], empty_as_miss: bool) -> None:
    for field in ("videos", "scores"):
        if not isinstance(answer, Mapping) or field not in answer:
            error = MissingScore if field == "scores" else MissingField
            raise error(f"prediction without {field!r}: prompt {prompt}")
    if not all(isinstance(answer[field], (list, tuple, np.ndarray)) for field in ("videos", "scores")):
        raise MalformedRow(f"'videos' or 'scores' is no list: prompt {prompt}")
    nameless = [repr(name) for name in answer["videos"] if not isinstance(name, str)]
    if nameless:
        raise MalformedRow(f"prompt {prompt}: videos that are no names: {name_some(nameless)}")
    if not len(answer["videos"]) and not empty_as_miss:
        raise EmptyPrediction(f"no video at all: prompt {prompt}. --empty-as-miss counts it as missed.")
    if len(answer["videos"]) != len(answer["scores"]):
        raise MissingScore(f"{len(answer['videos'])} videos, {len(answer['scores'])} scores: prompt {prompt}")
    wrong = [name for name, score in zip(*map(answer.get, ("videos", "scores")), strict=True) if _is_odd(score)]
    if wrong:
        raise NonFiniteScore(f"prompt {prompt}: scores that are not finite numbers: video {name_some(wrong)}")
    refuse_duplicates(answer["videos"], DuplicateVideo, "video", f"prompt {prompt}")


def _is_odd(score: Any) -> bool:
    return not np.isfinite(as_float(score))


def moment_retrieval(
    predictions: Mapping[str, Answers],
    annotations: Mapping[str, Answers],
    categories: Mapping[str, str] | None = None,
    *,
    empty_as_miss: bool = False,
    allow_missing: bool = False,
    clip: bool = False,
    allow_placeholders: bool = False,
) -> HirestScores:
    """Score one span of every clippable video: R@0.5 and R@0.7.

    Parameters
    ----------
    predictions : prompt -> file name -> `bounds`, start and end in seconds
    annotations : prompt -> file name -> `clip`, `bounds`, `v_duration`; only entries whose `clip` is true count
    categories : prompt -> category
    empty_as_miss, allow_missing : see `video_retrieval`
    clip : cut predicted spans to the video first
    allow_placeholders : score against the bounds [0, 1] of the public test file all the same

    Raises
    ------
    PlaceholderReference
        If all bounds are [0, 1], as in the public test file.
    UnknownQuery, MissingPrediction, EmptyPrediction, NonFiniteSpan, ReversedSpan
    """
    truth = {(prompt, name): entry for prompt, videos in annotations.items() for name, entry in videos.items()}
    wanted = {key: entry for key, entry in truth.items() if entry["clip"]}
    if wanted and not allow_placeholders:
        _refuse_placeholders(wanted)
    shapeless = [prompt for prompt, videos in predictions.items() if not isinstance(videos, Mapping)]
    if shapeless:
        raise MalformedRow(f"predictions without file names: prompt {name_some(shapeless)}")
    asked = {(prompt, name): entry for prompt, videos in predictions.items() for name, entry in videos.items()}
    unclipped = {key for key in asked if key in truth and key not in wanted}
    asked = {key: entry for key, entry in asked.items() if key not in unclipped}
    pairs = _common(asked, wanted, "prompt and video", allow_missing)
    lists = [[asked[pair]["bounds"]] if _bounds(asked[pair], pair) else [] for pair in pairs]
    ids = [f"{prompt}#{name}" for prompt, name in pairs]
    predicted = read_windows(ids, lists, False, empty_as_miss)
    targets = read_windows(ids, [[wanted[pair]["bounds"]] for pair in pairs], False, False)
    durations_s = np.array([wanted[pair].get("v_duration", np.inf) for pair in pairs], dtype=np.float64)
    cautions = window_cautions(ids, predicted, durations_s)
    spans = (predicted.clipped(durations_s) if clip else predicted).spans[:, 0]
    overlap = np.where(predicted.counts > 0, iou(spans, targets.spans[:, 0]), 0.0)
    columns = {f"R@{t}": (overlap >= t).astype(np.float64) for t in THRESHOLDS}
    return HirestScores(
        _by_category([prompt for prompt, _ in pairs], columns, categories, "total_videos"),
        {"query_id": np.array(ids, dtype=object), **columns, "IoU": overlap},
        cautions,
    )


def _refuse_placeholders(wanted: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
    if all(tuple(entry["bounds"]) == PLACEHOLDER for entry in wanted.values()):
        raise PlaceholderReference(
            f"all {len(wanted)} annotated moments are the placeholder [0, 1], e.g. of {next(iter(wanted))}: the "
            "moments of the HiREST test split are not public. Score the val split instead (all_data_val.json): "
            "the published numbers are of that split."
        )


def segmentation(
    predictions: Answers,
    annotations: Answers,
    categories: Mapping[str, str] | None = None,
    *,
    allow_missing: bool = False,
) -> HirestScores:
    """Score the steps of every video: recall and precision at IoU 0.5 and 0.7.

    Parameters
    ----------
    predictions : file name -> `bounds`, list of start and end in seconds; an empty list has recall and precision 0
    annotations : file name -> `bounds` likewise
    categories : file name -> category
    allow_missing : evaluate the videos that both sides have, instead of refusing

    Raises
    ------
    UnknownQuery, MissingPrediction, MissingField, NonFiniteSpan, ReversedSpan, BadReference

    Notes
    -----
    A step is covered by any step of the other side with an IoU above (not at) the threshold.
    """
    names = _common(predictions, annotations, "video", allow_missing)
    predicted = read_windows(names, [_bounds(predictions[name], name) for name in names], False, True)
    without = [name for name in names if not _bounds(annotations[name], name)]
    if without:
        raise BadReference(f"annotations without steps: video {name_some(without)}")
    targets = read_windows(names, [_bounds(annotations[name], name) for name in names], False, False)
    is_pair = predicted.valid_mask[:, :, None] & targets.valid_mask[:, None]
    overlap = np.where(is_pair, iou(predicted.spans[:, :, None], targets.spans[:, None]), 0.0)
    columns = {}
    for kind, axis, counts in (("recall", 1, targets.counts), ("precision", 2, predicted.counts)):
        for t in THRESHOLDS:
            columns[f"{kind}@{t}"] = (overlap > t).any(axis=axis).sum(axis=1) / np.maximum(counts, 1)
    flat = _by_category(names, columns, categories, "total")
    official = {}
    for category, numbers in flat.items():
        nested = {
            kind: {str(t): numbers[f"{kind}@{t}"] for t in THRESHOLDS if numbers} for kind in ("recall", "precision")
        }
        official[category] = nested | ({"total": numbers["total"]} if numbers else {})
    cautions = window_cautions(names, predicted, None)
    return HirestScores(official, {"query_id": np.array(names, dtype=object), **columns}, cautions)


def _bounds(entry: Mapping[str, Any], key: Any) -> Sequence[Any]:
    if not isinstance(entry, Mapping) or "bounds" not in entry:
        raise MissingField(f"no 'bounds': {key}")
    return entry["bounds"] or []


def _common(predicted: Mapping[Any, Any], annotated: Mapping[Any, Any], kind: str, allow_missing: bool) -> list[Any]:
    if not allow_missing:
        refuse_unpaired(predicted, annotated, kind)
    common = [key for key in annotated if key in predicted]
    if not common:
        raise MissingPrediction(f"no {kind} is both annotated and predicted: {name_some(list(annotated), 3)}")
    return common


def _by_category(
    keys: Sequence[str], columns: Mapping[str, np.ndarray], categories: Mapping[str, str] | None, count_name: str
) -> dict[str, dict[str, Any]]:
    """Return the means of columns in percent for every category ({} for one without members) and for `all`."""
    belongs = {"all": np.ones(len(keys), dtype=bool)}
    if categories is not None:
        own = np.array([categories.get(key) for key in keys], dtype=object)
        belongs = {name: own == name for name in sorted(set(categories.values()))} | belongs
    numbers: dict[str, dict[str, Any]] = {}
    for name, is_member in belongs.items():
        means = {key: float(values[is_member].mean() * 100) for key, values in columns.items() if is_member.any()}
        numbers[name] = {count_name: int(is_member.sum()), **means} if means else {}
    return numbers
