"""Rules that pick single frames: order, range, and blindness to where a container starts."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames
from workflow_scripts.lib.media.sparse_sampling import is_constant, lavis_edges, seek_per_second

MILLISECOND = Fraction(1, 1000)
SINGLE_FRAME_RULES = [
    {"rule": "ffmpeg_fps", "rate": "2/3"},
    {"rule": "seek_per_second"},
    {"rule": "seek_per_second", "rate": "3/2"},
    {"rule": "lavis_head", "n_frames": 7},
    {"rule": "lavis_uniform", "n_frames": 7},
    {"rule": "linspace", "n_frames": 7},
]
gaps_ms = st.lists(st.integers(1, 3000), min_size=1, max_size=60)
stated_rates = st.one_of(st.none(), st.sampled_from([Fraction(25), Fraction(30000, 1001), Fraction(981, 50)]))


def media(gaps: list[int], rate: Fraction | None, shift: int = 0, delay: int = 0) -> FrameTimes:
    """Frames with these distances; `shift` moves the whole file, `delay` only the pictures."""
    ticks = np.cumsum([0, *gaps]) + shift + delay
    return FrameTimes(ticks[:-1], MILLISECOND, shift, int(ticks[-1]), None, True, rate)


def constant(n_frames: int, rate: Fraction) -> FrameTimes:
    time_base = 1 / (rate * 1000)
    return FrameTimes(np.arange(n_frames) * 1000, time_base, 0, n_frames * 1000, None, True, rate)


@pytest.mark.parametrize("rule", SINGLE_FRAME_RULES, ids=str)
@given(gaps_ms, stated_rates, st.integers(-(10**7), 10**7), st.integers(0, 2000))
def test_a_plan_is_ordered_in_range_and_blind_to_the_start_of_the_container(rule, gaps, rate, shift, delay):
    plan = plan_frames(rule, media(gaps, rate, delay=delay))
    moved = plan_frames(rule, media(gaps, rate, shift, delay))
    np.testing.assert_array_equal(plan.frame_idx, moved.frame_idx)
    np.testing.assert_array_equal(plan.times, moved.times)
    assert plan.times.shape == (len(plan.frame_idx), 2)
    assert plan.frames_per_row is None
    assert np.all(np.diff(plan.frame_idx) >= 0)
    assert np.all((plan.frame_idx >= 0) & (plan.frame_idx < len(gaps)))
    assert np.all(plan.times[:, 0] < plan.times[:, 1])
    assert np.all(np.diff(plan.times[:, 0]) > 0)


@given(st.integers(1, 400), st.sampled_from([Fraction(24), Fraction(981, 50), Fraction(30000, 1001), Fraction(60)]))
def test_at_a_constant_rate_a_seek_rounds_halves_up_and_ends_with_the_stream(n_frames, rate):
    found = plan_frames({"rule": "seek_per_second"}, constant(n_frames, rate)).frame_idx.tolist()
    expected = []
    while (position := int(len(expected) * rate + Fraction(1, 2))) < n_frames:
        expected.append(position)
    assert found == expected


def test_at_a_variable_rate_a_seek_finds_the_frame_that_is_shown():
    pts = np.array([0, 40, 80, 999, 1001, 3500])
    assert seek_per_second(pts, MILLISECOND, 3600, Fraction(1), Fraction(10)).tolist() == [0, 3, 4, 4]
    assert seek_per_second(pts, MILLISECOND, 3600, Fraction(1), None).tolist() == [0, 3, 4, 4]


def test_rounded_time_stamps_are_still_a_constant_rate():
    rate = Fraction(30000, 1001)
    pts = np.round(np.arange(5000) / float(rate) * 1000).astype(np.int64)
    assert is_constant(pts, MILLISECOND, rate)
    assert not is_constant(np.delete(pts, 2500), MILLISECOND, rate)
    assert not is_constant(pts, MILLISECOND, Fraction(30))


def test_rows_of_a_late_stream_start_with_its_first_frame():
    plan = plan_frames({"rule": "seek_per_second"}, media([500] * 4, None, delay=700))
    np.testing.assert_allclose(plan.times, [[0.7, 1.7], [1.7, 2.7]])


def test_lavis_takes_every_frame_of_a_video_with_fewer_than_asked_for():
    for rule in ("lavis_head", "lavis_uniform"):
        plan = plan_frames({"rule": rule, "n_frames": 60}, media([100] * 5, None))
        assert plan.frame_idx.tolist() == [0, 1, 2, 3, 4]
    assert lavis_edges(10, 20, 4).tolist() == [10, 12, 15, 17, 20]


def test_lavis_rows_cover_the_video_without_gaps():
    times = plan_frames({"rule": "lavis_head", "n_frames": 3}, media([100] * 10, None)).times
    np.testing.assert_allclose(times, [[0, 0.3], [0.3, 0.6], [0.6, 1.0]])


def test_linspace_has_both_ends_and_always_the_number_asked_for():
    assert plan_frames({"rule": "linspace", "n_frames": 5}, media([100] * 11, None)).frame_idx.tolist() == [
        *(0, 2, 5, 7, 10)
    ]
    assert plan_frames({"rule": "linspace", "n_frames": 4}, media([100] * 2, None)).frame_idx.tolist() == [0, 0, 0, 1]
