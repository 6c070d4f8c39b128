"""Rules whose rows see several frames: windows of I3D, C3D and SlowFast."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.decoded import decoded_rows
from tests.parity.sampling_cases import frame_number
from tests.unit.made_clips import make_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.clip_windows import hero_clips, i3d_chunks, windows_in, windows_in_blocks
from workflow_scripts.lib.media.media_error import DecodeError, MediaError
from workflow_scripts.lib.media.sampling import FramePlan, FrameTimes, plan_frames

SQUASH = {"rule": "squash", "size": 96}
VSLNET = {"rule": "windows", "window": 16, "tail": "shift_back", "skip_last": True}
WINDOW_RULES = [
    {"rule": "windows", "window": 4},
    {"rule": "windows", "window": 4, "stride": 2, "tail": "pad"},
    {"rule": "windows", "window": 5, "stride": 3, "tail": "shift_back"},
    {"rule": "windows", "window": 4, "tail": "shift_back", "skip_last": True, "block": 20},
    {"rule": "windows", "window": 8, "rate": "24"},
    {"rule": "windows", "window": 12, "stride": 5, "n_frames": 4},
    {"rule": "hero_clips"},
    {"rule": "hero_clips", "clip_s": "3/2", "end": "int"},
    {"rule": "i3d_chunks"},
]


def media(n_frames: int, rate: int, shift: int = 0) -> FrameTimes:
    pts = np.arange(n_frames) * 10 + shift
    duration_s = n_frames / rate
    return FrameTimes(pts, Fraction(1, 10 * rate), shift, n_frames * 10 + shift, duration_s, True, Fraction(rate))


def rows_of(plan: FramePlan) -> list[list[int]]:
    return [row.tolist() for row in np.split(plan.frame_idx, np.cumsum(plan.frames_per_row)[:-1])]


@pytest.mark.parametrize("rule", WINDOW_RULES, ids=str)
@given(st.integers(2, 150), st.sampled_from([10, 25, 30, 60]), st.integers(-(10**7), 10**7))
def test_rows_are_ordered_in_range_and_blind_to_the_start_of_the_container(rule, n_frames, rate, shift):
    plan = plan_frames(rule, media(n_frames, rate))
    moved = plan_frames(rule, media(n_frames, rate, shift))
    for found, expected in zip(moved, plan, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(plan.times) == len(plan.frames_per_row)
    assert plan.frames_per_row.sum() == len(plan.frame_idx)
    if len(plan.times):
        assert all(min(row) >= 0 and max(row) < n_frames for row in rows_of(plan))
        # HERO fills its last clip with copies of a whole second.
        assert rule["rule"] == "hero_clips" or all(row == sorted(row) for row in rows_of(plan))
        assert np.all(np.diff([max(row) for row in rows_of(plan)]) >= 0)
        assert np.all(plan.times[:, 0] < plan.times[:, 1])


@pytest.mark.parametrize(
    ("n_frames", "windows"),
    [
        (33, [(0, 16), (16, 32), (16, 32)]),
        (32, [(0, 16), (15, 31)]),
        (31, [(0, 16), (14, 30)]),
        (17, [(0, 16), (0, 16)]),
        (10, [(0, 9)]),
        (1, [(0, 0)]),
    ],
)
def test_vslnet_shifts_its_last_window_back_and_never_sees_the_last_frame(n_frames, windows):
    assert windows_in(n_frames, 16, 16, "shift_back", skip_last=True) == windows


def test_a_window_without_frames_is_an_error_of_its_video():
    with pytest.raises(MediaError, match="too short"):
        plan_frames(VSLNET, media(1, 25))


@pytest.mark.parametrize(("n_frames", "n_rows"), [(64, 0), (65, 1), (128, 1), (129, 2)])
def test_video_features_waits_for_one_more_frame(n_frames, n_rows):
    plan = plan_frames({"rule": "windows", "window": 64, "skip_last": True}, media(n_frames, 25))
    assert len(plan.times) == n_rows
    assert plan.frames_per_row.tolist() == [64] * n_rows


def test_overlapping_windows_of_c3d():
    plan = plan_frames({"rule": "windows", "window": 16, "stride": 8}, media(40, 10))
    assert [(row[0], row[-1]) for row in rows_of(plan)] == [(0, 15), (8, 23), (16, 31), (24, 39)]
    np.testing.assert_allclose(plan.times, [[0, 1.6], [0.8, 2.4], [1.6, 3.2], [2.4, 4.0]])


def test_a_padded_window_repeats_the_last_frame_and_ends_with_the_video():
    plan = plan_frames({"rule": "windows", "window": 4, "tail": "pad"}, media(6, 10))
    assert rows_of(plan) == [[0, 1, 2, 3], [4, 5, 5, 5]]
    np.testing.assert_allclose(plan.times, [[0, 0.4], [0.4, 0.6]])


def test_windows_run_over_the_frames_of_the_fps_filter():
    plan = plan_frames({"rule": "windows", "window": 4, "rate": 2}, media(60, 10))
    assert rows_of(plan) == [[2, 7, 12, 17], [22, 27, 32, 37], [42, 47, 52, 57]]
    np.testing.assert_allclose(plan.times, [[0, 2], [2, 4], [4, 6]])


@pytest.mark.parametrize(("n_frames", "n_rows"), [(63, 0), (64, 1), (75, 1), (76, 2), (9_000, 745)])
def test_tall_sees_16_frames_of_every_64(n_frames, n_rows):
    plan = plan_frames({"rule": "windows", "window": 64, "stride": 12, "n_frames": 16}, media(n_frames, 30))
    assert len(plan.times) == n_rows == max(0, (n_frames - 64) // 12 + 1)
    for i, row in enumerate(rows_of(plan)[:n_rows]):
        assert row == list(range(12 * i, 12 * i + 64, 4))
        assert plan.times[i].tolist() == pytest.approx([12 * i / 30, (12 * i + 64) / 30])


@pytest.mark.parametrize(
    ("n_frames", "last_block"), [(9_999, (9_982, 9_998)), (10_000, (9_983, 9_999)), (10_005, (9_989, 10_004))]
)
def test_blocks_restart_the_window_grid(n_frames, last_block):
    found = windows_in_blocks(n_frames, 10_000, 16, 16, tail="shift_back", skip_last=True)
    assert found[-1] == last_block
    assert found[:2] == [(0, 16), (16, 32)]


def test_a_second_block_starts_its_own_grid_and_a_single_frame_left_over_is_dropped():
    assert windows_in_blocks(50, 20, 8, 8, tail="shift_back")[3:5] == [(20, 28), (28, 36)]
    assert windows_in_blocks(41, 20, 8, 8, tail="shift_back")[-1] == (32, 40)


@pytest.mark.parametrize(
    ("n_frames", "chunks"),
    [
        (0, []),
        (1600, [(0, 1600)]),
        (1601, [(1, 1600)]),
        (4000, [(1, 1657), (1553, 3257), (3153, 3999)]),
    ],
)
def test_i3d_chunks_overlap_and_lose_both_ends(n_frames, chunks):
    assert i3d_chunks(n_frames) == chunks


@pytest.mark.parametrize(
    ("n_frames", "clip_s", "duration_s", "n_clips", "last"),
    [(100, Fraction(2), 3.3, 2, 99), (100, Fraction(2), None, 2, 99), (95, Fraction(3, 2), 3.2, 3, 94)],
)
def test_hero_fills_seconds_then_clips_and_keeps_what_the_duration_covers(n_frames, clip_s, duration_s, n_clips, last):
    clips = hero_clips(n_frames, clip_s, duration_s)
    assert clips.shape == (n_clips, 30 * clip_s)
    assert clips.max() == last
    assert clips[0].tolist() == list(range(int(30 * clip_s)))


def test_hero_repeats_the_last_second_where_a_clip_is_not_full():
    assert hero_clips(60, Fraction(4), None)[0].tolist() == [*range(60), *range(30, 60), *range(30, 60)]


def test_slowfast_rows_name_frames_of_the_source():
    plan = plan_frames({"rule": "hero_clips"}, media(60, 15))
    assert plan.frames_per_row.tolist() == [32, 32]
    # 30 slots per second of a 15 fps source: the first half of each clip, every frame about twice.
    assert rows_of(plan)[0][-1] == 15
    assert rows_of(plan)[1][0] == 30
    np.testing.assert_allclose(plan.times, [[0, 2], [2, 4]])


def test_hero_clips_need_a_frame_rate_and_a_clip():
    unknown = FrameTimes(np.arange(30), Fraction(1, 30), 0, 30, 1.0)
    with pytest.raises(MediaError, match="no frame rate"):
        plan_frames({"rule": "hero_clips"}, unknown)
    too_short = FrameTimes(np.zeros(1, np.int64), Fraction(1, 90), 0, 1, 0.0, True, Fraction(90))
    with pytest.raises(MediaError, match="no clip"):
        plan_frames({"rule": "hero_clips"}, too_short)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"rule": "hero_clips", "end": "half"}, "lighthouse"),
        ({"rule": "windows", "window": 4, "tail": "wrap"}, "drop, shift_back, pad"),
        ({"rule": "windows", "window": 4, "tail": "pad", "block": 9}, "block"),
    ],
)
def test_a_wrong_option_is_named(rule, message):
    with pytest.raises(UserError, match=message):
        plan_frames(rule, media(30, 10))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", n_frames=40)


@pytest.mark.parametrize("rule", WINDOW_RULES, ids=str)
def test_the_decoder_delivers_rows_with_their_frames(clip, rule):
    plan = plan_frames(rule, media(40, 10))
    rows = decoded_rows(clip, plan.frame_idx, plan.frames_per_row, SQUASH)
    assert [[frame_number(frame) for frame in row] for row in rows] == rows_of(plan)


def test_no_planned_row_needs_no_file():
    assert list(decoded_rows("/does/not/exist.mp4", [], [], SQUASH)) == []


def test_a_row_with_a_missing_frame_is_not_delivered(clip):
    rows = decoded_rows(clip, [0, 1, 39, 40], [2, 2], SQUASH)
    assert len(next(rows)) == 2
    with pytest.raises(DecodeError, match="could be decoded"):
        next(rows)
