"""R1 and mean IoU of one span per query, by hand-computed examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.made_predictions import moments, spans
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.span_index import hull_iou


def test_iou_by_hand():
    predicted = np.array([[0, 7], [0, 10], [1, 2], [0, 4], [3, 8]])
    reference = np.array([[0, 10], [0, 10], [5, 9], [2, 6], [4, 6]])
    np.testing.assert_allclose(hull_iou(predicted, reference), [0.7, 1.0, 0.0, 2 / 6, 2 / 5])


def test_metrics_by_hand_count_an_iou_on_the_threshold():
    answers = spans([[[0, 3]], [[0, 5]], [[0, 7]], [[20, 30]]])
    scored = apply_rules("span_index", moments([[[0.0, 10.0]]] * 4), answers, Options())
    assert scored.metrics == pytest.approx({"R1@0.3": 75.0, "R1@0.5": 50.0, "R1@0.7": 25.0, "mIoU": 37.5})
    np.testing.assert_allclose(scored.per_query["mIoU"], [0.3, 0.5, 0.7, 0.0])


def test_only_the_first_span_and_the_first_moment_count():
    answers = spans([[[20, 30], [0, 10]], []])
    found = apply_rules("span_index", moments([[[0, 10], [20, 30]], [[0, 10]]]), answers, Options())
    assert found.metrics["mIoU"] == 0.0


def test_spans_are_cut_to_the_video_when_asked_and_counted_by_the_length_of_the_moment():
    question, answers = moments([[[0, 10]], [[0, 40]]], [10.0, 50.0]), spans([[[0, 20]], [[0, 40]]])
    plain, cut = (apply_rules("span_index", question, answers, Options(clip=clip)) for clip in (False, True))
    assert (plain.metrics["mIoU"], cut.metrics["mIoU"]) == (75.0, 100.0)
    assert [(c.name, c.ids) for c in plain.cautions] == [("SpanOutsideVideo", ("q0",))]
    np.testing.assert_equal(plain.lengths["short"]["mIoU"], [0.5, np.nan])
    np.testing.assert_equal(plain.lengths["long"]["mIoU"], [np.nan, 1.0])


def test_a_length_between_two_predicted_times_is_a_float32_difference():
    inside = hull_iou(np.array([0.1, 0.8]), np.array([0.1, 1.1]))
    assert inside == pytest.approx(float(np.float32(0.8) - np.float32(0.1)), abs=1e-12)
    assert inside < 0.7


def test_empty_spans_have_no_overlap_unless_identical():
    predicted = np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]])
    reference = np.array([[5.0, 5.0], [4.0, 6.0], [7.0, 7.0]])
    assert hull_iou(predicted, reference).tolist() == [1.0, 0.0, 0.0]


bounds = st.lists(st.floats(0, 1000, width=32), min_size=2, max_size=2).map(sorted)


@given(bounds, bounds)
def test_iou_is_a_share_and_symmetric_for_exact_times(one, other):
    there, back = hull_iou(np.array(one), np.array(other)), hull_iou(np.array(other), np.array(one))
    assert 0 <= there <= 1
    assert there == pytest.approx(back, abs=1e-5)
