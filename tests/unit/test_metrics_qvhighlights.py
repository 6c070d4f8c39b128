"""QVHighlights: equal to plain loops, and what counts as what."""

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.made_predictions import made_qvh, moments, qvh_answers, qvh_question, spans
from tests.unit.plain_metrics import plain_moments, plain_saliency
from workflow_scripts.lib.metrics.clip_saliency import read_clip_scores
from workflow_scripts.lib.metrics.questions import Spans
from workflow_scripts.lib.metrics.qvhighlights import (
    LENGTH_RANGES,
    MINIMUM_RATINGS,
    exact_numbers,
    round_percent,
    score_highlights,
    score_ranges,
)
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options


def exact(question, answers):
    """All numbers before they are rounded."""
    ranges = score_ranges(answers.windows, question.targets, LENGTH_RANGES, Options())
    return exact_numbers(ranges, score_highlights(answers.clips, question.ratings))


def scored(annotated, predicted, **options):
    return apply_rules("qvhighlights", moments(annotated), spans(predicted), Options(**options))


@pytest.fixture(scope="module")
def made():
    predictions, annotations = made_qvh(150, seed=3)
    for i, row in enumerate(predictions):
        if i % 3 == 0:
            on_grid = [[round(value / 2) * 2 for value in window[:2]] for window in row["pred_relevant_windows"]]
            row["pred_relevant_windows"] = [[*window, 1.0] for window in on_grid]
        if i % 5 == 0:
            row["pred_saliency_scores"] = [round(score) for score in row["pred_saliency_scores"][: 60 + i]]
        if i % 7 == 0:
            row["pred_relevant_windows"] *= 2
    return predictions, annotations


def test_every_number_equals_the_plain_loop(made):
    predictions, annotations = made
    question = qvh_question(annotations)
    numbers = exact(question, qvh_answers(predictions, question))
    plain = plain_moments(predictions, annotations)
    for name, wanted in plain.items():
        for kind, values in wanted.items():
            found = [value for key, value in numbers[name][kind].items() if key != "average"]
            assert found == pytest.approx(values, rel=1e-12), (name, kind)
    assert plain.keys() == {name for name in numbers if not name.startswith("HL")}
    saliency = plain_saliency(predictions, annotations)
    for name, minimum in MINIMUM_RATINGS.items():
        found = numbers[f"HL-min-{name}"]
        assert (found["HL-mAP"], found["HL-Hit1"]) == pytest.approx(saliency[minimum], rel=1e-12)


def test_the_published_form_is_rounded_and_summed_up(made):
    predictions, annotations = made
    question = qvh_question(annotations)
    answers = qvh_answers(predictions, question)
    official, numbers = apply_rules("qvhighlights", question, answers, Options()).official, exact(question, answers)
    brief = official["brief"]
    assert official.keys() == numbers.keys() | {"brief"}
    assert official["long"]["MR-R1"]["0.95"] == round_percent(numbers["long"]["MR-R1"]["0.95"])
    assert brief["MR-full-mAP"] == round_percent(numbers["full"]["MR-mAP"]["average"])
    assert brief["MR-full-R1@0.7"] == official["full"]["MR-R1"]["0.7"]
    assert brief["HL-min-Good-Hit1"] == round_percent(numbers["HL-min-Good"]["HL-Hit1"])


def test_r1_takes_the_first_listed_window_and_map_the_best_scored():
    found = scored([[[0, 20]]], [[[100, 120, 0.1], [0, 20, 0.9]]]).metrics
    assert (found["R1@0.5"], found["mAP@0.5"]) == (0.0, 100.0)


def test_only_the_first_ten_listed_windows_count_for_map():
    late = [[[100, 120, 0.1]] * 10 + [[0, 20, 0.9]]]
    found = scored([[[0, 20]]], late)
    assert found.metrics["mAP@0.5"] == 0.0
    assert [(c.name, c.count) for c in found.cautions] == [("UnusedWindows", 1)]


def test_a_query_counts_in_a_range_with_its_moments_of_that_length():
    found = scored([[[0, 10], [20, 50]], [[0, 11]]], [[[0, 10, 1.0]], [[0, 11, 1.0]]])
    values = {name: columns["R1@0.5"].tolist() for name, columns in found.lengths.items()}
    np.testing.assert_equal(values, {"short": [1.0, np.nan], "middle": [0.0, 1.0]})
    assert found.metrics["R1@0.5"] == 100.0


def test_lighthouse_leaves_moments_without_length_out():
    question, answers = moments([[[5, 5]], [[0, 10]]]), spans([[[5, 5, 1.0]], [[0, 10, 1.0]]])
    found = apply_rules("lighthouse", question, answers, Options())
    assert found.metrics["R1@0.5"] == 100.0
    np.testing.assert_equal(found.per_query["R1@0.5"], [np.nan, 1.0])
    assert not found.lengths


def test_many_windows_of_one_score_keep_their_order():
    windows = spans([[[start, start + 5, 0.5 + 0.1 * (start % 2)] for start in range(100)]]).windows
    assert windows.ranked().spans[0, :, 0].tolist() == [*range(1, 100, 2), *range(0, 100, 2)]


def test_a_window_may_end_with_its_video():
    assert scored([[[100, 150]]], [[[100, 150, 0.9]]]).cautions == ()


def test_odd_windows_are_counted_and_cut_to_the_video_when_asked():
    predicted = [[[100, 200, 0.9], [5, 5, 0.8]]]
    found = scored([[[100, 150]]], predicted)
    assert {c.name: c.count for c in found.cautions} == {"ZeroLengthSpan": 1, "SpanOutsideVideo": 1}
    assert found.metrics["mIoU"] == 50.0
    assert scored([[[100, 150]]], predicted, clip=True).metrics["mIoU"] == 100.0


@pytest.mark.parametrize("rules", ["qvhighlights", "calce"])
@pytest.mark.parametrize(
    ("empty_windows", "start", "recall", "precision"),
    [
        ("published", 7, 0.0, 100.0),
        ("published", 9, 0.0, 100.0),
        ("identical", 7, 100.0, 100.0),
        ("identical", 9, 0.0, 0.0),
    ],
)
def test_two_empty_windows_hit_in_map_only_as_published_or_if_they_are_identical(
    rules, empty_windows, start, recall, precision
):
    options = Options(empty_windows=empty_windows)
    found = apply_rules(rules, moments([[[7, 7]]]), spans([[[start, start, 1.0]]]), options).metrics
    assert (found["R1@0.5"], found["mIoU"], found["mAP@0.5"]) == (recall, recall, precision)


@pytest.mark.parametrize("rules", ["qvhighlights", "calce"])
def test_as_published_an_empty_window_takes_an_empty_moment_before_any_other(rules):
    # In the published code, the quotient 0 / 0 sorts above every overlap, and each moment is taken once.
    answers = spans([[[30, 30, 0.9], [0, 10, 0.8], [40, 40, 0.7]]])
    found = apply_rules(rules, moments([[[0, 10], [50, 50]]]), answers, Options()).metrics
    assert found["mAP@0.5"] == 100.0
    assert found["R1@0.5"] == 0.0
    whole = spans([[[0, 10, 0.9], [30, 30, 0.8]]])
    assert apply_rules(rules, moments([[[0, 10], [50, 50]]]), whole, Options()).metrics["R1@0.5"] == 100.0


def test_saliency_of_another_length_is_a_caution_and_an_empty_one_a_miss_when_asked():
    predictions, annotations = made_qvh(12)
    question = qvh_question(annotations)
    answers = qvh_answers(predictions, question)
    lists = [row["pred_saliency_scores"] for row in predictions]
    lists[1], lists[2] = [1.0] * 80, []
    clips = read_clip_scores(question.ids, lists, question.ratings.counts, empty_ok=True)
    found = apply_rules("qvhighlights", question, replace(answers, clips=clips), Options())
    assert [(c.name, c.ids) for c in found.cautions if c.name == "SaliencyLength"] == [("SaliencyLength", ("q1", "q2"))]
    assert found.per_query["HL-mAP"][2] == found.per_query["HL-HIT@1"][2] == 0.0


def test_only_moments_or_only_saliency_may_be_answered():
    predictions, annotations = made_qvh(12)
    question = qvh_question(annotations)
    both = qvh_answers(predictions, question)
    found = [
        apply_rules("qvhighlights", question, answers, Options()).metrics
        for answers in (both, Spans(both.windows), Spans(None, both.clips))
    ]
    assert found[0] == found[1] | found[2]
    assert set(found[2]) == {"HL-mAP", "HL-HIT@1"}


def test_per_query_columns_have_one_value_each(made):
    predictions, annotations = made
    question = qvh_question(annotations)
    found = apply_rules("qvhighlights", question, qvh_answers(predictions, question), Options())
    for name, column in found.per_query.items():
        assert np.shape(column) == (150,), name
