"""The two layouts in which most datasets publish one window per sentence.

By video: one JSON object, name of the video -> `timestamps`, `sentences` and, each as long as these, `qid` or `audios`;
times in seconds with a `duration`, or in frames with `num_frames` and `fps`. By query: JSON lines with `qid`, `query`,
`duration`, `vid`, `relevant_windows`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.errors import BadFps, BadValue
from workflow_scripts.lib.datasets.source_files import (
    extra_json,
    read_json,
    read_json_lines,
    read_text,
    require,
    require_duration,
    require_object,
    require_span,
)

NameRule = Callable[[str, str], dict[str, Any]]
"""From the name of a video in the file, and file and entry, to `video_id`, `source_video_id`, ..."""

LINE_FIELDS = ("qid", "query", "duration", "vid", "video", "relevant_windows", "items")
VIDEO_FIELDS = (
    "duration",
    "num_frames",
    "fps",
    "timestamps",
    "sentences",
    "qid",
    "audios",
    "speaker",
    "speaker_id",
)
_LINE_MARKS = {"qid", "query", "vid"}


def read_text_queries(files: dict[str, Path], dataset: str, name_rule: NameRule) -> Annotations:
    """Read files of text queries in either layout.

    Parameters
    ----------
    files : dict of str to Path
        File of every split.
    dataset : str
        Key of the dataset.
    name_rule : callable
        How videos are called.

    Returns
    -------
    Annotations
        Videos, queries and moments.
    """
    annotations = Annotations(dataset)
    for split, path in files.items():
        if holds_lines(path):
            for where, record in read_json_lines(path):
                add_query(annotations, split, where, record, name_rule)
        else:
            for name, entry in require_object(read_json(path), str(path)).items():
                where = f"{path}:{name}"
                add_sentences(annotations, split, name, require_object(entry, where), where, name_rule)
    return annotations


def holds_lines(path: Path) -> bool:
    """Return whether a file is by query; the suffix does not always tell."""
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        return True
    first = next((line for line in read_text(path).split("\n") if line.strip()), "")
    try:
        record = json.loads(first)
    except json.JSONDecodeError:
        return False
    return isinstance(record, dict) and bool(_LINE_MARKS & record.keys())


def add_query(
    annotations: Annotations,
    split: str,
    where: str,
    record: dict[str, Any],
    name_rule: NameRule,
    video_field: str = "vid",
) -> None:
    """Add a query with its windows (seconds) and its video; fields without a column go to the query's `extra_json`."""
    video = name_rule(require(record, video_field, str, where), f"{where}:{video_field}")
    video_id = video.pop("video_id")
    annotations.add_video(video_id, split, require_duration(record, "duration", where), where, **video)
    columns = {"items": _strings(record, "items", where)} if "items" in record else {}
    query_id = annotations.add_query(
        video_id,
        split,
        require(record, "query", str, where),
        where,
        source_id=str(require(record, "qid", (int, str), where)),
        extra_json=extra_json(record, LINE_FIELDS),
        **columns,
    )
    if "relevant_windows" in record:
        for index, window in enumerate(require(record, "relevant_windows", list, where)):
            start_s, end_s = require_span(window, f"{where}:relevant_windows[{index}]")
            annotations.add_moment(video_id, split, query_id, start_s, end_s)


def add_sentences(
    annotations: Annotations,
    split: str,
    name: str,
    entry: dict[str, Any],
    where: str,
    name_rule: NameRule,
    *,
    is_spoken: bool = False,
) -> None:
    """Add a video with its sentences; fields without a column go to the video's `extra_json`."""
    columns = name_rule(name, where)
    video_id = columns.pop("video_id")
    columns |= _timing(entry, where)
    fps = columns.get("fps")
    annotations.add_video(
        video_id, split, columns.pop("duration_s"), where, **columns, extra_json=extra_json(entry, VIDEO_FIELDS)
    )
    sentences = _strings(entry, "sentences", where)
    spans = _as_long(sentences, require(entry, "timestamps", list, where), f"{where}:timestamps")
    ids = _per_sentence(entry, "qid", where, sentences) if "qid" in entry else [None] * len(sentences)
    audios = _per_sentence(entry, "audios", where, sentences) if is_spoken else [None] * len(sentences)
    speaker = _speaker(entry, where) if is_spoken else {}
    for index, (sentence, span, source_id, audio) in enumerate(zip(sentences, spans, ids, audios, strict=True)):
        start, end = require_span(span, f"{where}:timestamps[{index}]")
        spoken = {"modality": "speech", "audio_path": audio, **speaker} if is_spoken else {}
        query_id = annotations.add_query(video_id, split, sentence, where, source_id=source_id, **spoken)
        annotations.add_moment(video_id, split, query_id, start, end, fps=fps)


def _timing(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Duration in seconds and, where the times are in frames, their number and rate."""
    if "num_frames" not in entry:
        return {"duration_s": require_duration(entry, "duration", where)}
    num_frames = require(entry, "num_frames", int, where)
    fps = float(require(entry, "fps", (int, float), where))
    if not fps > 0:
        raise BadFps(f"{where}:fps", f"the frame rate {fps}", "a number above 0")
    return {"duration_s": num_frames / fps, "num_frames": num_frames, "fps": fps}


def _speaker(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """The voice of a video's synthesised queries; where only one of both is given, the tables' check says so."""
    found: dict[str, Any] = {}
    if "speaker" in entry:
        found["speaker"] = require(entry, "speaker", str, where)
    if "speaker_id" in entry:
        found["speaker_index"] = require(entry, "speaker_id", int, where)
    return found


def _strings(record: dict[str, Any], key: str, where: str) -> list[str]:
    values = require(record, key, list, where)
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise BadValue(f"{where}:{key}[{index}]", repr(value), "str")
    return values


def _per_sentence(entry: dict[str, Any], key: str, where: str, sentences: list[str]) -> list[str]:
    return _as_long(sentences, _strings(entry, key, where), f"{where}:{key}")


def _as_long(sentences: list[str], values: list[Any], where: str) -> list[Any]:
    if len(values) != len(sentences):
        raise BadValue(where, f"{len(values)} entries", f"{len(sentences)}, one for every sentence")
    return values
