"""Localisers of the answers without training: worked by hand, edge by edge."""

import numpy as np
import pytest

from models.systems.zero_shot.config import Segments, ThresholdMerge, Watershed
from models.systems.zero_shot.overlap import iou
from models.systems.zero_shot.segments import frame_scores, ranked, segment_spans
from models.systems.zero_shot.temporal_clusters import cluster, smoothed
from models.systems.zero_shot.threshold_merge import merged_spans, saliency
from models.systems.zero_shot.turning_points import earlier_starts
from models.systems.zero_shot.watershed import shot_bounds, watershed_spans


def merged(scores, **options):
    scores = np.atleast_2d(scores)
    return merged_spans(scores, ThresholdMerge(**options)).tolist(), saliency(scores).tolist()


def test_spans_are_the_clips_strictly_above_the_edge_of_the_bin_that_has_enough():
    # Two values are in or above bin 5 of 10 (0.5 to 0.6), the clip at its lower edge is not kept.
    spans, salient = merged([0.0, 0.5, 1.0, 0.0], min_clips=2)
    assert spans == [[2, 3, 1.0]]
    assert salient == [0.0, 0.5, 1.0, 0.0]
    assert merged([0.0, 0.5, 1.0, 0.0], min_clips=1)[0] == [[2, 3, 1.0]]
    # Never enough: everything above 0.
    assert merged([0.0, 0.5, 1.0, 0.0], min_clips=5)[0] == [[1, 3, 0.5 + 0.5 * 0.75]]


@pytest.mark.parametrize(("gap", "expected"), [(3, [[0, 4, 1.0]]), (2, [[0, 1, 0.75], [3, 4, 0.75]])])
def test_clips_join_over_the_gap_and_only_kept_clips_count(gap, expected):
    assert merged([1.0, 0.0, 0.0, 1.0], min_clips=2, gap=gap)[0] == expected


def test_the_gap_is_counted_from_the_last_clip_of_the_span():
    assert merged([1.0, 0.0, 1.0, 0.0, 1.0], min_clips=3, gap=2)[0] == [[0, 5, 1.0]]


def test_a_span_may_be_judged_by_all_its_clips():
    scores = [0.0, 0.65, 0.0, 1.0, 0.0]
    assert merged(scores, min_clips=2)[0] == [[1, 4, pytest.approx(0.5 + 0.5 * 0.825)]]
    assert merged(scores, min_clips=2, mean_of="span")[0] == [[1, 4, pytest.approx(0.5 + 0.5 * 0.55)]]


def test_the_mean_of_the_wordings_may_count_as_one_more():
    scores = [[1.0, 0.8, 0.0, 0.0], [0.0, 0.8, 1.0, 0.0]]
    options = {"min_clips": 1, "gap": 1}
    assert merged(scores, **options)[0] == [[0, 1, 1.0], [2, 3, 1.0]]
    spans, salient = merged(scores, **options, mean_wording=True)
    assert spans == [[0, 1, 1.0], [2, 3, 1.0], [1, 2, 1.0]]
    assert salient == merged(scores)[1]
    assert merged(scores[0], **options, mean_wording=True) == merged(scores[0], **options)


def test_texts_are_pooled_and_what_overlaps_a_better_span_as_much_as_allowed_is_dropped():
    scores = [[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.68, 0.0]]
    spans, salient = merged(scores, min_clips=4, nms_threshold=0.76)
    assert spans == [[0, 5, 1.0], [1, 5, pytest.approx(0.5 + 0.5 * 0.92)]]
    np.testing.assert_allclose(salient, [0.5, 1.0, 1.0, 1.0, 0.84, 0.0])
    # Last - first of both: 4 and 3.
    assert merged(scores, min_clips=4, nms_threshold=0.75)[0] == [[0, 5, 1.0]]


def test_spans_of_one_clip_overlap_nothing_as_published():
    assert merged([[0.0, 1.0], [0.0, 1.0]], min_clips=1)[0] == [[1, 2, 1.0], [1, 2, 1.0]]


def test_equal_scores_say_nothing():
    assert merged([[0.3] * 5]) == ([[0, 5, 0.5]], [0.0] * 5)
    assert merged([[0.3]]) == ([[0, 1, 0.5]], [0.0])
    # A wording whose scores are all equal leaves the answer to the others.
    assert merged([[0.3] * 3, [0.0, 0.0, 1.0]], min_clips=1) == merged([0.0, 0.0, 1.0], min_clips=1)


def test_overlap_is_that_over_the_hull():
    spans = np.array([[0, 4], [2, 6], [4, 8], [1, 3]])
    np.testing.assert_allclose(iou(spans[0], spans), [1, 2 / 6, 0, 0.5])
    assert iou(np.array([1, 1]), np.array([[1, 1], [0, 2]])).tolist() == [0, 0]


def directions(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_the_score_of_a_frame_is_its_best_cosine():
    rows = np.stack([directions(80, 10) * 3, directions(60, 90)])
    scores, best = frame_scores(rows, np.array([2.0, 0.0]))
    np.testing.assert_allclose(scores, np.cos(np.radians([10, 60])), rtol=1e-6)
    assert best.tolist() == [1, 0]
    assert frame_scores(np.zeros((1, 1, 2)), np.ones(2))[0].tolist() == [0]


def planted(n_frames=40, first=16, last=28):
    rows = directions(*[80 + 0.01 * number for number in range(n_frames)])
    rows[first:last] = directions(*[20] * (last - first))
    return rows[:, None]


def test_a_planted_stretch_is_found_first():
    options = Segments(smoothing=1, window=1, min_score=0, longest=0.5, stride=2)
    spans = segment_spans(planted(), np.array([1.0, 0.0]), options)
    # The rise to frame 16 begins after frame 14, and belongs to the span.
    assert spans[0].tolist() == [14, 28, 1.0]
    assert (np.diff(spans[:, 2]) <= 0).all()
    assert (spans[:, 1] - spans[:, 0] <= 20 + 2).all()


def test_without_a_span_that_is_short_enough_the_whole_video_is_the_answer():
    one = segment_spans(directions(20)[:, None], np.array([1.0, 0.0]), Segments())
    assert one.tolist() == [[0, 1, 1.0]]


def test_spans_are_no_more_than_asked_for():
    assert len(segment_spans(planted(), np.array([1.0, 0.0]), Segments(spans=2, longest=1.0))) == 2


def test_spans_that_others_overlap_come_first():
    spans = np.array([[0.0, 0.2, 1.0], [0.5, 1.0, 0.9], [0.5, 0.9, 0.8], [0.6, 1.0, -5.0]])
    assert ranked(spans).tolist() == spans[[1, 2, 3, 0]].tolist()


def test_rows_are_smoothed_with_their_ends_repeated():
    rows = np.array([[3.0], [0.0], [6.0]])
    np.testing.assert_allclose(smoothed(rows, 3), [[2], [3], [4]])
    np.testing.assert_allclose(smoothed(rows, 1), rows)


def test_rows_fall_into_groups_in_time_and_every_run_draws_the_same():
    rows = np.concatenate([np.zeros((10, 2)), np.ones((10, 2)) * 5]).astype(np.float32)
    rows += np.random.default_rng(0).normal(scale=0.1, size=rows.shape).astype(np.float32)
    labels = cluster(rows, 2, window=1)
    assert len(set(labels[:10])) == len(set(labels[10:])) == 1
    assert labels[0] != labels[-1]
    # One odd row amid others is outvoted by its neighbours.
    rows[4] = 5
    assert cluster(rows, 2, window=1)[4] != labels[0]
    assert len(set(cluster(rows, 2, window=7)[:7])) == 1
    assert cluster(rows, 5, 3).tolist() == cluster(rows, 5, 3).tolist()
    assert cluster(rows[:1], 9, 7).tolist() == [0]


@pytest.mark.parametrize(
    ("scores", "start", "expected"),
    [
        # The score rises up to frame 3 and stays: the rise began after frame 1, which frames 2 to 4 point at.
        ([0.5, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9], 4, 1),
        # Falling all the way: every frame is its own mark.
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3], 4, 4),
        ([0.5, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9], 0, 0),
    ],
)
def test_a_start_moves_back_over_the_rise_before_it(scores, start, expected):
    moved = earlier_starts(np.array([start]), np.array(scores), np.ones(7, bool), stride=2)
    assert moved.tolist() == [expected]


def test_frames_that_do_not_count_do_not_carry_a_start_back():
    scores = np.array([0.1, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9])
    counts = np.ones(8, bool)
    assert earlier_starts(np.array([5]), scores, counts, stride=2).tolist() == [0]
    counts[3] = False
    assert earlier_starts(np.array([5]), scores, counts, stride=2).tolist() == [3]


def test_slopes_are_smoothed_from_a_stride_of_three_on():
    scores = np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9, 0.9])
    at = [earlier_starts(np.array([5]), scores, np.ones(8, bool), stride)[0] for stride in (2, 3)]
    assert at == [2, 1]


def test_a_shot_begins_where_rows_differ_more_than_they_usually_do():
    rows = directions(0, 1, 2, 60, 61, 62, 63)
    assert shot_bounds(rows, cut=1.0).tolist() == [0, 3, 7]
    # Changes of 1, 3 and 30 degrees: from mean plus deviation on, from the mean on, and without a bound above it.
    assert shot_bounds(directions(0, 1, 4, 34), cut=0.0).tolist() == [0, 3, 4]
    assert shot_bounds(directions(0, 20, 21, 41, 42), cut=0.0).tolist() == [0, 1, 3, 5]
    assert shot_bounds(directions(0, 20, 21, 41, 42), cut=1.1).tolist() == [0, 5]
    assert shot_bounds(np.ones((4, 2)) * [[1], [2], [3], [1]], cut=0.0).tolist() == [0, 4]
    assert shot_bounds(np.ones((1, 2)), cut=1.0).tolist() == [0, 1]


def test_neighbouring_shots_are_merged_while_their_scores_are_alike_and_ranked_by_them():
    # Four shots of two rows with the mean scores 0, 0.8, 1 and 0.3.
    rows = directions(0, 0, 90, 90, 0, 0, 90, 90)
    scores = np.array([[0.0, 0.0, 0.8, 0.8, 1.0, 1.0, 0.3, 0.3]])

    def spans(alike):
        return [
            [first, end, pytest.approx(score)]
            for first, end, score in watershed_spans(rows, scores, Watershed(cut=0.5, alike=alike)).tolist()
        ]

    assert spans(0.9) == [[4, 6, 1.0], [2, 4, 0.8], [6, 8, 0.3], [0, 2, 0.0]]
    assert spans(0.75) == [[2, 6, 0.9], [6, 8, 0.3], [0, 2, 0.0]]
    # 0.8 and 1 are most alike; what became of them, 0.9, is 0.6 away from 0.3, which alone would be 0.5 from 0.8.
    assert spans(0.45) == [[2, 6, 0.9], [6, 8, 0.3], [0, 2, 0.0]]
    assert spans(0.39) == [[2, 8, pytest.approx(0.7)], [0, 2, 0.0]]
    assert spans(0.0) == [[0, 8, pytest.approx(0.525)]]


def test_a_merged_span_has_the_mean_of_its_rows_whatever_the_shots_lengths():
    rows, scores = directions(0, 0, 0, 90), np.array([[0.0, 1.0, 1.0, 1.0]])
    assert watershed_spans(rows, scores, Watershed(cut=0.5, alike=0.0)).tolist() == [[0, 4, 0.75]]


def test_wordings_share_the_shots_and_equal_scores_give_the_whole_video():
    rows = directions(0, 0, 90, 90)
    scores = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.4, 0.4], [0.2, 0.2, 0.2, 0.2]])
    assert watershed_spans(rows, scores, Watershed()).tolist() == [[2, 4, 1.0], [0, 2, 0.0]]
    assert watershed_spans(rows, scores[2:], Watershed()).tolist() == [[0, 4, 0.5]]
