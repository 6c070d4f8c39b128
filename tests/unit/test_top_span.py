"""Scores of the first span of every query."""

import numpy as np
import pytest

from workflow_scripts.lib.metrics.top_span import average_recall, nearest_moment, selection_thresholds


@pytest.mark.parametrize(
    ("metric", "thresholds"),
    [
        ("R1@0.7", (0.3, 0.5, 0.7)),
        ("R1@0.6", (0.3, 0.5, 0.6, 0.7)),
        ("mIoU", (0.3, 0.5, 0.7)),
        ("R1@half", (0.3, 0.5, 0.7)),
    ],
)
def test_a_training_watches_the_threshold_that_selects_beside_the_usual_three(metric, thresholds):
    assert selection_thresholds(metric) == thresholds


MOMENTS = np.array([[0.0, 10.0], [20.0, 30.0], [40.0, 40.0]])


@pytest.mark.parametrize(
    ("predicted", "nearest"),
    [
        ((19.0, 28.0), (20.0, 30.0)),
        ((5.0, 25.0), (0.0, 10.0)),
        ((32.0, 38.0), (0.0, 10.0)),
        ((40.0, 40.0), (0.0, 10.0)),
        (None, (0.0, 10.0)),
    ],
)
def test_a_span_is_judged_by_the_moment_that_it_overlaps_most(predicted, nearest):
    assert nearest_moment(predicted, MOMENTS) == nearest


def test_the_average_recall_is_over_ten_thresholds():
    assert average_recall([1.0, 0.5, 0.74, 0.0]) == pytest.approx(100 * (10 + 1 + 5 + 0) / 40)
