"""Sampling rules: pure functions from times to frames."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parity import sampling_cases
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.sampling import FrameTimes, as_rational, ffmpeg_fps, plan_frames, short_clip_rate

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "extractors" / "sampling"
CHECKS = sampling_cases.checks(GOLDENS)

tick_gaps = st.lists(st.integers(1, 3000), min_size=1, max_size=80)
rates = st.fractions(Fraction(1, 5), 60, max_denominator=1001)


@pytest.mark.parametrize("check", CHECKS, ids=[check.name for check in CHECKS])
def test_frames_are_those_that_ffmpeg_delivered(check):
    check.run(None)


def test_the_tables_are_all_there():
    of_a_clip = ["probe", "frames", "seek"] + 7 * ["fps"] + 3 * ["head"] + 2 * ["uniform"]
    assert len(CHECKS) == 12 * len(of_a_clip) + 2 * 3 * 8


def constant_rate(n_frames: int, rate: int) -> tuple[np.ndarray, Fraction, int, int]:
    return np.arange(n_frames), Fraction(1, rate), 0, n_frames


@pytest.mark.parametrize(
    ("n_frames", "source_rate", "rate", "first"),
    [(90, 30, Fraction(1), [14, 44, 74]), (90, 30, Fraction(1, 2), [29]), (75, 25, Fraction(1), [12, 37, 62])],
)
def test_a_slot_holds_the_last_frame_before_its_centre(n_frames, source_rate, rate, first):
    plan = ffmpeg_fps(*constant_rate(n_frames, source_rate), rate)
    assert plan.frame_idx[: len(first)].tolist() == first


def test_a_clip_shorter_than_half_a_slot_gives_no_frame():
    assert len(ffmpeg_fps(*constant_rate(13, 24), Fraction(1, 2)).frame_idx) == 0
    assert ffmpeg_fps(*constant_rate(13, 24), Fraction(1, 2)).times.shape == (0, 2)


@given(tick_gaps, rates, st.integers(-(10**7), 10**7))
def test_a_plan_is_ordered_in_range_and_blind_to_the_start_of_the_container(gaps, rate, shift):
    pts = np.cumsum([0, *gaps[:-1]])
    end = int(pts[-1]) + gaps[-1]
    plan = ffmpeg_fps(pts, Fraction(1, 1000), 0, end, rate)
    moved = ffmpeg_fps(pts + shift, Fraction(1, 1000), shift, end + shift, rate)
    assert np.array_equal(plan.frame_idx, moved.frame_idx)
    assert np.array_equal(plan.times, moved.times)
    assert np.all(np.diff(plan.frame_idx) >= 0)
    assert len(plan.frame_idx) == 0 or (plan.frame_idx[0] >= 0 and plan.frame_idx[-1] < len(pts))
    slots = int(end * rate / 1000 + Fraction(1, 2))
    assert len(plan.frame_idx) == (slots if slots > 0 else 0)


def test_nanosecond_clocks_and_ntsc_rates_do_not_overflow():
    pts = np.arange(200_000, dtype=np.int64) * 33_366_667
    plan = ffmpeg_fps(pts, Fraction(1, 10**9), 0, int(pts[-1]) + 33_366_667, Fraction(30000, 1001))
    assert len(plan.frame_idx) == 200_000
    assert plan.frame_idx[-1] == 199_999


def test_times_are_the_edges_of_the_slots():
    times = ffmpeg_fps(*constant_rate(90, 30), Fraction(2, 3)).times
    np.testing.assert_array_equal(times, [[0.0, 1.5], [1.5, 3.0]])


@pytest.mark.parametrize(
    ("duration_s", "rate", "guarded"),
    [(1.05, 1, 2), (0.4, 1, 2), (1.2, 1, 1), (2.05, Fraction(1, 2), 1), (0.0, 1, 1), (None, 1, 1)],
)
def test_the_short_clip_guard_gives_two_frames(duration_s, rate, guarded):
    assert short_clip_rate(Fraction(rate), duration_s) == guarded


def test_the_guard_is_an_option_of_the_rule():
    media = FrameTimes(np.arange(24), Fraction(1, 24), 0, 24, 1.0)
    assert len(plan_frames({"rule": "ffmpeg_fps", "rate": 0.5}, media).frame_idx) == 1
    assert len(plan_frames({"rule": "ffmpeg_fps", "rate": 0.5, "short_clip_guard": True}, media).frame_idx) == 2


@pytest.mark.parametrize(
    ("value", "rational"),
    [(2, Fraction(2)), (0.5, Fraction(1, 2)), (1 / 6, Fraction(1, 6)), ("30000/1001", Fraction(30000, 1001))],
)
def test_rates_are_exact(value, rational):
    assert as_rational(value) == rational


@pytest.mark.parametrize("value", [0, -1, "abc", None, float("nan"), "1/0"])
def test_a_rate_that_is_none_is_named(value):
    with pytest.raises(UserError, match="positive number"):
        as_rational(value)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "every_frame"}, "unknown rule 'every_frame'. Known: ffmpeg_fps"),
        ({"rule": "ffmpeg_fps"}, "rate"),
        ({"rule": "ffmpeg_fps", "rate": 1, "fps": 2}, "fps"),
    ],
)
def test_a_wrong_rule_is_named(rule, message):
    with pytest.raises(UserError, match=message):
        plan_frames(rule, FrameTimes(np.arange(5), Fraction(1), 0, 5, None))
