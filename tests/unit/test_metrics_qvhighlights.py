"""QVHighlights: equal to plain loops, and every kind of bad input is refused by name."""

import copy

import numpy as np
import pytest

from tests.unit.made_predictions import made_qvh
from tests.unit.plain_metrics import plain_moments, plain_saliency
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.qvhighlights import MINIMUM_RATINGS, evaluate


@pytest.fixture
def rows():
    return copy.deepcopy(made_qvh(12))


def test_every_number_equals_the_plain_loop():
    predictions, annotations = made_qvh(150, seed=3)
    for i, row in enumerate(predictions):
        if i % 3 == 0:
            on_grid = [[round(value / 2) * 2 for value in window[:2]] for window in row["pred_relevant_windows"]]
            row["pred_relevant_windows"] = [[*window, 1.0] for window in on_grid]
        if i % 5 == 0:
            row["pred_saliency_scores"] = [round(score) for score in row["pred_saliency_scores"][: 60 + i]]
        if i % 7 == 0:
            row["pred_relevant_windows"] *= 2
    exact = evaluate(predictions, annotations).exact
    moments = plain_moments(predictions, annotations)
    for name, numbers in moments.items():
        for kind, values in numbers.items():
            found = [value for key, value in exact[name][kind].items() if key != "average"]
            assert found == pytest.approx(values, rel=1e-12), (name, kind)
    assert moments.keys() == {name for name in exact if not name.startswith("HL")}
    for name, minimum in MINIMUM_RATINGS.items():
        found = exact[f"HL-min-{name}"]
        assert (found["HL-mAP"], found["HL-Hit1"]) == pytest.approx(
            plain_saliency(predictions, annotations)[minimum], rel=1e-12
        )


def test_a_perfect_answer_scores_100(rows):
    predictions, annotations = rows
    for row, gold in zip(predictions, annotations, strict=True):
        row["pred_relevant_windows"] = [[*window, 0.5] for window in gold["relevant_windows"]]
    official = evaluate(predictions, annotations).official
    assert set(official["full"]["MR-mAP"].values()) == {100.0}
    assert official["brief"]["MR-full-R1@0.7"] == 100.0


def test_the_order_of_the_rows_does_not_matter(rows):
    predictions, annotations = rows
    assert (
        evaluate(predictions[::-1], annotations).exact["full"]["MR-R1"]
        == (evaluate(predictions, annotations).exact["full"]["MR-R1"])
    )


def test_r1_takes_the_first_listed_window_and_map_the_best_scored(rows):
    predictions, annotations = [rows[0][0]], [rows[1][0]]
    annotations[0]["relevant_windows"] = [[0, 20]]
    predictions[0]["pred_relevant_windows"] = [[100, 120, 0.1], [0, 20, 0.9]]
    exact = evaluate(predictions, annotations).exact["full"]
    assert (exact["MR-R1"]["0.5"], exact["MR-mAP"]["0.5"]) == (0.0, 100.0)


@pytest.mark.parametrize(
    ("window", "error"),
    [
        ([0, float("nan"), 0.5], errors.NonFiniteSpan),
        (["-Infinity", 5, 0.5], errors.NonFiniteSpan),
        ([None, 5, 0.5], errors.NonFiniteSpan),
        ([3], errors.NonFiniteSpan),
        (3, errors.NonFiniteSpan),
        ([7, 5, 0.5], errors.ReversedSpan),
        ([3, 5], errors.MissingScore),
        ([3, 5, float("inf")], errors.NonFiniteScore),
        ([3, 5, None], errors.NonFiniteScore),
    ],
)
def test_a_bad_window_is_named_with_query_and_rank(rows, window, error):
    rows[0][4]["pred_relevant_windows"][2] = window
    with pytest.raises(error, match=r"query 4 \(rank 2\)"):
        evaluate(*rows)


def test_bad_rows_are_named(rows):
    predictions, annotations = rows
    some_without = [{k: v for k, v in r.items() if r["qid"] or k != "pred_saliency_scores"} for r in predictions]
    cases = [
        (predictions + predictions[3:4], annotations, errors.DuplicateQuery, "3"),
        (predictions[:-1], annotations, errors.MissingPrediction, "11"),
        (predictions, annotations[:-1], errors.UnknownQuery, "11"),
        (some_without, annotations, errors.MissingField, "0"),
        ([{"qid": row["qid"]} for row in predictions], annotations, errors.MissingField, "0"),
        (["qid"], annotations, errors.MalformedRow, "number 0"),
        ([*predictions, {**predictions[0], "qid": [1]}], annotations, errors.MalformedRow, r"\[1\]"),
        ([{**row, "pred_relevant_windows": 3.5} for row in predictions], annotations, errors.MalformedRow, "0"),
        (predictions, [{**row, "relevant_windows": []} for row in annotations], errors.BadReference, "0"),
        ([], annotations, errors.MissingPrediction, "0"),
    ]
    for predicted, annotated, error, name in cases:
        with pytest.raises(error, match=f"query {name}"):
            evaluate(predicted, annotated)


@pytest.mark.parametrize(("scores", "error"), [([], errors.EmptyPrediction), ([1, "NaN"], errors.NonFiniteScore)])
def test_bad_saliency_is_named(rows, scores, error):
    rows[0][5]["pred_saliency_scores"] = scores
    with pytest.raises(error, match="query 5"):
        evaluate(*rows)


def test_empty_answers_count_as_misses_only_when_asked(rows):
    predictions, annotations = rows
    predictions[2]["pred_relevant_windows"], predictions[2]["pred_saliency_scores"] = [], []
    with pytest.raises(errors.EmptyPrediction, match="query 2"):
        evaluate(predictions, annotations)
    scores = evaluate(predictions, annotations, empty_as_miss=True)
    assert scores.per_query["AP"][2] == scores.per_query["IoU"][2] == scores.per_query["HL-AP-Fair"][2] == 0
    assert len(scores.per_query["AP"]) == 12


def test_allow_missing_scores_what_both_sides_have(rows):
    predictions, annotations = rows
    found = evaluate(predictions[2:], annotations[:-2], allow_missing=True)
    assert found.exact == evaluate(predictions[2:-2], annotations[2:-2]).exact


def test_odd_windows_are_counted_and_clipped_when_asked(rows):
    predictions, annotations = [rows[0][0]], [rows[1][0]]
    annotations[0]["relevant_windows"] = [[100, 150]]
    predictions[0]["pred_relevant_windows"] = [[100, 200, 0.9], [5, 5, 0.8]] + [[0, 1, 0.1]] * 10
    scores = evaluate(predictions, annotations)
    kinds = {c.name: c.count for c in scores.cautions}
    assert kinds == {"ZeroLengthSpan": 1, "SpanOutsideVideo": 1, "UnusedWindows": 2}
    assert scores.exact["full"]["MR-mIoU"] == 50.0
    assert evaluate(predictions, annotations, clip=True).exact["full"]["MR-mIoU"] == 100.0


def test_identical_empty_windows_hit_and_others_do_not(rows):
    predictions, annotations = [rows[0][0]], [rows[1][0]]
    annotations[0]["relevant_windows"] = [[7, 7]]
    for start, hit in ((7, 100.0), (9, 0.0)):
        predictions[0]["pred_relevant_windows"] = [[start, start, 1.0]]
        full = evaluate(predictions, annotations).exact["full"]
        assert (full["MR-R1"]["0.5"], full["MR-mAP"]["0.5"]) == (hit, hit)


def test_saliency_of_another_length_is_a_caution(rows):
    rows[0][1]["pred_saliency_scores"] = [1.0] * 80
    assert [(c.name, c.ids) for c in evaluate(*rows).cautions if c.name != "ZeroLengthSpan"] == [
        ("SaliencyLength", ("1",))
    ]


def test_per_query_columns_have_one_value_each(rows):
    for name, column in evaluate(*rows).per_query.items():
        assert np.shape(column) == (12,), name
