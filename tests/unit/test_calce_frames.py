"""Which frames CALCE shows: against a plain loop of the specification, and where the published code fails."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.systems.calce.compression import compress
from models.systems.calce.events import (
    SecondStage,
    borders,
    cluster,
    cluster_count,
    dilate,
    first_stage_key_frames,
    second_stage_frames,
    spoken_frames,
)
from tests.unit.plain_calce import plain_cluster, plain_compress, plain_dilate, plain_second_stage


def rows(n_frames: int, n_events: int = 4, seed: int = 0) -> torch.Tensor:
    """Return Q-Former rows (T, 4, 8) of a video with so many events."""
    generator = torch.Generator().manual_seed(seed)
    events = torch.randn(n_events, 4, 8, generator=generator)
    which = torch.arange(n_frames) * n_events // max(n_frames, 1)
    return events[which] + 0.1 * torch.randn(n_frames, 4, 8, generator=generator)


def choose(n_frames: int, windows: list, *, strict: bool = False, query: str = "a dog", speech=()):
    times_s = torch.arange(n_frames).float()
    options = SecondStage(strict_reference=strict)
    return second_stage_frames(rows(n_frames), times_s, windows, query, speech, n_frames, options)


@given(st.lists(st.sampled_from("ko."), max_size=60), st.integers(0, 60), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_compression_equals_the_plain_loop(frames, target, seed):
    key, other = (torch.tensor([frame == kind for frame in frames], dtype=torch.bool) for kind in "ko")
    found = compress(key, other, target, torch.Generator().manual_seed(seed))
    expected = plain_compress(key, other, target, torch.Generator().manual_seed(seed))
    assert all(torch.equal(ours, plain) for ours, plain in zip(found, expected, strict=True))


@pytest.mark.parametrize("n_frames", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_one_frame_of_a_very_short_video_stays(n_frames, seed):
    key = torch.arange(n_frames) % 2 == 0
    found = compress(key, ~key, n_frames // 2, torch.Generator().manual_seed(seed))
    assert (found[0] | found[1]).any()


@pytest.mark.parametrize(
    ("clusters", "n_frames", "expected"),
    [(12, 75, 12), (2.5, 75, 3), (1, 75, 75), (0.1, 75, 8), (0.12, 50, 6), (0.001, 75, 1), (12, 5, 12)],
)
def test_clusters_up_to_one_are_a_share_of_the_frames(clusters, n_frames, expected):
    assert cluster_count(clusters, n_frames) == expected


@pytest.mark.parametrize(("share", "count"), [(0.25, 10), (0.05, 2)])
def test_a_share_of_clusters_groups_as_their_number_does(share, count):
    features = rows(40).flatten(1)
    assert torch.equal(cluster(features, share), cluster(features, count))
    times_s, windows = torch.arange(40).float(), [[3, 20]]
    found, expected = (
        second_stage_frames(rows(40), times_s, windows, "a dog", (), 40, SecondStage(n_clusters=n))
        for n in (share, count)
    )
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_clusters_equal_the_plain_loop(seed):
    generator = torch.Generator().manual_seed(seed)
    features, noise = torch.randn(40, 16, generator=generator), torch.rand(40, generator=generator)
    mask = torch.rand(40, generator=generator) < 0.6
    assert torch.equal(cluster(features, 12, noise), plain_cluster(features, 12, noise, None))
    inside = cluster(features, 12, noise, mask)
    assert torch.equal(inside[mask], plain_cluster(features, 12, noise, mask)[mask])


@pytest.mark.parametrize("windows", [[[0, 60]], [[10, 14], [30, 45]], [[58, 59]]])
def test_the_second_stage_equals_the_plain_loop(windows):
    noises = torch.rand(2, 60, generator=torch.Generator().manual_seed(1))
    given = rows(60), torch.arange(60).float()
    options = SecondStage(filter_reach=2)
    found = second_stage_frames(*given, windows, "a dog", [], 60, options, (noises[0], noises[1]))
    expected = plain_second_stage(*given, windows, (noises[0], noises[1]), options)
    assert all(torch.equal(ours, plain) for ours, plain in zip(found, expected, strict=True))


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 4))
@settings(deadline=None)
def test_dilation_equals_the_plain_loop(frames, reach):
    mask = torch.tensor(frames, dtype=torch.bool)
    assert torch.equal(dilate(mask, reach), plain_dilate(mask, reach))


def test_borders_lie_on_both_sides_of_a_change_and_at_the_ends():
    assert borders(torch.tensor([2, 2, 2, 1, 1, 1])).tolist() == [True, False, True, True, False, True]
    assert borders(torch.tensor([3])).tolist() == [True]


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5, 8, 11, 12])
def test_a_video_with_few_frames_is_shown(n_frames):
    ids = cluster(rows(n_frames).flatten(1), 12)
    assert ids.min() >= 0
    assert ids.max() < n_frames
    assert first_stage_key_frames(ids, n_frames, 5, "a dog", [], reach=1).any()
    key, other = choose(n_frames, [[0, n_frames]])
    assert (key | other).any()


def test_a_video_with_few_frames_fails_where_the_published_code_does():
    with pytest.raises(RuntimeError):
        cluster(rows(11).flatten(1), 12, strict_reference=True)
    with pytest.raises(RuntimeError):
        choose(11, [[0, 11]], strict=True)


@pytest.mark.parametrize(
    "windows", [[[-1, -1]], [], [[150, 150]], [[40, 40]], [[500, 600]]], ids=["invalid", "none", "late", "point", "far"]
)
def test_the_whole_video_stands_for_windows_without_a_frame(windows):
    whole = choose(50, [[0, 60]])
    found = choose(50, windows)
    assert found[0].any()
    assert found[0].sum() + found[1].sum() == whole[0].sum() + whole[1].sum()


def test_windows_without_a_frame_on_request_end_as_in_the_published_code():
    for windows in ([[-1, -1]], [[500, 600]]):
        with pytest.raises(IndexError):
            choose(50, windows, strict=True)
    key, other = choose(50, [[40, 40]], strict=True)
    assert not (key | other).any()


def test_an_empty_list_of_windows_on_request_fails_and_says_so():
    with pytest.raises(IndexError, match="list of windows is empty"):
        choose(50, [], strict=True)


def test_a_window_past_the_end_is_cut_to_the_video():
    inside, past = choose(50, [[30, 60]]), choose(50, [[30, 900]])
    assert torch.equal(inside[0], past[0])
    assert torch.equal(inside[1], past[1])


def test_a_query_about_talking_takes_the_spoken_frames():
    ids = torch.zeros(20, dtype=torch.long)
    spans = [(2.0, 4.0), (30.0, 40.0)]
    talking = first_stage_key_frames(ids, 20, 20, "a man says hello", spans, reach=1)
    assert talking.nonzero().flatten().tolist() == [2, 3, 4]
    silent = first_stage_key_frames(ids, 20, 20, "a man says hello", [], reach=1)
    assert silent.nonzero().flatten().tolist() == [0, 1, 18, 19]


def test_speech_after_the_end_of_the_video_marks_no_frame():
    assert not spoken_frames(20, 20.0, [(25.0, 30.0)]).any()
    assert spoken_frames(20, 20.0, [(19.0, 30.0)]).nonzero().flatten().tolist() == [19]


def test_a_mode_without_its_input_is_refused():
    for mode in ("event", "information", "novel"):
        with pytest.raises(ValueError, match=mode):
            first_stage_key_frames(None, 5, 5, "a dog", [], reach=1, mode=mode)


def test_the_masks_of_the_second_stage_share_no_frame():
    key, other = choose(80, [[10, 30]], query="he says", speech=[(0.0, 15.0)])
    assert key.any()
    assert not (key & other).any()
    assert key.device.type == other.device.type == "cpu"


def test_repeated_choices_are_equal():
    assert all(torch.equal(a, b) for a, b in zip(choose(60, [[5, 20]]), choose(60, [[5, 20]]), strict=True))
