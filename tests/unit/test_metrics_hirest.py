"""HiREST: retrieval of videos and moments, segmentation, and the placeholders of the public test file."""

import pytest

from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.hirest import moment_retrieval, segmentation, video_retrieval
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps

MOMENTS = {
    "Tie a Knot": {"a.mp4": {"clip": True, "bounds": [10, 20], "v_duration": 30.0}},
    "Bake Bread": {
        "b.mp4": {"clip": True, "bounds": [0, 8], "v_duration": 60.0},
        "c.mp4": {"clip": False, "bounds": [0, 0], "v_duration": 9.0},
    },
}
ANSWERS = {"Tie a Knot": {"a.mp4": {"bounds": [10, 15]}}, "Bake Bread": {"b.mp4": {"bounds": [0, 8]}}}
STEPS = {"a.mp4": {"bounds": [[0, 10], [10, 20]]}, "b.mp4": {"bounds": [[0, 5]]}}


def test_half_of_a_moment_is_a_miss():
    scores = moment_retrieval(ANSWERS, MOMENTS, {"Tie a Knot": "Knots", "Bake Bread": "Food", "Other": "None"})
    assert scores.official["all"] == {"total_videos": 2, "R@0.5": 50.0, "R@0.7": 50.0}
    assert scores.official["Knots"]["R@0.5"] == 0.0
    assert scores.official["None"] == {}


def test_placeholders_are_refused_with_the_way_out():
    moments = {"Tie a Knot": {"a.mp4": {"clip": True, "bounds": [0, 1], "v_duration": 30.0}}}
    answers = {"Tie a Knot": {"a.mp4": {"bounds": [0, 1]}}}
    with pytest.raises(errors.PlaceholderReference, match=r"all_data_val\.json"):
        moment_retrieval(answers, moments)
    assert moment_retrieval(answers, moments, allow_placeholders=True).official["all"]["R@0.7"] == 100.0


@pytest.mark.parametrize(
    ("answers", "error", "name"),
    [
        ({"Tie a Knot": ANSWERS["Tie a Knot"]}, errors.MissingPrediction, "Bake Bread"),
        (ANSWERS | {"Fly": {"z.mp4": {"bounds": [0, 1]}}}, errors.UnknownQuery, "Fly"),
        (ANSWERS | {"Tie a Knot": {"a.mp4": {"bounds": []}}}, errors.EmptyPrediction, "Tie a Knot"),
        (ANSWERS | {"Tie a Knot": {"a.mp4": {"bounds": [3, 1]}}}, errors.ReversedSpan, "Tie a Knot"),
        (ANSWERS | {"Tie a Knot": {"a.mp4": {"bounds": [3, "NaN"]}}}, errors.NonFiniteSpan, "Tie a Knot"),
        (ANSWERS | {"Tie a Knot": {"a.mp4": {}}}, errors.MissingField, "Tie a Knot"),
    ],
)
def test_bad_moments_are_named(answers, error, name):
    with pytest.raises(error, match=name):
        moment_retrieval(answers, MOMENTS)


def test_options_for_incomplete_answers():
    some = {"Bake Bread": ANSWERS["Bake Bread"], "Fly": {}}
    assert moment_retrieval(some, MOMENTS, allow_missing=True).official["all"]["total_videos"] == 1
    empty = ANSWERS | {"Bake Bread": {"b.mp4": {"bounds": []}}}
    assert moment_retrieval(empty, MOMENTS, empty_as_miss=True).official["all"]["R@0.5"] == 0.0
    long = ANSWERS | {"Tie a Knot": {"a.mp4": {"bounds": [10, 99]}}}
    assert moment_retrieval(long, MOMENTS).cautions[0].name == "SpanOutsideVideo"
    assert moment_retrieval(long, MOMENTS, clip=True).per_query["IoU"][0] == pytest.approx(0.5)


def test_equal_retrieval_scores_rank_by_descending_name():
    answers = {"p": {"videos": ["a.mp4", "b.mp4"], "scores": [0.5, 0.5]}}
    assert video_retrieval(answers, {"p": {"b.mp4": {}}}).official["all"]["R@1"] == 100.0
    assert video_retrieval(answers, {"p": {"a.mp4": {}}}).official["all"]["R@1"] == 0.0
    assert video_retrieval(answers, {"p": {"a.mp4": {}}}).official["all"]["R@5"] == 100.0


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"videos": [], "scores": []}, errors.EmptyPrediction),
        ({"videos": ["a"], "scores": []}, errors.MissingScore),
        ({"videos": ["a"]}, errors.MissingScore),
        ({"videos": ["a"], "scores": ["NaN"]}, errors.NonFiniteScore),
        ({"videos": ["a", "a"], "scores": [1, 2]}, errors.DuplicateVideo),
        ({"videos": [["a"]], "scores": [1]}, errors.MalformedRow),
    ],
)
def test_bad_rankings_are_named(answer, error):
    with pytest.raises(error, match="prompt p"):
        video_retrieval({"p": answer}, {"p": {"a": {}}})


def test_segmentation_by_hand():
    scores = segmentation({"a.mp4": {"bounds": [[0, 10], [0, 5], [13, 20]]}, "b.mp4": {"bounds": []}}, STEPS)
    assert scores.official["all"] == {
        "recall": {"0.5": 50.0, "0.7": pytest.approx(25.0)},
        "precision": {"0.5": pytest.approx(100 / 3), "0.7": pytest.approx(100 / 6)},
        "total": 2,
    }


def test_steps_are_made_to_fill_the_moment():
    reference = [[10, 20], [20, 40]]
    assert prepare_steps([], reference) == [[10, 40]]
    assert prepare_steps([[10, 15], [30, 40]], reference) == [[10, 40]]
    assert prepare_steps([[12, 15], [14, 18], [30, 35]], reference) == [
        [10, 14],
        [14, 18],
        [18, 30],
        [30, 35],
        [35, 40],
    ]
    assert prepare_steps([[12, 20], [20, 30]], reference) == [[10, 20], [20, 30], [30, 40]]
    with pytest.raises(errors.ReversedSpan):
        prepare_steps([[20, 15]], reference)
