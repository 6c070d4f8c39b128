"""Lines of a transcript laid on seconds and clips."""

import numpy as np
import pytest

from models.layers.time_alignment import (
    resample_rows,
    row_of_second,
    second_of_row,
    time_grid,
    warp_to_clips,
    warp_to_seconds,
)

ROWS = np.array([[1.0], [2.0], [3.0]], np.float32)


def test_a_line_fills_its_whole_seconds_and_the_later_line_wins():
    found = warp_to_seconds(ROWS, [(0.0, 2.9), (1.5, 4.2), (3.2, 3.9)], 6)
    assert found.ravel().tolist() == [1, 2, 2, 2, 0, 0]


def test_what_lies_past_the_video_is_cut():
    assert warp_to_seconds(ROWS[:1], [(2.0, 9.0)], 4).ravel().tolist() == [0, 0, 1, 1]
    assert warp_to_seconds(ROWS[:0], [], 2).tolist() == [[0], [0]]


def test_a_clip_is_the_mean_of_its_lines_weighted_by_time():
    found = warp_to_clips(ROWS, [(0.0, 1.0), (1.0, 4.0), (7.9, 8.3)], 2.0, 5)
    np.testing.assert_allclose(found.ravel(), [1.5, 2, 0, 3, 3])
    assert warp_to_clips(ROWS[:0], [], 2.0, 2).tolist() == [[0], [0]]


@pytest.mark.parametrize(("time_s", "row"), [(0, 0), (0.5, 1), (1, 1), (1.0001, 2), (9, 9), (12, 9)])
def test_a_time_belongs_to_the_first_second_at_or_after_it(time_s, row):
    assert row_of_second(time_s, time_grid(10)) == row
    assert second_of_row(row, time_grid(10)) == row


def test_rows_are_spread_or_thinned_to_a_fixed_number():
    assert resample_rows(np.arange(3)[:, None], 5).ravel().tolist() == [0, 1, 1, 2, 2]
    assert resample_rows(np.arange(5)[:, None], 3).ravel().tolist() == [0, 2, 4]
    assert resample_rows(np.arange(4)[:, None], 4).ravel().tolist() == [0, 1, 2, 3]
