"""The invariants of the canonical tables; the first one that is broken becomes a named error."""

import json
import logging
import math
import re
from collections.abc import Iterable
from typing import Any

from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.annotation_tables import Annotations, Row
from workflow_scripts.lib.datasets.schema import TABLES, span_flags, why_empty
from workflow_scripts.lib.datasets.source_files import without_suffix
from workflow_scripts.lib.datasets.video_names import YOUTUBE_PREFIX
from workflow_scripts.lib.store.item_ids import WHAT_AN_ID_IS, is_usable, some_of

log = logging.getLogger(__name__)

_DATASET_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_STRICT_ERRORS = {
    "zero_length": errors.ZeroLengthSpan,
    "reversed": errors.ReversedSpan,
    "end_past_duration": errors.SpanOutsideVideo,
    "start_past_duration": errors.SpanOutsideVideo,
    "negative_start": errors.SpanOutsideVideo,
}
MOST_S = 1e7
"""Longest duration that is believed, four months: what lies above was meant in another unit, or is damaged."""
_SHOWN = 80
"""Characters of a value that a message shows."""
_FPS_TOLERANCE_S = 1e-9
_TRANSCRIPT_TOLERANCE_S = 1.0
_CAPTION_KINDS = ("reference", "sound", "visual")
_TRANSCRIPT_SOURCES = ("whisper", "srt", "human")


def validate_annotations(annotations: Annotations) -> None:
    """Check every invariant that does not depend on a choice.

    Parameters
    ----------
    annotations : Annotations
        With durations and flags.

    Raises
    ------
    AnnotationError
        A subclass named after the broken invariant.
    """
    if not _DATASET_KEY.fullmatch(annotations.dataset):
        found = repr(annotations.dataset)
        raise errors.UnknownDataset("dataset", found, "letters, digits, '_', '-' and '.'", "Choose another name.")
    _check_cells(annotations)
    _check_videos(annotations)
    _check_queries(annotations)
    _check_moments(annotations)
    _check_saliency(annotations)
    _check_steps(annotations)
    _check_captions(annotations)
    _check_transcripts(annotations)


def count_flags(annotations: Annotations) -> dict[str, int]:
    """Return how many moments and steps carry each flag, as `moments zero_length` etc."""
    counts: dict[str, int] = {}
    for table, rows in (("moments", annotations.moments), ("steps", annotations.steps)):
        for row in rows:
            for flag in row["flags"]:
                counts[f"{table} {flag}"] = counts.get(f"{table} {flag}", 0) + 1
    return counts


def first_of_every_flag(annotations: Annotations) -> dict[str, str]:
    """Return where the first moment or step with each flag comes from, under the names of `count_flags`."""
    first: dict[str, str] = {}
    for table, rows in (("moments", annotations.moments), ("steps", annotations.steps)):
        for row in rows:
            for flag in row["flags"]:
                first.setdefault(f"{table} {flag}", annotations.where(row))
    return first


def empty_moments(annotations: Annotations) -> dict[tuple[str, str], list[str]]:
    """Return split and `why_empty` -> where the moments come from of which nothing lies inside their video."""
    durations = annotations.durations()
    found: dict[tuple[str, str], list[str]] = {}
    for row in annotations.moments:
        why = why_empty(row["start_s"], row["end_s"], durations[row["video_id"]])
        if why is not None:
            found.setdefault((row["split"], why), []).append(annotations.where(row))
    return found


def refuse_flags(annotations: Annotations) -> None:
    """Turn the first flagged span into an error (`--strict`).

    Raises
    ------
    ZeroLengthSpan, ReversedSpan, SpanOutsideVideo
    """
    durations = annotations.durations()
    for row in (*annotations.moments, *annotations.steps):
        for flag in row["flags"]:
            raise _STRICT_ERRORS[flag](
                annotations.where(row),
                f"the span {row['start_s']} to {row['end_s']} s ({flag}) in a video of {durations[row['video_id']]} s",
                "0 <= start < end <= duration",
                "Correct it, or leave out `strict_annotations`: such spans are then kept, flagged and counted.",
            )


def _check_cells(annotations: Annotations) -> None:
    for name, schema in TABLES.items():
        required = [column.name for column in schema if not column.nullable]
        for row in getattr(annotations, name):
            missing = [column for column in required if row.get(column) is None]
            if missing:
                raise errors.BadValue(f"{annotations.where(row)}: table {name}", f"no {missing[0]}", "a value")
            if row["dataset"] != annotations.dataset:
                raise errors.UnknownDataset(annotations.where(row), repr(row["dataset"]), repr(annotations.dataset))
            _check_extra(annotations, row)


def _check_extra(annotations: Annotations, row: Row) -> None:
    try:
        json.loads(row.get("extra_json") or "{}")
    except ValueError:
        raise errors.BadExtra(annotations.where(row), repr(row["extra_json"]), "JSON") from None


def _check_videos(annotations: Annotations) -> None:
    seen: set[str] = set()
    unusable = [row for row in annotations.videos if not is_usable(row["video_id"])]
    if unusable:
        found = some_of([repr(row["video_id"]) for row in unusable])
        remedy = "Rename the videos in the file and on disk."
        raise errors.BadVideoId(annotations.where(unusable[0]), found, WHAT_AN_ID_IS, remedy)
    for row in annotations.videos:
        where, video_id = annotations.where(row), row["video_id"]
        source = row["source_video_id"]
        if video_id not in (source, without_suffix(source), without_suffix(source).removeprefix(YOUTUBE_PREFIX)):
            expected = f"the source id {source!r} without {YOUTUBE_PREFIX!r} and suffix"
            raise errors.BadVideoId(where, repr(video_id), expected)
        if row.get("youtube_id") is not None and len(row["youtube_id"]) != 11:
            raise errors.BadVideoId(where, f"the YouTube id {row['youtube_id']!r}", "11 characters")
        if video_id in seen:
            raise errors.DuplicateVideo(where, f"a second row of {video_id}", "one row per video")
        seen.add(video_id)
        if not 0 < row["duration_s"] < MOST_S:
            expected = f"a number of seconds above 0 and below {MOST_S:,.0f}"
            raise errors.BadDuration(where, f"the duration {row['duration_s']} s", expected)
        _check_frames(where, row)
        start, end = row.get("clip_start_s"), row.get("clip_end_s")
        if start is not None and end is not None and start >= end:
            raise errors.ReversedSpan(where, f"a clip from {start} to {end} s", "start < end")
        if "train" in row["split"] and len(row["split"]) > 1:
            found, remedy = ", ".join(row["split"]), "Take the video out of one of the splits."
            raise errors.SplitLeak(where, f"{video_id} in the splits {found}", "training videos in train only", remedy)


def _check_frames(where: str, row: Row) -> None:
    fps, num_frames = row.get("fps"), row.get("num_frames")
    if fps is not None and not fps > 0:
        raise errors.BadFps(where, f"the frame rate {fps}", "a number above 0")
    if fps and num_frames is not None and abs(row["duration_s"] - num_frames / fps) > _FPS_TOLERANCE_S:
        found = f"{row['duration_s']} s, {num_frames} frames and {fps} frames per second"
        raise errors.DurationMismatch(where, found, "frames / rate = duration")


def _check_queries(annotations: Annotations) -> None:
    videos = annotations.durations()
    ids: set[str] = set()
    places: set[tuple[Any, ...]] = set()
    audio: set[tuple[str, str]] = set()
    for row in annotations.queries:
        where = annotations.where(row)
        if row["video_id"] not in videos:
            raise errors.UnknownVideo(where, f"the video {row['video_id']!r}", "one of the table of videos")
        prefix = f"{row['dataset']}/{row['split']}/"
        if not row["query_id"].startswith(prefix):
            raise errors.BadQueryId(where, repr(row["query_id"]), f"an id that begins with {prefix!r}")
        place = (row["split"], row["video_id"], row["ordinal"])
        if row["query_id"] in ids or place in places:
            found = f"a second query {row['query_id']!r}, number {row['ordinal']} of its video"
            raise errors.DuplicateQuery(where, found, "every id and every place once", "Give one another id.")
        ids.add(row["query_id"])
        places.add(place)
        _check_modality(where, row, audio)
        if (row.get("speaker") is None) != (row.get("speaker_index") is None):
            raise errors.BadSpeaker(where, "only one of speaker and speaker_index", "both or none")
        if row.get("clippable") and not row.get("relevant"):
            raise errors.BadFlags(where, "clippable but not relevant", "relevant wherever clippable")


def _check_modality(where: str, row: Row, audio: set[tuple[str, str]]) -> None:
    if row["modality"] == "text":
        if not (row.get("text") or "").strip():
            raise errors.EmptyQuery(where, repr(row.get("text")), "words", "Write the query, or remove this entry.")
    elif row["modality"] == "speech":
        if not row.get("audio_path"):
            raise errors.MissingAudio(where, "no audio file", "one for every spoken query")
        if (row["split"], row["audio_path"]) in audio:
            raise errors.DuplicateAudio(where, f"{row['audio_path']!r} again", "one audio file per query of a split")
        audio.add((row["split"], row["audio_path"]))
    else:
        raise errors.BadModality(where, repr(row["modality"]), "text or speech")


def _check_moments(annotations: Annotations) -> None:
    videos = {row["video_id"]: row for row in annotations.videos}
    video_of_query = {row["query_id"]: row["video_id"] for row in annotations.queries}
    for row in annotations.moments:
        where = annotations.where(row)
        _check_query_of(where, row, video_of_query)
        if row["raw_unit"] not in ("second", "frame"):
            raise errors.BadUnit(where, repr(row["raw_unit"]), "second or frame")
        _check_finite(where, [row[name] for name in ("start_raw", "end_raw", "start_s", "end_s")])
        video = videos[row["video_id"]]
        rate = 1.0 if row["raw_unit"] == "second" else video.get("fps")
        if rate is None:
            raise errors.BadFps(where, "a span in frames of a video without frame rate", "the video's fps")
        if (row["start_raw"] / rate, row["end_raw"] / rate) != (row["start_s"], row["end_s"]):
            found = f"{row['start_raw']} to {row['end_raw']} {row['raw_unit']}s as {row['start_s']} to {row['end_s']} s"
            raise errors.DurationMismatch(where, found, "the same span in both units")
        _check_flags(where, row, video["duration_s"])
    _check_indices(annotations, annotations.moments, "window_index")


def _check_saliency(annotations: Annotations) -> None:
    durations = annotations.durations()
    video_of_query = {row["query_id"]: row["video_id"] for row in annotations.queries}
    windows = _spans_by_query(annotations.moments)
    for row in annotations.saliency:
        where = annotations.where(row)
        if row["query_id"] not in video_of_query:
            raise errors.UnknownQuery(where, repr(row["query_id"]), "one of the table of queries")
        scores = row["scores"]
        # A boolean is equal to a number.
        are_ratings = isinstance(scores, list) and all(s in range(5) and not isinstance(s, bool) for s in scores)
        if not (are_ratings and len(scores) == 3):
            raise errors.BadSaliency(where, f"{scores}"[:_SHOWN], "three whole numbers from 0 to 4")
        clip, length = row["clip_index"], row["clip_length_s"]
        n_clips = math.floor(durations[video_of_query[row["query_id"]]] / length)
        if isinstance(clip, bool) or not isinstance(clip, int) or not 0 <= clip < n_clips:
            raise errors.ClipOutOfRange(
                where, f"clip {clip}"[:_SHOWN], f"0 to {n_clips - 1}, the video's complete clips"
            )
        # On the 2 s grid of QVHighlights, to overlap a window is to lie in it.
        if not any(
            clip * length < end and start < (clip + 1) * length for start, end in windows.get(row["query_id"], [])
        ):
            raise errors.ClipOutOfRange(where, f"clip {clip}", "a clip that overlaps a window of the query")


def _check_steps(annotations: Annotations) -> None:
    video_of_query = {row["query_id"]: row["video_id"] for row in annotations.queries}
    durations = annotations.durations()
    moments = _spans_by_query(annotations.moments)
    n_gaps = 0
    previous: Row | None = None
    for row in annotations.steps:
        where = annotations.where(row)
        _check_query_of(where, row, video_of_query)
        _check_finite(where, [row["start_s"], row["end_s"]])
        _check_flags(where, row, durations[row["video_id"]])
        spans = moments.get(row["query_id"], [])
        if spans and not any(start <= row["start_s"] and row["end_s"] <= end for start, end in spans):
            found = f"step {row['step_index']} from {row['start_s']} to {row['end_s']} s"
            raise errors.StepOutsideMoment(where, found, f"within the query's moment, {spans}")
        if previous is not None and previous["query_id"] == row["query_id"]:
            if row["start_s"] < previous["start_s"]:
                raise errors.UnsortedSteps(where, f"step {row['step_index']} before the one in front", "order of time")
            n_gaps += row["start_s"] != previous["end_s"]
        previous = row
    if n_gaps:
        log.warning("StepGap: %s: %d steps do not start where the one before ends", annotations.dataset, n_gaps)
    _check_indices(annotations, annotations.steps, "step_index")


def _check_captions(annotations: Annotations) -> None:
    videos = annotations.durations()
    for row in annotations.captions:
        if row["video_id"] not in videos:
            raise errors.UnknownVideo(annotations.where(row), repr(row["video_id"]), "one of the table of videos")
        if not row["text"].strip():
            raise errors.EmptyCaption(annotations.where(row), f"a blank {row['kind']} caption", "words")
        _check_kind(annotations.where(row), "kind", row["kind"], _CAPTION_KINDS)


def _check_transcripts(annotations: Annotations) -> None:
    durations = annotations.durations()
    last_start: dict[str, float] = {}
    n_late = 0
    for row in annotations.transcripts:
        where, video_id = annotations.where(row), row["video_id"]
        if video_id not in durations:
            raise errors.UnknownVideo(where, repr(video_id), "one of the table of videos")
        _check_finite(where, [row["start_s"], row["end_s"]])
        if row["end_s"] < row["start_s"] or row["start_s"] < last_start.get(video_id, -math.inf):
            found = f"a segment from {row['start_s']} to {row['end_s']} s"
            raise errors.UnsortedTranscript(where, found, "start <= end, sorted by start")
        last_start[video_id] = row["start_s"]
        _check_kind(where, "source", row["source"], _TRANSCRIPT_SOURCES)
        n_late += row["end_s"] > durations[video_id] + _TRANSCRIPT_TOLERANCE_S
    if n_late:
        log.warning(
            "TranscriptPastDuration: %s: %d segments end more than %g s after their video",
            annotations.dataset,
            n_late,
            _TRANSCRIPT_TOLERANCE_S,
        )


def _check_kind(where: str, column: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise errors.BadValue(f"{where}: {column}", repr(value), f"one of {', '.join(known)}")


def _check_query_of(where: str, row: Row, video_of_query: dict[str, str]) -> None:
    if row["query_id"] not in video_of_query:
        raise errors.UnknownQuery(where, repr(row["query_id"]), "one of the table of queries")
    if video_of_query[row["query_id"]] != row["video_id"]:
        found = f"the query {row['query_id']!r} with the video {row['video_id']!r}"
        raise errors.UnknownQuery(where, found, f"its video {video_of_query[row['query_id']]!r}")


def _check_finite(where: str, numbers: Iterable[float]) -> None:
    for number in numbers:
        if not math.isfinite(number):
            raise errors.NonFiniteSpan(where, f"the time {number}", "a finite number of seconds")


def _check_flags(where: str, row: Row, duration_s: float) -> None:
    computed = span_flags(row["start_s"], row["end_s"], duration_s)
    if row["flags"] != computed:
        raise errors.BadFlags(where, f"the flags {row['flags']}", f"{computed} for these numbers")


def _check_indices(annotations: Annotations, rows: list[Row], column: str) -> None:
    expected: dict[str, int] = {}
    for row in rows:
        index = expected.get(row["query_id"], 0)
        if row[column] != index:
            raise errors.BadWindowIndex(annotations.where(row), f"{column} {row[column]}", f"{index}, without gaps")
        expected[row["query_id"]] = index + 1


def _spans_by_query(moments: list[Row]) -> dict[str, list[tuple[float, float]]]:
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in moments:
        spans.setdefault(row["query_id"], []).append((row["start_s"], row["end_s"]))
    return spans
