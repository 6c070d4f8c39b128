"""Read prediction files in the benchmarks' submission formats; every fault is named with file and line.

Moments: one JSON object per query, one a line or in a list, as in CALCE's annotation and result files too; HiREST's
prompt -> file -> `bounds`; or MRNet's video -> `sentences`, `pred_moments`. Steps and step captions: HiREST's file ->
`bounds` or `captions`. Captions: a list of `image_id`, `caption`. Videos: HiREST's prompt -> `videos`, `scores`. A file
may be gzip-compressed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.datasets.item_files import calce_number
from workflow_scripts.lib.datasets.source_files import read_json, require_object, without_suffix
from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.metrics.calce import parse_windows
from workflow_scripts.lib.metrics.clip_saliency import CLIP_LENGTH_S, ClipScores, read_clip_scores
from workflow_scripts.lib.metrics.errors import (
    DuplicateQuery,
    EmptyPrediction,
    MalformedRow,
    MissingField,
    MissingPrediction,
    MissingScore,
    UnknownQuery,
    name_some,
)
from workflow_scripts.lib.metrics.questions import Answers, Captions, Moments, Question, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.windows import Windows, as_float, list_windows, pad_windows
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id
from workflow_scripts.lib.scoring.json_values import checked_list, checked_object, checked_text, read_values, shown

WINDOW_FIELDS = ("pred_relevant_windows", "candidates", "stage1_result", "pred_windows")
NAMES = ("query_id", "qid", "vid", "sentence_index")
"""Fields that name a query."""
SALIENCY_FIELD = "pred_saliency_scores"
_PROMPT_PREFIX = "Query: "
"""What CALCE's result files put before a sentence."""
_LOSS = "loss"
"""What HiREST's files of validation splits hold beside the answers."""


@dataclass(frozen=True)
class Leniency:
    """What is accepted.

    Attributes
    ----------
    allow_missing : evaluate the queries that both sides have
    empty_as_miss : count a query that was answered with nothing as missed
    allow_reversed : take a span that ends before it starts, for a rule set that counts it as missed
    """

    allow_missing: bool = False
    empty_as_miss: bool = False
    allow_reversed: bool = False

    @classmethod
    def of(cls, rules: str, options: Options, *, allow_missing: bool, empty_as_miss: bool) -> "Leniency":
        """Return what is accepted under a rule set's options, those that it heeds, and the settings of a file."""
        heeded = RULE_SETS[rules].options
        return cls(
            allow_missing or ("match_number" in heeded and not options.match_number),
            empty_as_miss,
            "reversed" in heeded and options.reversed == "miss",
        )


@dataclass
class Read:
    """What a file says, by query id.

    Attributes
    ----------
    values : query id -> what was predicted
    places : query id -> file and line
    """

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, query_id: str, value: Any, place: str) -> None:
        """Add the answer to a query; a second one is DuplicateQuery."""
        if query_id in self.places:
            raise DuplicateQuery(f"{place}: query {query_id} again; it is in {self.places[query_id]} already")
        self.places[query_id], self.values[query_id] = place, value

    def pair(self, asked: list[str], unknown: list[str], leniency: Leniency) -> np.ndarray:
        """Return which of the asked queries were answered, as places; all of them unless `allow_missing`."""
        unknown = [*unknown, *(f"{i} ({self.places[i]})" for i in self.values.keys() - set(asked))]
        if unknown and not leniency.allow_missing:
            raise UnknownQuery(
                f"{len(unknown)} predictions are about nothing that is annotated in this split: query "
                f"{name_some(sorted(unknown))}. Are they of another split? `allow_missing: true` leaves them out."
            )
        missing = [query for query in asked if query not in self.values]
        if missing and not leniency.allow_missing:
            raise MissingPrediction(
                f"{self.path}: {len(missing)} of {len(asked)} annotated queries have no prediction: query "
                f"{name_some(missing)}. `allow_missing: true` evaluates the others."
            )
        found = [i for i, query in enumerate(asked) if query in self.values]
        if not found:
            raise MissingPrediction(f"{self.path}: none of the {len(asked)} annotated queries has a prediction")
        return np.array(found)


def read_submission(
    path: Path, split: AnnotatedSplit, rules: str, question: Question, leniency: Leniency
) -> tuple[Question, Answers]:
    """Read predictions for a rule set.

    Parameters
    ----------
    path : the file
    split : the annotated split, whose queries the file may name
    rules : name of the rule set
    question : what the split asks
    leniency : Leniency

    Returns
    -------
    the question (with `allow_missing` only what was answered) and the answers in its order

    Raises
    ------
    DataError
        Its subclasses; the message names file and line.
    """
    rule_set = RULE_SETS[rules]
    if rule_set.task == "moments":
        return _moments(path, split, question, leniency, rule_set.needs_scores)
    readers: dict[str, Callable[[], tuple[Read, list[str]]]] = {
        "steps": lambda: _read_steps(path, split, leniency),
        "captions": lambda: _read_step_captions(path, split) if rule_set.about_steps else _read_captions(path),
        "videos": lambda: _read_rankings(path),
    }
    read, unknown = readers[rule_set.task]()
    question = question.rows(read.pair(list(question.ids), unknown, leniency))
    found = [read.values[query] for query in question.ids]
    if isinstance(question, Steps):
        return question, Steps(question.ids, question.video_ids, found)
    if isinstance(question, Captions):
        return question, Captions(question.ids, question.video_ids, [[text] for text in found])
    empty = [query for query, (videos, _) in zip(question.ids, found, strict=True) if not videos]
    if empty and not leniency.empty_as_miss:
        remedy = "`empty_as_miss: true` counts it as missed."
        raise EmptyPrediction(f"{path}: no video at all: prompt {name_some(empty)}. {remedy}")
    return question, Rankings(question.ids, [videos for videos, _ in found], [scores for _, scores in found])


# Moments


def _moments(
    path: Path, split: AnnotatedSplit, question: Moments, leniency: Leniency, needs_scores: bool
) -> tuple[Moments, Spans]:
    find, read, unknown = _finder(split), Read(path), []
    for place, name, record in _query_records(path):
        query_id = find(name | {"query": record.get("query")}, place)
        if query_id is None:
            unknown.append(f"{_named(name)} ({place})")
            continue
        try:
            read.add(query_id, _moment_answer(record, place, needs_scores, leniency), place)
        except DataError as error:
            raise type(error)(f"{error} (query {query_id})") from None
    without_moment = set(split.queries["query_id"].to_pylist()) - set(question.ids)
    for query in without_moment & read.values.keys():
        del read.values[query]
    question = question.rows(read.pair(list(question.ids), unknown, leniency))
    found = [read.values[query] for query in question.ids]
    names = [f"{query} in {read.places[query]}" for query in question.ids]
    windows = _windows([windows for windows, _ in found], names, path, leniency)
    return question, Spans(windows, _clips([saliency for _, saliency in found], names, path, question, leniency))


def _moment_answer(
    record: Mapping[str, Any], place: str, needs_scores: bool, leniency: Leniency
) -> tuple[np.ndarray | None, np.ndarray | None]:
    own = next((name for name in WINDOW_FIELDS if name in record), None)
    windows = None if own is None else _as_array(record[own], f"{place}:{own}", needs_scores, leniency)
    saliency = record.get(SALIENCY_FIELD)
    if saliency is not None:
        if not isinstance(saliency, list):
            raise MalformedRow(f"{place}:{SALIENCY_FIELD}: expected a list of numbers, found {shown(saliency)}")
        saliency = np.array([as_float(score) for score in saliency])
    if windows is None and saliency is None:
        raise MissingField(f"{place}: neither {WINDOW_FIELDS[0]!r} nor {SALIENCY_FIELD!r}")
    return windows, saliency


def _as_array(windows: Any, place: str, needs_scores: bool, leniency: Leniency) -> np.ndarray:
    """Return windows as float64 (W, 3) with score or (W, 2)."""
    if isinstance(windows, str) and not needs_scores:
        windows = parse_windows(windows)
    if not isinstance(windows, list):
        raise MalformedRow(f"{place}: expected a list of [start, end, score], found {shown(windows)}")
    width = 3 if needs_scores else 2
    if not windows:
        if not leniency.empty_as_miss:
            raise EmptyPrediction(f"{place}: no window at all. `empty_as_miss: true` counts the query as missed.")
        return np.zeros((0, width))
    for rank, window in enumerate(windows):
        if not isinstance(window, list) or len(window) < 2:
            raise MalformedRow(f"{place}[{rank}]: expected [start, end, score], found {shown(window)}")
        if len(window) < width:
            remedy = "Other rule sets, such as `rules: [calce]`, take windows in the order of the list."
            raise MissingScore(f"{place}[{rank}]: no score, by which windows are ranked: {shown(window)}. {remedy}")
    return np.array([[as_float(value) for value in window[:width]] for window in windows])


def _windows(arrays: list[np.ndarray | None], names: list[str], path: Path, leniency: Leniency) -> Windows | None:
    is_there = [array is not None for array in arrays]
    if not any(is_there):
        return None
    if not all(is_there):
        without = [name for name, there in zip(names, is_there, strict=True) if not there]
        raise MissingField(
            f"{path}: some queries have windows and {len(without)} have none: query {name_some(without)}"
        )
    counts = np.fromiter(map(len, arrays), dtype=np.int64, count=len(arrays))
    return pad_windows(names, counts, np.concatenate(arrays), allow_reversed=leniency.allow_reversed)


def _clips(
    lists: list[np.ndarray | None], names: list[str], path: Path, question: Moments, leniency: Leniency
) -> ClipScores | None:
    is_there = [scores is not None for scores in lists]
    if not any(is_there):
        return None
    if not all(is_there):
        without = [name for name, there in zip(names, is_there, strict=True) if not there]
        raise MissingField(f"{path}: only some queries have {SALIENCY_FIELD!r}; it is missing for {name_some(without)}")
    n_clips = (question.durations_s / CLIP_LENGTH_S).astype(np.int64)
    return read_clip_scores(names, lists, n_clips, leniency.empty_as_miss)


def _query_records(path: Path) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Yield place, what names the query, and the record."""
    for place, value in read_values(path):
        record = require_object(value, place)
        name = {key: record[key] for key in NAMES if key in record}
        if name:
            yield place, name, record
            continue
        for key, entry in _without_loss(record):
            read = _of_sentences if isinstance(entry, Mapping) and "sentences" in entry else _of_prompt
            yield from read(key, entry, place)


def _without_loss(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return (item for item in record.items() if not (item[0] == _LOSS and isinstance(item[1], float)))


def _of_prompt(prompt: str, videos: Any, place: str) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Yield the answers of HiREST's prompt -> file -> `bounds`."""
    if not isinstance(videos, Mapping) or not all(isinstance(entry, Mapping) for entry in videos.values()):
        raise MalformedRow(
            f"{place}: names no query: expected objects with 'qid', 'query_id', or 'vid' and 'sentence_index', or "
            f"HiREST's prompt -> file -> 'bounds'; found {shown({prompt: videos})}"
        )
    for name, entry in videos.items():
        where = f"{place}:{prompt!r}:{name}"
        bounds = entry.get("bounds")
        if bounds is None:
            raise MissingField(f"{where}: no 'bounds'")
        yield where, {"prompt": prompt, "file": name}, {WINDOW_FIELDS[0]: [bounds] if bounds else []}


def _of_sentences(
    video: str, entry: Mapping[str, Any], place: str
) -> Iterator[tuple[str, dict[str, Any], Mapping[str, Any]]]:
    """Yield the answers of MRNet's video -> `sentences`, `pred_moments`: the best one, sorted by annotated moments."""
    where = f"{place}:{video!r}"
    sentences, moments = (checked_list(entry.get(key), f"{where}:{key}") for key in ("sentences", "pred_moments"))
    if len(sentences) != len(moments):
        raise MalformedRow(f"{where}: {len(sentences)} sentences and {len(moments)} pred_moments")
    seen: Counter[str] = Counter()
    for index, (sentence, moment) in enumerate(zip(sentences, moments, strict=True)):
        text = checked_text(sentence, f"{where}:sentences[{index}]")
        name = {"vid": video, "sentence": text, "repetition": seen[text]}
        seen[text] += 1
        # One window needs no score to be the first.
        yield f"{where}[{index}]", name, {WINDOW_FIELDS[0]: [[*checked_list(moment, f"{where}[{index}]"), 1.0]]}


def _named(name: Mapping[str, Any]) -> str:
    """Return how a file calls a query, for a message."""
    ids = [name[key] for key in ("query_id", "qid") if key in name]
    return " ".join(map(str, ids[:1] or name.values()))


def _finder(split: AnnotatedSplit) -> Callable[[Mapping[str, Any], str], str | None]:
    """Return a function from what names a query in a file to its id; None for a query that is not there."""
    rows = split.queries.select(["query_id", "source_query_id", "video_id", "ordinal", "text"]).to_pylist()
    ids = {row["query_id"] for row in rows}
    dataset = next(iter(ids), "").partition("/")[0]
    by_number = {row["source_query_id"]: row["query_id"] for row in rows if row["source_query_id"] is not None}
    by_place = {(row["video_id"], row["ordinal"]): row["query_id"] for row in rows}
    by_prompt = {(row["text"], row["video_id"]): row["query_id"] for row in rows}
    by_sentence: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["ordinal"]):
        by_sentence[row["video_id"], row["text"]].append(row["query_id"])
    texts = {row["query_id"]: row["text"] for row in rows}

    def numbered(record: Mapping[str, Any]) -> str | None:
        qid = str(record["qid"])
        if qid in by_number:
            return by_number[qid]
        query = by_number.get(calce_number(qid, dataset))
        # Of CALCE's `Charades_7` there are two numberings: a sentence tells whether it is this one.
        said = record.get("query")
        sentence = said.removeprefix(_PROMPT_PREFIX).strip() if isinstance(said, str) else said
        return query if query and sentence in (None, texts[query].strip()) else None

    def find(record: Mapping[str, Any], place: str) -> str | None:
        for key in ("query_id", "qid"):
            if not isinstance(record.get(key, ""), int | str):
                raise MalformedRow(f"{place}:{key}: expected a number or a text, found {shown(record[key])}")
        if "query_id" in record:
            return record["query_id"] if record["query_id"] in ids else None
        if "qid" in record:
            return numbered(record)
        if "prompt" in record:
            return by_prompt.get((record["prompt"], without_suffix(record["file"])))
        if "sentence" in record:
            found = (by_sentence.get((name, record["sentence"]), []) for name in _names(record["vid"]))
            queries = next(filter(None, found), [])
            return next(iter(queries[record["repetition"] :]), None)
        if not isinstance(record.get("vid"), str) or not isinstance(record.get("sentence_index"), int):
            raise MalformedRow(f"{place}: 'vid' needs 'sentence_index', the place of the sentence in the video's list")
        found = (by_place.get((name, record["sentence_index"])) for name in _names(record["vid"]))
        return next((query for query in found if query is not None), None)

    return find


def _names(video: str) -> tuple[str, ...]:
    """Return what may be the id of a video that a file calls so."""
    return video, without_suffix(video), video.removeprefix("v_")


# Steps, captions, videos


def _query_of_file(split: AnnotatedSplit) -> dict[str, str]:
    ids, videos = split.queries["query_id"].to_pylist(), split.queries["video_id"].to_pylist()
    return dict(zip(videos, ids, strict=True))


def _by_file(path: Path, split: AnnotatedSplit) -> Iterator[tuple[str, str | None, str, Mapping[str, Any]]]:
    query_of = _query_of_file(split)
    for name, content in _without_loss(require_object(read_json(path), str(path))):
        entry = checked_object(content, f"{path}:{name}")
        is_prompt = bool(entry) and all(isinstance(own, Mapping) and "steps" in own for own in entry.values())
        files = {file: _steps_of(own, f"{path}:{name!r}:{file}") for file, own in entry.items()} if is_prompt else {}
        for file, own in (files or {name: entry}).items():
            yield file, query_of.get(without_suffix(file)), f"{path}:{file}", own


def _steps_of(entry: Mapping[str, Any], place: str) -> dict[str, list[Any]]:
    """Return the steps of a video in the form of annotation files, in which QUAG writes its answers end to end."""
    steps = [checked_object(step, f"{place}:steps") for step in checked_list(entry["steps"], f"{place}:steps")]
    return {
        "bounds": [step.get("absolute_bounds") for step in steps],
        "captions": [step.get("heading") for step in steps],
    }


def _read_steps(path: Path, split: AnnotatedSplit, leniency: Leniency) -> tuple[Read, list[str]]:
    read, unknown = Read(path), []
    for name, query_id, place, entry in _by_file(path, split):
        if "bounds" not in entry:
            raise MissingField(f"{place}: no 'bounds'")
        if query_id is None:
            unknown.append(f"{name} ({place})")
        else:
            steps = enumerate(checked_list(entry["bounds"], f"{place}:bounds"))
            read.add(query_id, [_bounds(step, f"{place}[{i}]", leniency) for i, step in steps], place)
    return read, unknown


def _bounds(step: Any, place: str, leniency: Leniency) -> list[float]:
    if not isinstance(step, list) or len(step) < 2:
        raise MalformedRow(f"{place}: expected [start, end], found {shown(step)}")
    values = [as_float(value) for value in step[:2]]
    list_windows([place], [[values]], allow_reversed=leniency.allow_reversed)
    return values


def _read_step_captions(path: Path, split: AnnotatedSplit) -> tuple[Read, list[str]]:
    read, unknown = Read(path), []
    for name, query_id, place, entry in _by_file(path, split):
        if "captions" not in entry:
            raise MissingField(f"{place}: no 'captions'")
        if query_id is None:
            unknown.append(f"{name} ({place})")
            continue
        for index, caption in enumerate(checked_list(entry["captions"], f"{place}:captions")):
            where = f"{place}:captions[{index}]"
            text = caption.get("sentence") if isinstance(caption, Mapping) else caption
            read.add(step_id(query_id, index), checked_text(text, where), where)
    return read, unknown


def _read_captions(path: Path) -> tuple[Read, list[str]]:
    read = Read(path)
    for place, value in read_values(path):
        record = require_object(value, place)
        name = next((str(record[key]) for key in ("video_id", "image_id", "clip_id", "id") if key in record), None)
        if name is None or "caption" not in record:
            raise MissingField(f"{place}: expected 'video_id' (or 'image_id') and 'caption', found {shown(record)}")
        read.add(without_suffix(name), checked_text(record["caption"], place), place)
    return read, []


def _read_rankings(path: Path) -> tuple[Read, list[str]]:
    read = Read(path)
    for prompt, entry in require_object(read_json(path), str(path)).items():
        place = f"{path}:{prompt!r}"
        entry = checked_object(entry, place)
        for key, error in (("videos", MissingField), ("scores", MissingScore)):
            if not isinstance(entry.get(key), list):
                raise error(f"{place}: no list {key!r}")
        nameless = [shown(name) for name in entry["videos"] if not isinstance(name, str)]
        if nameless:
            raise MalformedRow(f"{place}: videos that are no names: {name_some(nameless)}")
        if len(entry["videos"]) != len(entry["scores"]):
            raise MissingScore(f"{place}: {len(entry['videos'])} videos and {len(entry['scores'])} scores")
        read.add(prompt, (entry["videos"], entry["scores"]), place)
    return read, []
