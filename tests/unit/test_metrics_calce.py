"""CALCE: answers as text, the order of the list as ranking, and the share of answers that cannot be read."""

import numpy as np
import pytest

from tests.unit.made_predictions import moments, spans
from tests.unit.plain_metrics import THRESHOLDS, plain_ap
from workflow_scripts.lib.metrics.calce import parse_windows
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options

ANNOTATED = [[[0, 10]], [[20, 32], [70, 80]], [[3, 9]]]
PREDICTED = [[[0, 10], [20, 30]], [[50, 60], [20, 30]], [[-1, -1]]]


def scored(annotated, predicted, durations_s=None, **options):
    return apply_rules("calce", moments(annotated, durations_s), spans(predicted), Options(**options))


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("[[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
        ("[[1, 2], [3]]", [[1, 2], [-1, -1]]),
        ("[[1, 2], [3, 4]] or so", [[-1, -1]]),
        ("I do not know", [[-1, -1]]),
        ("[[1, 2], 7, [[3]]]", [[-1, -1]]),
        ("[[" * 5000 + "]]" * 5000, [[-1, -1]]),
    ],
)
def test_answers_are_parsed(text, windows):
    assert parse_windows(text) == windows


def test_numbers_by_hand():
    found = scored(ANNOTATED, PREDICTED)
    assert found.official["R1"]["0.5"] == 33.33
    assert found.official["R1_avg"] == pytest.approx(33.33)
    assert (found.official["invalid_pred_num"], found.official["total"]) == (1, 3)
    assert found.official["mIoU"] == pytest.approx(1 / 3)
    assert found.metrics["invalid"] == pytest.approx(100 / 3)
    pairs = list(zip(PREDICTED, ANNOTATED, strict=True))
    means = [np.mean([plain_ap(windows, targets, t) for windows, targets in pairs]) for t in THRESHOLDS]
    assert found.metrics["mAP@0.5"] == pytest.approx(100 * means[0])
    assert found.metrics["mAP@0.75"] == pytest.approx(100 * means[5])
    assert found.metrics["mAP"] == pytest.approx(100 * np.mean(means))
    assert found.official["mAP"]["0.95"] == pytest.approx(100 * means[9], abs=0.005)
    assert not found.cautions


def test_windows_past_the_tenth_count():
    windows = [[100 + i, 101 + i] for i in range(11)] + [[0, 10]]
    found = scored([[[0, 10]]], [windows])
    assert found.metrics["mAP@0.5"] == pytest.approx(100 / 12)
    assert [(caution.name, caution.count) for caution in found.cautions] == [("ManyWindows", 1)]


def test_windows_are_cut_to_the_video_when_asked():
    assert scored([[[0, 10]]], [[[0, 20]]], [10.0], clip=True).metrics["mIoU"] == 100.0
    found = scored([[[0, 10]]], [[[0, 20]]], [10.0])
    assert found.metrics["mIoU"] == 50.0
    assert found.cautions[0].name == "SpanOutsideVideo"


def test_an_answer_of_nothing_is_a_miss_and_not_an_unreadable_one():
    found = scored([ANNOTATED[0], ANNOTATED[2]], [PREDICTED[0], []]).metrics
    assert (found["R1@0.5"], found["mAP@0.5"], found["invalid"]) == (50.0, 50.0, 0.0)


def test_as_published_answers_without_length_at_moments_without_length_are_hits_of_map_alone():
    annotated = [[[7, 7]]] * 2 + [[[0, 10]]] * 2 + [[[4, 4]]]
    predicted = [[[7, 7]], [[9, 9]], [[0, 10]], [[50, 60]], [[-1, -1]]]
    found = scored(annotated, predicted)
    assert found.official["R1"]["0.5"] == 20.0
    assert found.official["mIoU"] == pytest.approx(0.2)
    assert found.official["mAP"]["0.5"] == 80.0
    assert scored(annotated, predicted, empty_windows="identical").official["R1"]["0.5"] == 40.0
