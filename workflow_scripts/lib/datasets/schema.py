"""The canonical tables: their columns, the flags of spans, and the views in which moments are used."""

import difflib
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.datasets.errors import UnknownView

SCHEMA_VERSION = "1"


def columns(**types: pa.DataType | tuple[pa.DataType]) -> pa.Schema:
    """Return a schema; a type in parentheses with a comma may be null."""
    fields = []
    for name, kind in types.items():
        is_optional = isinstance(kind, tuple)
        fields.append(pa.field(name, kind[0] if is_optional else kind, nullable=is_optional))
    return pa.schema(fields)


_TEXT, _SECONDS = pa.string(), pa.float64()
_STRINGS = pa.list_(pa.string())

VIDEOS = columns(
    dataset=_TEXT,
    video_id=_TEXT,
    source_video_id=_TEXT,
    duration_s=_SECONDS,
    fps=(pa.float64(),),
    num_frames=(pa.int64(),),
    youtube_id=(_TEXT,),
    clip_start_s=(_SECONDS,),
    clip_end_s=(_SECONDS,),
    split=_STRINGS,
    extra_json=(_TEXT,),
)
QUERIES = columns(
    dataset=_TEXT,
    split=_TEXT,
    query_id=_TEXT,
    video_id=_TEXT,
    source_query_id=(_TEXT,),
    ordinal=pa.int32(),
    modality=_TEXT,
    text=(_TEXT,),
    audio_path=(_TEXT,),
    speaker=(_TEXT,),
    speaker_index=(pa.int32(),),
    items=(_STRINGS,),
    relevant=(pa.bool_(),),
    clippable=(pa.bool_(),),
    extra_json=(_TEXT,),
)
MOMENTS = columns(
    dataset=_TEXT,
    split=_TEXT,
    query_id=_TEXT,
    video_id=_TEXT,
    window_index=pa.int16(),
    start_raw=pa.float64(),
    end_raw=pa.float64(),
    raw_unit=_TEXT,
    start_s=_SECONDS,
    end_s=_SECONDS,
    flags=_STRINGS,
)
SALIENCY = columns(
    dataset=_TEXT,
    split=_TEXT,
    query_id=_TEXT,
    clip_index=pa.int32(),
    clip_length_s=pa.float32(),
    scores=pa.list_(pa.int8()),
)
STEPS = columns(
    dataset=_TEXT,
    split=_TEXT,
    video_id=_TEXT,
    query_id=_TEXT,
    step_index=pa.int16(),
    start_s=_SECONDS,
    end_s=_SECONDS,
    text=_TEXT,
    flags=_STRINGS,
)
CAPTIONS = columns(
    dataset=_TEXT,
    split=_TEXT,
    video_id=_TEXT,
    caption_index=pa.int32(),
    text=_TEXT,
    kind=_TEXT,
    source_id=(_TEXT,),
)
TRANSCRIPTS = columns(
    dataset=_TEXT,
    video_id=_TEXT,
    segment_index=pa.int32(),
    start_s=_SECONDS,
    end_s=_SECONDS,
    text=_TEXT,
    source=_TEXT,
    model=(_TEXT,),
    language=(_TEXT,),
    words=(
        pa.list_(
            pa.struct([("start_s", _SECONDS), ("end_s", _SECONDS), ("text", _TEXT), ("probability", pa.float64())])
        ),
    ),
)
TABLES = {
    "videos": VIDEOS,
    "queries": QUERIES,
    "moments": MOMENTS,
    "saliency": SALIENCY,
    "steps": STEPS,
    "captions": CAPTIONS,
    "transcripts": TRANSCRIPTS,
}
"""Tables of a dataset's annotations by name."""

VIEWS = ("raw", "clip", "clip_drop", "calce_round")

CAPTION_KINDS = ("sound", "reference")
"""Kinds of captions that a caption is scored against; the first that a split has (UniQ4Cap trains on `sound`)."""


def caption_kind(kinds: Iterable[str]) -> str | None:
    """Return the kind of captions that is described and scored, of those that a split has; None: there is none."""
    there = set(kinds)
    return next((kind for kind in CAPTION_KINDS if kind in there), None)


def span_flags(start_s: float, end_s: float, duration_s: float) -> list[str]:
    """Return what is odd about a span.

    Parameters
    ----------
    start_s, end_s : float
        Seconds, not clipped.
    duration_s : float
        Annotated duration of the video in seconds.

    Returns
    -------
    list of str
        Some of `zero_length`, `reversed`, `end_past_duration`, `start_past_duration`, `negative_start`; usually none.
    """
    found = {
        "zero_length": start_s == end_s,
        "reversed": start_s > end_s,
        "end_past_duration": end_s > duration_s,
        "start_past_duration": start_s > duration_s,
        "negative_start": start_s < 0,
    }
    return [flag for flag, is_set in found.items() if is_set]


def why_empty(start_s: float, end_s: float, duration_s: float) -> str | None:
    """Return why nothing of a moment lies inside its video, None if something does.

    One without length is in published annotations, and scored there: it counts as inside where its place is.
    """
    if start_s > end_s:
        return "moment ends before it starts"
    if start_s == end_s:
        return "moment outside its video" if start_s > duration_s or start_s < 0 else None
    return "moment outside its video" if start_s >= duration_s or end_s <= 0 else None


def without_empty(moments: pa.Table, videos: pa.Table) -> tuple[pa.Table, dict[str, str]]:
    """Return the moments of which something lies inside their video, and why queries have none left.

    Parameters
    ----------
    moments, videos : pyarrow.Table
        Canonical tables; not a view of them.

    Returns
    -------
    moments : pyarrow.Table
    lost : dict of str to str
        Query id -> `why_empty` of its first moment, of queries whose moments are all empty.
    """
    duration_s = dict(zip(videos["video_id"].to_pylist(), videos["duration_s"].to_pylist(), strict=True))
    names = ("query_id", "video_id", "start_s", "end_s")
    reasons = [
        (query, why_empty(start, end, duration_s[video]))
        for query, video, start, end in zip(*(moments[name].to_pylist() for name in names), strict=True)
    ]
    kept = {query for query, why in reasons if why is None}
    lost = {query: why for query, why in reversed(reasons) if query not in kept and why is not None}
    return moments.filter(pa.array([why is None for _, why in reasons], pa.bool_())), lost


def moments_view(moments: pa.Table, videos: pa.Table, policy: str) -> pa.Table:
    """Return the moments as a system wants them; the table itself is never edited.

    Parameters
    ----------
    moments, videos : pyarrow.Table
        Canonical tables.
    policy : {"raw", "clip", "clip_drop", "calce_round"}
        `raw`: as annotated. `clip`: starts raised to 0 and ends lowered to the duration. `clip_drop`: clipped, then
        without the spans that start at or after their end (2D-TAN). `calce_round`: both ends rounded to whole seconds,
        halves to even, not clipped; it belongs with the rounded durations of `videos_view`.

    Returns
    -------
    pyarrow.Table
        The columns of `moments`; `start_s` and `end_s` differ. Window indices stay those of the source.

    Raises
    ------
    UnknownView
        If there is no such policy.
    """
    _check_policy(policy)
    if policy == "raw":
        return moments
    if policy == "calce_round":
        return _replaced(moments, {name: _rounded(moments[name]) for name in ("start_s", "end_s")})
    row_of_video = pc.index_in(moments["video_id"], videos["video_id"].combine_chunks())
    durations = videos["duration_s"].take(row_of_video)
    clipped = {
        "start_s": pc.max_element_wise(moments["start_s"], pa.scalar(0.0)),
        "end_s": pc.min_element_wise(moments["end_s"], durations),
    }
    moments = _replaced(moments, clipped)
    if policy == "clip":
        return moments
    return moments.filter(pc.less(moments["start_s"], moments["end_s"]))


def videos_view(videos: pa.Table, policy: str) -> pa.Table:
    """Return the videos that go with a view of the moments: `calce_round` rounds the durations, halves to even.

    Raises
    ------
    UnknownView
        If there is no such policy.
    """
    _check_policy(policy)
    if policy != "calce_round":
        return videos
    return _replaced(videos, {"duration_s": _rounded(videos["duration_s"])})


def _check_policy(policy: str) -> None:
    if policy not in VIEWS:
        near = difflib.get_close_matches(policy, VIEWS, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else "Choose one of these."
        raise UnknownView("view of the moments", repr(policy), f"one of {', '.join(VIEWS)}", hint)


def _rounded(seconds: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.round(seconds, round_mode="half_to_even")


def _replaced(table: pa.Table, columns: dict[str, pa.ChunkedArray]) -> pa.Table:
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, table.schema.field(name), values)
    return table
