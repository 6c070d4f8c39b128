"""Annotations as items hold them: moments, ratings, steps and captions, each only where a task needs it."""

import numpy as np
import pytest

from tests.unit.made_training import write_annotations
from workflow_scripts.lib.training.annotated_items import AnnotatedItems

SHARED = {"dataset": "made", "split": "test", "video_id": "v", "query_id": "q"}
VIDEO = {"dataset": "made", "video_id": "v", "source_video_id": "v", "duration_s": 20.0, "split": ["test"]}
EMPTY_QUERY = {"ordinal": 0, "modality": "text", "text": "what"}


def moment(index, start, end):
    return (
        SHARED
        | {"window_index": index, "raw_unit": "s", "flags": [], "start_raw": start, "end_raw": end}
        | {
            "start_s": start,
            "end_s": end,
        }
    )


def step(index, start, end):
    return SHARED | {"step_index": index, "start_s": start, "end_s": end, "text": f"step {index}", "flags": []}


def caption(index, text, kind):
    row = {"dataset": "made", "split": "test", "video_id": "v", "caption_index": index}
    return row | {"text": text, "kind": kind, "source_id": None}


@pytest.fixture
def tables(tmp_path):
    write_annotations(
        tmp_path,
        {
            "videos": [VIDEO],
            "queries": [SHARED | EMPTY_QUERY],
            "moments": [moment(1, 8.0, 30.0), moment(0, 2.0, 6.0)],
            "steps": [step(1, 4.0, 6.0), step(0, 2.0, 4.0)],
            "saliency": [
                {key: SHARED[key] for key in ("dataset", "split", "query_id")}
                | {"clip_index": clip, "clip_length_s": 2.0, "scores": scores}
                for clip, scores in ((3, [1, 2, 3]), (1, [4, 4, 4]))
            ],
            "captions": [caption(1, "seen", "visual"), caption(0, "heard", "sound")],
        },
    )
    return tmp_path


def test_a_query_has_moments_in_their_order_and_view(tables):
    found = AnnotatedItems(tables, "clip", ("moments",), ()).of("q", "v")
    assert found.moments.tolist() == [[2.0, 6.0], [8.0, 20.0]]
    assert found.saliency.shape == (0, 0)
    assert not found.steps
    assert AnnotatedItems(tables, "raw", ("moments",), ()).of("q", "v").moments[1, 1] == 30.0


def test_ratings_are_placed_by_clip(tables):
    found = AnnotatedItems(tables, "clip", ("highlights",), ()).of("q", "v")
    assert found.saliency.tolist() == [[0, 0, 0], [4, 4, 4], [0, 0, 0], [1, 2, 3]]
    assert found.saliency.dtype == np.int64


def test_steps_and_the_first_moment_are_given_where_a_task_needs_them(tables):
    items = AnnotatedItems(tables, "clip", ("steps",), ())
    assert [found.heading for found in items.of("q", "v").steps] == ["step 0", "step 1"]
    assert items.given("q") == ((2.0, 6.0), ((2.0, 4.0), (4.0, 6.0)))
    assert items.given("other") == (None, ())
    assert AnnotatedItems(tables, "clip", ("moments",), ()).given("q") == (None, ())


def test_a_video_has_the_captions_that_captions_are_scored_against(tables):
    found = AnnotatedItems(tables, "clip", ("captions",), ("videos",)).of(None, "v")
    assert found.captions == ("heard",)
    assert not len(found.moments)
