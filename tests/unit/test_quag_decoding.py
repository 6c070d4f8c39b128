"""From logits to moments and steps: the traps of the published segmentation, by hand and against a plain loop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.systems.quag.config import DecodingConfig
from models.systems.quag.decoding import MomentCut, best_moments, step_boundaries, widest_peak
from tests.unit.plain_quag import plain_boundaries, plain_peak

PUBLISHED = DecodingConfig()


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def cut_by(rounds: list[np.ndarray], cut: MomentCut) -> list[int]:
    """Cut a moment by the scores of every round; rows outside what is left score nothing."""
    for own in rounds:
        if not cut.goes_on:
            break
        cut.take(np.where(cut.is_left, own, np.float32(0)))
    return cut.boundaries()


def peak_at(row: int, n_rows: int, *others: tuple[int, float]) -> np.ndarray:
    found = np.full(n_rows, 0.01, dtype=np.float32)
    found[row] = 1.0
    for place, value in others:
        found[place] = value
    return found


def test_a_step_lies_one_row_outside_its_peak():
    assert widest_peak(scores(0, 0, 0.1, 0.6, 1, 0.7, 0.2, 0), PUBLISHED) == (2, 6)


def test_a_row_with_exactly_the_share_of_the_peak_is_not_part_of_it():
    assert widest_peak(scores(0, 0.25, 0.5, 1, 0.5, 0.25), PUBLISHED) == (2, 4)
    wider = DecodingConfig(peak_share=0.25)
    assert widest_peak(scores(0, 0.25, 0.5, 1, 0.5, 0.25), wider) == (1, 5)


def test_of_equal_peaks_the_first_counts():
    assert widest_peak(scores(0, 0, 1, 0, 0, 1, 0), PUBLISHED) == (1, 3)


def test_a_peak_that_reaches_the_first_row_is_no_step_unless_accepted():
    high = scores(0.9, 1, 0.1, 0)
    assert widest_peak(high, PUBLISHED) is None
    assert widest_peak(scores(0.1, 1, 0.1, 0), PUBLISHED) is None
    assert widest_peak(high, DecodingConfig(first_row="accept")) == (0, 2)
    assert widest_peak(scores(1), PUBLISHED) is None


def test_a_peak_at_the_last_row_ends_there():
    assert widest_peak(scores(0, 0, 0.1, 0.9, 1), PUBLISHED) == (2, 4)


def test_a_peak_below_the_least_is_no_step():
    flat = np.full(200_000, 5e-6, dtype=np.float32)
    assert widest_peak(flat, PUBLISHED) is None
    assert widest_peak(scores(0, 4e-6, 1.1e-5, 0), PUBLISHED) == (1, 3)


def test_the_last_boundary_is_always_dropped():
    assert step_boundaries([(3, 3), (9, 14)], 33, PUBLISHED) == [3, 9, 14]
    assert step_boundaries([(3, 3)], 33, PUBLISHED) == [3]
    assert step_boundaries([(3, 3)], 3, PUBLISHED) == [3]


def test_a_boundary_behind_the_end_is_dropped_in_place_of_the_end():
    """One inside a step before the end is not trailing: it is the last boundary, and the end stays."""
    assert step_boundaries([(3, 3), (20, 34)], 33, PUBLISHED) == [3, 20, 33]
    assert step_boundaries([(3, 3), (34, 36)], 33, PUBLISHED) == [3]


def test_a_boundary_near_the_one_before_is_dropped():
    assert step_boundaries([(0, 0), (4, 9), (13, 14)], 30, PUBLISHED) == [0, 9, 14]
    assert step_boundaries([(0, 0), (5, 9)], 30, PUBLISHED) == [0, 5]
    assert step_boundaries([(0, 0), (4, 9), (13, 14)], 30, DecodingConfig(min_gap=0)) == [0, 4, 9, 13, 14]


def test_the_end_closes_the_last_step_on_request():
    clean = DecodingConfig(last_boundary="end")
    assert step_boundaries([(3, 3), (9, 14)], 33, clean) == [3, 9, 14, 33]
    assert step_boundaries([(3, 3), (20, 34)], 33, clean) == [3, 20, 33]
    assert step_boundaries([(3, 3)], 33, clean) == [3, 33]
    assert step_boundaries([(3, 3)], 3, clean) == [3]


def test_a_moment_at_second_zero_is_stuck_as_soon_as_its_best_peak_is_there():
    rounds = [peak_at(12, 30), peak_at(0, 30), peak_at(20, 30)]
    assert cut_by(rounds, MomentCut(0, 25, 30, 30, PUBLISHED)) == [0, 11]
    accepting = DecodingConfig(first_row="accept", min_gap=1)
    assert cut_by(rounds, MomentCut(0, 25, 30, 30, accepting)) == [0, 1, 11, 13, 19, 21]
    # Of a moment that begins at second one the row before is the first.
    assert cut_by([peak_at(1, 30)], MomentCut(1, 25, 30, 30, PUBLISHED)) == [1]


def test_rows_of_a_step_are_left_out_of_later_rounds_and_its_ends_are_marked():
    cut = MomentCut(2, 20, 25, 25, PUBLISHED)
    assert cut.is_left.nonzero()[0].tolist() == list(range(2, 21))
    assert cut.is_boundary.nonzero()[0].tolist() == [2]
    cut.take(peak_at(10, 25, (11, 0.8)))
    assert not cut.is_left[9:13].any()
    assert cut.is_left[[8, 13]].all()
    assert cut.is_boundary.nonzero()[0].tolist() == [2, 9, 12]


def test_a_moment_without_rows_left_is_done():
    cut = MomentCut(5, 7, 20, 20, PUBLISHED)
    cut.take(peak_at(6, 20))
    assert not cut.goes_on
    assert cut.boundaries() == [5]
    reverse = MomentCut(9, 4, 20, 20, PUBLISHED)
    assert not reverse.goes_on
    assert reverse.boundaries() == [4]


def test_no_more_rounds_than_allowed_are_taken():
    rounds = [peak_at(row, 60) for row in range(5, 55, 8)]
    assert cut_by(rounds, MomentCut(2, 58, 60, 60, DecodingConfig(iterations=2))) == [2, 12]
    assert len(cut_by(rounds, MomentCut(2, 58, 60, 60, PUBLISHED))) > 6


def test_a_step_reaches_into_padding_as_published_and_not_beyond_its_video_otherwise():
    """With the end of the video as the end of the moment the end itself survives only if there is padding behind."""
    last_peak = peak_at(19, 20)
    assert cut_by([last_peak], MomentCut(2, 19, 20, 20, PUBLISHED)) == [2, 18]
    padded = np.pad(last_peak, (0, 6))
    assert cut_by([padded], MomentCut(2, 19, 20, 26, PUBLISHED)) == [2, 18]
    own = DecodingConfig(reach="video", min_gap=1)
    assert (
        cut_by([padded], MomentCut(2, 19, 20, 26, own)) == cut_by([last_peak], MomentCut(2, 19, 20, 20, own)) == [2, 18]
    )
    near = DecodingConfig(min_gap=1)
    assert cut_by([padded], MomentCut(2, 19, 20, 26, near)) == [2, 18, 19]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40), st.sampled_from([0.25, 0.5, 0.9, 1.0]))
def test_peaks_equal_the_plain_loop(values, share):
    own = scores(*values)
    found = widest_peak(own, DecodingConfig(peak_share=share))
    expected = plain_peak(own.tolist(), share)
    assert (None if found is None else list(found)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 30),
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=6),
)
def test_boundaries_equal_the_plain_loop(first, length, steps):
    pieces = [(first, first), *((left, left + width) for left, width in steps)]
    last = first + length
    assert step_boundaries(pieces, last, PUBLISHED) == plain_boundaries([list(piece) for piece in pieces], last)


def test_moments_are_two_best_rows_of_the_video_itself():
    start, end = torch.tensor([[0.0, 5, 9, 99]]), torch.tensor([[7.0, 1, 2, 99]])
    valid = torch.tensor([[True, True, True, False]])
    assert best_moments(start, end, valid, enforce_order=False) == [(2, 0)]
    assert best_moments(start, end, valid, enforce_order=True) == [(2, 2)]


def test_of_equal_rows_the_first_is_chosen():
    logits, valid = torch.tensor([[1.0, 3, 3]]), torch.ones(1, 3, dtype=torch.bool)
    assert best_moments(logits, logits, valid, enforce_order=False) == [(1, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_ordered_moments_are_the_best_of_all_pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    start, end = torch.randn(2, 3, 12, generator=generator)
    valid = torch.arange(12) < torch.tensor([[12], [5], [1]])
    for row, (first, last) in enumerate(best_moments(start, end, valid, enforce_order=True)):
        n = int(valid[row].sum())
        pairs = {(s, e): float(start[row, s] + end[row, e]) for s in range(n) for e in range(s, n)}
        assert (first, last) == max(pairs, key=pairs.get)
