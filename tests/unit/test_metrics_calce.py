"""CALCE: answers as text, the order of the list as ranking, and the share of answers that cannot be read."""

import pytest

from tests.unit.plain_metrics import THRESHOLDS, plain_ap
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.calce import evaluate, parse_windows

ROWS = [
    {"qid": "a", "pred_relevant_windows": [[0, 10], [20, 30]], "relevant_windows": [[0, 10]]},
    {"qid": "b", "pred_relevant_windows": [[50, 60], [20, 30]], "relevant_windows": [[20, 32], [70, 80]]},
    {"qid": "c", "pred_relevant_windows": [[-1, -1]], "relevant_windows": [[3, 9]]},
]


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
    scores = evaluate(ROWS)
    assert scores.official["R1"]["0.5"] == 33.33
    assert scores.official["R1_avg"] == pytest.approx(33.33)
    assert scores.official["invalid_pred_num"] == 1
    assert scores.official["mIoU"] == pytest.approx(1 / 3)
    assert scores.exact["invalid"] == pytest.approx(100 / 3)
    for t in THRESHOLDS:
        mean = sum(plain_ap(row["pred_relevant_windows"], row["relevant_windows"], t) for row in ROWS) / 3
        assert scores.exact["mAP"][str(t)] == pytest.approx(100 * mean)
    assert not scores.cautions


def test_windows_past_the_tenth_count():
    windows = [[100 + i, 101 + i] for i in range(11)] + [[0, 10]]
    scores = evaluate([{"qid": 1, "pred_relevant_windows": windows, "relevant_windows": [[0, 10]]}])
    assert scores.exact["mAP"]["0.5"] == pytest.approx(100 / 12)
    assert [(found.name, found.count) for found in scores.cautions] == [("ManyWindows", 1)]


def test_clipping_needs_durations():
    row = {"qid": 1, "pred_relevant_windows": [[0, 20]], "relevant_windows": [[0, 10]]}
    assert evaluate([row], durations_s=[10.0], clip=True).exact["mIoU"] == 100.0
    assert evaluate([row], durations_s=[10.0]).cautions[0].name == "SpanOutsideVideo"
    with pytest.raises(ValueError, match="durations"):
        evaluate([row], clip=True)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"pred_relevant_windows": []}, errors.EmptyPrediction),
        ({"pred_relevant_windows": [[10, 2]]}, errors.ReversedSpan),
        ({"pred_relevant_windows": [[0, None]]}, errors.NonFiniteSpan),
        ({"qid": "a"}, errors.DuplicateQuery),
        ({"relevant_windows": []}, errors.BadReference),
    ],
)
def test_bad_rows_are_refused(change, error):
    with pytest.raises(error, match="query"):
        evaluate([*ROWS[:2], ROWS[2] | change])


def test_a_field_of_some_rows_only_is_refused():
    with pytest.raises(errors.MissingField, match="query c"):
        evaluate([*ROWS[:2], {"qid": "c", "relevant_windows": [[0, 1]]}])


def test_an_empty_answer_can_count_as_a_miss():
    rows = [ROWS[0], ROWS[2] | {"pred_relevant_windows": []}]
    scores = evaluate(rows, empty_as_miss=True)
    assert (scores.exact["R1"]["0.5"], scores.exact["mAP"]["0.5"], scores.exact["invalid"]) == (50.0, 50.0, 0.0)


def test_rows_of_the_same_query_count_as_one_only_when_asked():
    row = {"qid": "a", "pred_relevant_windows": [[0, 10]], "relevant_windows": [[0, 10]]}
    missed = {"qid": "b", "pred_relevant_windows": [[-1, -1]], "relevant_windows": [[5, 10]]}
    with pytest.raises(errors.DuplicateQuery):
        evaluate([row, row, missed])
    found = evaluate([row, row, missed], merge_repeats=True).official
    assert found["R1"]["0.5"] == 50.0
    assert found["mIoU"] == 0.5
    assert (found["invalid_pred_num"], found["total"]) == (1, 3)
    assert found["invalid_predictions"] == pytest.approx(1 / 3)
    once = evaluate([row, missed])
    assert evaluate([row, missed], merge_repeats=True).official == once.official
