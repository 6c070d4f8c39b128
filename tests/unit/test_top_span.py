"""Scores of the first span of every query."""

import pytest

from workflow_scripts.metrics.top_span import selection_thresholds


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
