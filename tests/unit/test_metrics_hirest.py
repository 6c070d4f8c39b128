"""HiREST: retrieval of videos and moments, and segmentation."""

import pytest

from tests.unit.made_predictions import moments, spans
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.questions import Rankings, Spans, Steps
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps
from workflow_scripts.lib.metrics.windows import list_windows

IDS = ["a.mp4", "b.mp4"]
STEPS = Steps(IDS, IDS, [[[0, 10], [10, 20]], [[0, 5]]])


def of_moments(annotated, predicted, **options):
    return apply_rules("hirest_moments", moments(annotated), spans(predicted), Options(**options))


def of_steps(predicted, rules="hirest_steps_raw", **options):
    return apply_rules(rules, STEPS, Steps(IDS, IDS, predicted), Options(**options))


def of_videos(videos, scores, wanted):
    return apply_rules("hirest_videos", Rankings(["p"], [wanted]), Rankings(["p"], [videos], [scores]), Options())


def test_half_of_a_moment_is_a_miss():
    assert of_moments([[[10, 20]], [[0, 8]]], [[[10, 15]], [[0, 8]]]).metrics == {"R@0.5": 50.0, "R@0.7": 50.0}


def test_spans_are_cut_to_the_video_when_asked():
    annotated, predicted = [[[100, 150]]], [[[100, 199]]]
    assert of_moments(annotated, predicted).cautions[0].name == "SpanOutsideVideo"
    assert of_moments(annotated, predicted, clip=True).metrics["R@0.7"] == 100.0


@pytest.mark.parametrize("predicted", [[[[20, 10]], [[0, 8]]], [[[15, 15.0 - 1e-8]], [[0, 8]]]])
def test_a_span_that_ends_before_it_starts_overlaps_nothing(predicted):
    with pytest.raises(errors.ReversedSpan, match="q0"):
        spans(predicted)
    answers = Spans(list_windows(["q0", "q1"], predicted, allow_reversed=True))
    found = apply_rules("hirest_moments", moments([[[10, 20]], [[0, 8]]]), answers, Options(reversed="miss"))
    assert found.metrics == {"R@0.5": 50.0, "R@0.7": 50.0}
    assert [(c.name, c.ids) for c in found.cautions] == [("ReversedSpan", ("q0",))]


def test_equal_retrieval_scores_rank_by_descending_name():
    videos = ["a.mp4", "b.mp4"]
    assert of_videos(videos, [0.5, 0.5], ["b.mp4"]).metrics["R@1"] == 100.0
    assert of_videos(videos, [0.5, 0.5], ["a.mp4"]).metrics["R@1"] == 0.0
    assert of_videos(videos, [0.5, 0.5], ["a.mp4"]).metrics["R@5"] == 100.0
    assert of_videos([], [], ["a.mp4"]).metrics["R@50"] == 0.0


@pytest.mark.parametrize(
    ("rank", "metrics"),
    [(1, "R@1"), (5, "R@5"), (10, "R@10"), (50, "R@50")],
)
def test_a_video_counts_up_to_its_rank_and_not_one_further(rank, metrics):
    videos = [f"{i:03d}" for i in range(60)]
    scores = [1.0 - i / 100 for i in range(60)]
    assert of_videos(videos, scores, [videos[rank - 1]]).metrics[metrics] == 100.0
    assert of_videos(videos, scores, [videos[rank]]).metrics[metrics] == 0.0


@pytest.mark.parametrize(
    ("videos", "scores", "error"),
    [
        (["a"], [], errors.MissingScore),
        (["a"], ["NaN"], errors.NonFiniteScore),
        (["a"], [float("inf")], errors.NonFiniteScore),
        (["a", "a"], [1, 2], errors.DuplicateVideo),
    ],
)
def test_bad_rankings_are_named(videos, scores, error):
    with pytest.raises(error, match="prompt p"):
        of_videos(videos, scores, ["a"])


def test_segmentation_by_hand():
    assert of_steps([[[0, 10], [0, 5], [13, 20]], []]).metrics == {
        "recall@0.5": 50.0,
        "recall@0.7": pytest.approx(25.0),
        "precision@0.5": pytest.approx(100 / 3),
        "precision@0.7": pytest.approx(100 / 6),
    }


def test_steps_without_length_are_a_caution():
    assert [(c.name, c.ids) for c in of_steps([[[5, 5]], [[0, 5]]]).cautions] == [("ZeroLengthSpan", ("a.mp4",))]


@pytest.mark.parametrize(
    ("bounds", "error"), [([[0, float("inf")]], errors.NonFiniteSpan), ([[9, 2]], errors.ReversedSpan)]
)
@pytest.mark.parametrize("rules", ["hirest_steps", "hirest_steps_raw"])
def test_bad_steps_are_named(rules, bounds, error):
    with pytest.raises(error, match=r"b\.mp4"):
        of_steps([[[0, 10]], bounds], rules)


def test_a_video_without_annotated_steps_is_refused():
    with pytest.raises(errors.BadReference, match="video a"):
        apply_rules("hirest_steps", Steps(["a"], ["a"], [[]]), Steps(["a"], ["a"], [[]]), Options())


def test_reversed_steps_count_among_the_predicted_ones_and_cover_nothing():
    found = of_steps([[[0, 10], [20, 10]], [[0, 5]]], reversed="miss").metrics
    assert (found["recall@0.5"], found["precision@0.5"]) == (75.0, 75.0)
    # Prepared: [0, 12], [12, 9], [9, 20] of the first video, of which the first and the last cover a step.
    found = of_steps([[[12, 9]], []], "hirest_steps", reversed="miss").metrics
    assert (found["recall@0.5"], found["precision@0.5"]) == (100.0, pytest.approx(100 * (2 / 3 + 1) / 2))


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
    # A reversed step overlaps none and is followed by a gap like the others, as in the published code.
    assert prepare_steps([[15, 12], [18, 19]], reference) == [[10, 15], [15, 12], [12, 18], [18, 19], [19, 40]]
