"""The canonical tables: their invariants, flags, views and files."""

import json
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.systems.interface import Span
from tests.unit.forked import run_forked
from tests.unit.made_settings import settings_options
from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.annotation_tables import Annotations, add_flags, write_annotations
from workflow_scripts.lib.datasets.durations import fill_durations
from workflow_scripts.lib.datasets.left_out import METADATA_KEY, leave_out, left_out_queries
from workflow_scripts.lib.datasets.schema import (
    MOMENTS,
    TABLES,
    VIDEOS,
    moments_view,
    span_flags,
    videos_view,
)
from workflow_scripts.lib.datasets.validation import count_flags, refuse_flags, validate_annotations
from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.predictions.answer_checks import check_answers
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, answers_table
from workflow_scripts.lib.store.tables import read_table, write_table


def sample(spans=((1.0, 3.0), (4.0, 6.0)), duration_s=10.0):
    """Annotations with one video and one query, with a row in every table."""
    made = Annotations("toy")
    made.add_video("v", "train", duration_s, "toy.jsonl:1")
    query_id = made.add_query("v", "train", "a dog", "toy.jsonl:1", source_id="7")
    for start_s, end_s in spans:
        made.add_moment("v", "train", query_id, start_s, end_s)
    common = {"dataset": "toy", "split": "train", "query_id": query_id}
    made.saliency.append({**common, "clip_index": 0, "clip_length_s": 2.0, "scores": [0, 1, 4]})
    step = {**common, "video_id": "v", "start_s": 1.0, "end_s": 2.0, "text": "sit"}
    made.steps += [{**step, "step_index": 0}, {**step, "step_index": 1, "start_s": 2.0, "end_s": 3.0}]
    caption = {
        "dataset": "toy",
        "split": "train",
        "video_id": "v",
        "caption_index": 0,
        "text": "x",
        "kind": "reference",
    }
    made.captions.append(caption)
    segment = {"dataset": "toy", "video_id": "v", "text": "hi", "source": "srt"}
    made.transcripts += [
        {**segment, "segment_index": 0, "start_s": 0.0, "end_s": 1.0},
        {**segment, "segment_index": 1, "start_s": 1.0, "end_s": 2.0, "words": []},
    ]
    add_flags(made)
    return made


def test_good_annotations_pass():
    validate_annotations(sample())


def change(table, row, **columns):
    def apply(annotations):
        getattr(annotations, table)[row].update(columns)

    return apply


def drop(table, row):
    return lambda annotations: getattr(annotations, table).pop(row)


def repeat(table, row=0, **columns):
    def apply(annotations):
        rows = getattr(annotations, table)
        rows.append({**rows[row], **columns})

    return apply


BROKEN = [
    (lambda a: setattr(a, "dataset", "a b"), errors.UnknownDataset),
    (change("queries", 0, dataset="other"), errors.UnknownDataset),
    (change("videos", 0, split=None), errors.BadValue),
    (change("videos", 0, video_id="a/../b", source_video_id="a/../b"), errors.BadVideoId),
    (change("videos", 0, video_id="/b", source_video_id="/b"), errors.BadVideoId),
    (change("videos", 0, video_id="a\tb", source_video_id="a\tb"), errors.BadVideoId),
    (change("videos", 0, video_id=" ", source_video_id=" "), errors.BadVideoId),
    (change("videos", 0, source_video_id="w"), errors.BadVideoId),
    (change("videos", 0, source_video_id="a_v"), errors.BadVideoId),
    (change("queries", 0, query_id="other/train/7"), errors.BadQueryId),
    (change("queries", 0, split="val"), errors.BadQueryId),
    (change("captions", 0, kind="song"), errors.BadValue),
    (change("transcripts", 0, source="ear"), errors.BadValue),
    (change("videos", 0, youtube_id="short"), errors.BadVideoId),
    (repeat("videos"), errors.DuplicateVideo),
    (change("videos", 0, duration_s=0.0), errors.BadDuration),
    (change("videos", 0, duration_s=math.nan), errors.BadDuration),
    (change("videos", 0, duration_s=1e289), errors.BadDuration),
    (change("videos", 0, fps=0.0), errors.BadFps),
    (change("videos", 0, fps=25.0, num_frames=251), errors.DurationMismatch),
    (change("videos", 0, clip_start_s=5.0, clip_end_s=5.0), errors.ReversedSpan),
    (change("videos", 0, split=["train", "test"]), errors.SplitLeak),
    (change("videos", 0, extra_json="{"), errors.BadExtra),
    (change("queries", 0, extra_json="{'a': 1}"), errors.BadExtra),
    (change("queries", 0, video_id="w"), errors.UnknownVideo),
    (repeat("queries", ordinal=1), errors.DuplicateQuery),
    (repeat("queries", query_id="toy/train/8"), errors.DuplicateQuery),
    (change("queries", 0, modality="image"), errors.BadModality),
    (change("queries", 0, text=" \n"), errors.EmptyQuery),
    (change("queries", 0, text=None), errors.EmptyQuery),
    (change("queries", 0, modality="speech"), errors.MissingAudio),
    (change("queries", 0, speaker="p225"), errors.BadSpeaker),
    (change("queries", 0, relevant=False, clippable=True), errors.BadFlags),
    (change("moments", 0, query_id="toy/train/9"), errors.UnknownQuery),
    (change("moments", 0, video_id="w"), errors.UnknownQuery),
    (change("moments", 1, window_index=2), errors.BadWindowIndex),
    (change("moments", 0, raw_unit="minute"), errors.BadUnit),
    (change("moments", 0, raw_unit="frame"), errors.BadFps),
    (change("moments", 0, end_s=math.inf), errors.NonFiniteSpan),
    (change("moments", 0, end_s=2.0), errors.DurationMismatch),
    (change("moments", 0, flags=["reversed"]), errors.BadFlags),
    (change("saliency", 0, query_id="toy/train/9"), errors.UnknownQuery),
    (change("saliency", 0, scores=[1, 2]), errors.BadSaliency),
    (change("saliency", 0, scores=[1, 2, 5]), errors.BadSaliency),
    (change("saliency", 0, scores=[1, 2, True]), errors.BadSaliency),
    (change("saliency", 0, scores=[1, 2, [3]]), errors.BadSaliency),
    (change("saliency", 0, clip_index=5), errors.ClipOutOfRange),
    (change("saliency", 0, clip_index=-1), errors.ClipOutOfRange),
    (change("saliency", 0, clip_index=4), errors.ClipOutOfRange),
    (change("steps", 1, step_index=2), errors.BadWindowIndex),
    (change("steps", 0, end_s=3.5), errors.StepOutsideMoment),
    (change("steps", 0, start_s=2.5, end_s=3.0), errors.UnsortedSteps),
    (change("captions", 0, text=" "), errors.EmptyCaption),
    (change("captions", 0, video_id="w"), errors.UnknownVideo),
    (change("transcripts", 0, end_s=-1.0), errors.UnsortedTranscript),
    (change("transcripts", 1, start_s=-1.0), errors.UnsortedTranscript),
    (change("transcripts", 0, end_s=math.nan), errors.NonFiniteSpan),
    (drop("videos", 0), errors.UnknownVideo),
]


@pytest.mark.parametrize(("breakage", "error"), BROKEN)
def test_every_broken_invariant_has_its_named_error(breakage, error):
    annotations = sample()
    breakage(annotations)
    with pytest.raises(DataError) as caught:
        validate_annotations(annotations)
    assert type(caught.value) is error


def test_two_spoken_queries_may_not_share_their_audio():
    annotations = sample()
    change("queries", 0, modality="speech", text=None, audio_path="a.wav")(annotations)
    validate_annotations(annotations)
    repeat("queries", query_id="toy/train/8", ordinal=1)(annotations)
    with pytest.raises(errors.DuplicateAudio):
        validate_annotations(annotations)


def test_a_message_says_where_what_expected_and_remedy():
    annotations = sample()
    annotations.queries[0]["text"] = " "
    expected = (
        "toy.jsonl:1 (toy/train/7): EmptyQuery: found ' '; expected words. Write the query, or remove this entry."
    )
    with pytest.raises(errors.EmptyQuery) as caught:
        validate_annotations(annotations)
    assert str(caught.value) == expected


def test_spans_in_frames_are_checked_with_the_frame_rate():
    annotations = sample(spans=[(1.0, 3.0)])
    annotations.videos[0].update(fps=25.0, num_frames=250)
    annotations.moments[0].update(raw_unit="frame", start_raw=25.0, end_raw=75.0)
    validate_annotations(annotations)


def test_gaps_between_steps_are_a_warning(caplog):
    annotations = sample()
    annotations.steps[1]["start_s"] = 2.5
    validate_annotations(annotations)
    assert "StepGap: toy: 1 steps" in caplog.text


def test_a_transcript_well_past_the_end_is_a_warning(caplog):
    annotations = sample()
    annotations.transcripts[1]["end_s"] = 11.0
    validate_annotations(annotations)
    assert "TranscriptPastDuration" not in caplog.text
    annotations.transcripts[1]["end_s"] = 11.1
    validate_annotations(annotations)
    assert "TranscriptPastDuration: toy: 1 segments" in caplog.text


@pytest.mark.parametrize(
    ("span", "flags", "error"),
    [
        ((1.0, 3.0), [], None),
        ((1.0, 10.0), [], None),
        ((2.0, 2.0), ["zero_length"], errors.ZeroLengthSpan),
        ((3.0, 2.0), ["reversed"], errors.ReversedSpan),
        ((3.0, 10.1), ["end_past_duration"], errors.SpanOutsideVideo),
        ((-1.0, 2.0), ["negative_start"], errors.SpanOutsideVideo),
        ((11.0, 12.0), ["end_past_duration", "start_past_duration"], errors.SpanOutsideVideo),
    ],
)
def test_odd_spans_are_flagged_and_counted_and_errors_if_strict(span, flags, error):
    annotations = sample(spans=[span])
    annotations.saliency.clear()
    annotations.steps.clear()
    assert annotations.moments[0]["flags"] == flags
    validate_annotations(annotations)
    assert count_flags(annotations) == {f"moments {flag}": 1 for flag in flags}
    if error is None:
        refuse_flags(annotations)
    else:
        with pytest.raises(error, match=r"toy\.jsonl:1 \(toy/train/7\)"):
            refuse_flags(annotations)


seconds = st.floats(-20, 40, allow_nan=False)


@given(st.lists(st.tuples(seconds, seconds, st.sampled_from("ab")), max_size=20))
def test_views_clip_and_drop_but_never_edit(spans):
    durations = {"a": 10.0, "b": 20.5}
    videos = pa.Table.from_pylist([{"video_id": name, "duration_s": d} for name, d in durations.items()], VIDEOS)
    rows = [
        {"video_id": video, "start_s": start, "end_s": end, "window_index": i}
        for i, (start, end, video) in enumerate(spans)
    ]
    moments = pa.Table.from_pylist(rows, MOMENTS)

    def view(policy):
        table = moments_view(moments, videos, policy)
        assert table.schema == MOMENTS
        return [(row["window_index"], row["start_s"], row["end_s"]) for row in table.to_pylist()]

    clipped = [(i, max(0.0, start), min(end, durations[video])) for i, (start, end, video) in enumerate(spans)]
    assert view("raw") == [(i, start, end) for i, (start, end, _) in enumerate(spans)]
    assert view("clip") == clipped
    assert view("clip_drop") == [row for row in clipped if row[1] < row[2]]
    assert view("calce_round") == [(i, round(start), round(end)) for i, (start, end, _) in enumerate(spans)]


def test_whole_seconds_of_calce_round_halves_to_even_and_the_durations_too():
    rows = [{"video_id": str(i), "duration_s": d} for i, d in enumerate([0.5, 1.5, 2.5, 29.51])]
    videos = pa.Table.from_pylist(rows, VIDEOS)
    assert videos_view(videos, "calce_round")["duration_s"].to_pylist() == [0.0, 2.0, 2.0, 30.0]
    assert videos_view(videos, "clip") is videos
    with pytest.raises(errors.UnknownView):
        videos_view(videos, "round")


def test_an_unknown_view_is_answered_with_the_nearest_name():
    with pytest.raises(errors.UnknownView, match='Did you mean "clip"'):
        moments_view(pa.Table.from_pylist([], MOMENTS), pa.Table.from_pylist([], VIDEOS), "clipp")


@given(seconds, seconds, st.floats(0.1, 30))
def test_flags_are_empty_exactly_for_spans_inside_the_video(start, end, duration):
    assert (span_flags(start, end, duration) == []) == (0 <= start < end <= duration)


def test_tables_come_back_as_written_with_their_metadata(tmp_path):
    annotations = sample()
    write_annotations(tmp_path, annotations, {"importer": "toy 1", "source_sha256": {"train": "ab"}})
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(TABLES)
    for name, schema in TABLES.items():
        table = read_table(tmp_path / f"{name}.parquet")
        assert table.schema.equals(schema)
        rows = [{key: value for key, value in row.items() if value is not None} for row in table.to_pylist()]
        assert rows == getattr(annotations, name)
        notes = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
        assert notes == {"schema_version": "1", "importer": "toy 1", "source_sha256": '{"train": "ab"}'}


def test_the_same_annotations_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_annotations(tmp_path / folder, sample(), {"importer": "toy 1", "source_sha256": {}})
    for name in TABLES:
        first, second = (tmp_path / folder / f"{name}.parquet" for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_empty_tables_keep_their_columns(tmp_path):
    write_annotations(tmp_path, Annotations("toy"), {"importer": "toy 1"})
    assert read_table(tmp_path / "steps.parquet").schema.names == TABLES["steps"].names


# Durations from the videos


def undated(video_id="demo_train_000"):
    made = Annotations("mine")
    made.add_video(video_id, "test", None, "q.csv:2")
    return made


def media_manifest(folder, *rows):
    names = ("video_id", "status", "duration_s")
    write_table(folder / "manifest.parquet", pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]))
    return folder / "manifest.parquet"


def test_a_duration_that_nobody_states_comes_from_the_manifest(tmp_path):
    made = undated()
    assert fill_durations(made, media_manifest(tmp_path, ("demo_train_000", "ok", 12.5))) == {}
    assert made.videos[0]["duration_s"] == 12.5


def test_an_undated_video_needs_a_manifest_that_knows_it(tmp_path):
    with pytest.raises(errors.MissingDuration, match="Name the media manifest"):
        fill_durations(undated(), None)
    with pytest.raises(errors.MissingDuration, match="no row for demo_train_000"):
        fill_durations(undated(), media_manifest(tmp_path, ("b", "ok", 1.0)))


def test_stated_durations_are_believed_without_a_look(tmp_path):
    made = sample()
    fill_durations(made, tmp_path / "nowhere")
    assert made.videos[0]["duration_s"] == 10.0


def test_queries_of_unusable_videos_are_left_out_and_counted_by_kind_and_reason(tmp_path):
    made = undated("a")
    for video, kind in (("b", "sound"), ("c", None), ("c", "sound")):
        made.add_video(video, "test", None, f"q.csv:{video}")
        extra = json.dumps({"kind": kind}) if kind else None
        query = made.add_query(video, "test", "x", "q.csv", extra_json=extra)
        made.add_moment(video, "test", query, 0.0, 1.0)
    manifest = media_manifest(tmp_path, ("a", "ok", 3.0), ("b", "missing", None), ("c", "unreadable", None))
    unusable = fill_durations(made, manifest)
    assert unusable == {"b": "missing", "c": "unreadable"}
    counts = leave_out(made, unusable)
    assert [row["video_id"] for row in made.videos] == ["a"]
    assert made.queries == made.moments == []
    add_flags(made)
    write_annotations(tmp_path, made, {METADATA_KEY: counts})
    table = read_table(tmp_path / "queries.parquet")
    assert left_out_queries(table, "test", None) == {"video missing": 1, "video unreadable": 2}
    assert left_out_queries(table, "test", ["sound"]) == {"video missing": 1, "video unreadable": 1}
    assert left_out_queries(table, "train", None) == {}


# The command


def run_on(source, name, out):
    """Run an entry point on a list of queries."""
    settings = {"format": "plain", "files": [["test", str(source)]], "items": []}
    known = settings_options(source.with_suffix(".settings.json"), settings)
    return run_forked(name, *known, "--dataset", "mine", "--out", out)


def test_flags_are_counted_by_the_import_and_refused_by_the_check(tmp_path):
    line = {"video": "a.mp4", "query": "x", "start": 1, "end": 12.5, "duration": 10}
    source = tmp_path / "q.jsonl"
    source.write_text(json.dumps(line))
    result = run_on(source, "import_annotations", tmp_path / "out")
    assert result.returncode == 0
    assert "1 videos, 1 queries, 1 moments" in result.stderr
    assert "flagged: 1 moments end_past_duration" in result.stderr
    assert f"moments end_past_duration: kept and counted; the first is {source}:1 (mine/test/a#0)" in result.stderr
    (moment,) = read_table(tmp_path / "out" / "moments.parquet").to_pylist()
    assert (moment["query_id"], moment["end_s"], moment["flags"]) == ("mine/test/a#0", 12.5, ["end_past_duration"])
    strict = run_on(source, "check_annotations", tmp_path / "checked.txt")
    assert strict.returncode == 2
    assert strict.stderr == (
        f"error: {source}:1 (mine/test/a#0): SpanOutsideVideo: found the span 1.0 to 12.5 s (end_past_duration) in a "
        "video of 10.0 s; expected 0 <= start < end <= duration. Correct it, or leave out `strict_annotations`: such "
        "spans are then kept, flagged and counted.\n"
    )


def test_moments_outside_their_video_are_told_by_the_import_with_split_and_place(tmp_path):
    line = {"video": "a.mp4", "query": "x", "start": 1002, "end": 1005, "duration": 10}
    (tmp_path / "q.jsonl").write_text(json.dumps(line))
    result = run_on(tmp_path / "q.jsonl", "import_annotations", tmp_path / "out")
    assert result.returncode == 0
    where = f"{tmp_path / 'q.jsonl'}:1 (mine/test/a#0)"
    assert f"left out: 1 moments of split test (moment outside its video); the first is {where}" in result.stderr
    assert run_on(tmp_path / "q.jsonl", "check_annotations", tmp_path / "checked.txt").returncode == 2


# Predictions


def predicted(rank, start_s=1.0, end_s=2.0, score=0.5, query_id="q"):
    return Span(query_id, "v", rank, start_s, end_s, score)


@pytest.mark.parametrize(
    ("spans", "error"),
    [
        ([predicted(0), predicted(1)], None),
        ([predicted(0, None, None, None)], None),
        ([predicted(0, score=None)], None),
        ([predicted(0, query_id="z")], errors.UnknownQuery),
        ([predicted(0), predicted(2)], errors.BadRank),
        ([predicted(0, math.nan)], errors.NonFiniteSpan),
        ([predicted(0, None)], errors.NonFiniteSpan),
        ([predicted(0, 3.0)], errors.ReversedSpan),
        ([predicted(0, score=math.inf)], errors.NonFiniteScore),
        ([], errors.MissingPrediction),
    ],
)
def test_predictions_are_complete_ranked_and_finite(spans, error):
    table = answers_table("moments", spans, {})
    if error is None:
        check_answers("moments", table, {"q"}, "run")
    else:
        with pytest.raises(DataError) as caught:
            check_answers("moments", table, {"q"}, "run")
        assert type(caught.value) is error


def test_the_tables_of_answers_have_the_columns_of_the_specification():
    optional = {task: [column.name for column in schema if column.nullable] for task, schema in SCHEMAS.items()}
    assert optional == {
        "moments": ["start_s", "end_s", "score", "text"],
        "highlights": [],
        "steps": ["start_s", "end_s"],
        "captions": ["step_index", "score"],
        "videos": [],
    }
