"""R1, mean IoU and the constant-span baseline, by hand-computed examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.lib.metrics.constant_span import best_constant_span
from workflow_scripts.lib.metrics.errors import NonFiniteSpan, ReversedSpan
from workflow_scripts.lib.metrics.span_index import evaluate, hull_iou


def test_iou_by_hand():
    predicted = np.array([[0, 7], [0, 10], [1, 2], [0, 4], [3, 8]])
    reference = np.array([[0, 10], [0, 10], [5, 9], [2, 6], [4, 6]])
    np.testing.assert_allclose(hull_iou(predicted, reference), [0.7, 1.0, 0.0, 2 / 6, 2 / 5])


def test_metrics_by_hand_count_an_iou_on_the_threshold():
    predicted = np.array([[0, 3], [0, 5], [0, 7], [20, 30]])
    scores = evaluate(list("abcd"), predicted, np.array([[0.0, 10.0]] * 4))
    assert scores.metrics == pytest.approx({"R1@0.3": 75.0, "R1@0.5": 50.0, "R1@0.7": 25.0, "mIoU": 37.5})
    np.testing.assert_allclose(scores.iou, [0.3, 0.5, 0.7, 0.0])


def test_a_length_between_two_predicted_times_is_a_float32_difference():
    inside = hull_iou(np.array([0.1, 0.8]), np.array([0.1, 1.1]))
    assert inside == pytest.approx(float(np.float32(0.8) - np.float32(0.1)), abs=1e-12)
    assert inside < 0.7


def test_empty_spans_have_no_overlap_unless_identical():
    predicted = np.array([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]])
    reference = np.array([[5.0, 5.0], [4.0, 6.0], [7.0, 7.0]])
    assert hull_iou(predicted, reference).tolist() == [1.0, 0.0, 0.0]


spans = st.lists(st.floats(0, 1000, width=32), min_size=2, max_size=2).map(sorted)


@given(spans, spans)
def test_iou_is_a_share_and_symmetric_for_exact_times(one, other):
    there, back = hull_iou(np.array(one), np.array(other)), hull_iou(np.array(other), np.array(one))
    assert 0 <= there <= 1
    assert there == pytest.approx(back, abs=1e-5)


def test_predictions_that_are_no_spans_are_named():
    reference = np.array([[0.0, 1.0], [0.0, 1.0]])
    with pytest.raises(NonFiniteSpan, match="query q2"):
        evaluate(["q1", "q2"], np.array([[0, 1], [0, np.nan]]), reference)
    with pytest.raises(ReversedSpan, match="query q1"):
        evaluate(["q1", "q2"], np.array([[3, 1], [0, 1]]), reference)


def test_nothing_to_score_is_an_error():
    with pytest.raises(ValueError, match="0 queries"):
        evaluate([], np.zeros((0, 2)), np.zeros((0, 2)))


def test_constant_baseline_finds_a_span_in_seconds():
    moments = np.array([[2.0, 6.0]] * 9 + [[20.0, 40.0]])
    durations_s = np.array([10.0, 50.0, 80.0, 33.0, 21.0, 44.0, 100.0, 12.0, 60.0, 40.0])
    best = best_constant_span(moments, durations_s, 0.9)
    assert (best.unit, best.start, best.end, best.r1) == ("seconds", 2.0, 6.0, 90.0)


def test_constant_baseline_finds_a_share_of_the_duration():
    durations_s = np.array([10.0, 100.0, 1000.0, 7.0])
    best = best_constant_span(durations_s[:, None] * [0.5, 1.0], durations_s, 0.7)
    assert best.unit == "duration"
    assert best.r1 == 100.0
    assert best.start == pytest.approx(0.4, abs=0.15)


def test_constant_spans_are_cut_at_the_end_of_the_video():
    best = best_constant_span(np.array([[0.0, 8.0], [0.0, 4.0]]), np.array([8.0, 4.0]), 0.9, n_intervals=2)
    assert best.spans(np.array([8.0, 4.0])).tolist() == [[0.0, 8.0], [0.0, 4.0]]
    assert best.r1 == 100.0


def test_constant_baseline_needs_moments():
    with pytest.raises(ValueError, match="N >= 1"):
        best_constant_span(np.zeros((0, 2)), np.zeros(0), 0.5)
