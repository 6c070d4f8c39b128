"""Decoding: exactly the planned frames, at the planned size."""

import subprocess
import threading
from fractions import Fraction

import numpy as np
import pytest

from tests.decoded import decoded
from tests.parity.sampling_cases import frame_number
from tests.unit.made_clips import copy_streams, make_clip, rotated
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media import decode_program
from workflow_scripts.lib.media.decode import resize_for
from workflow_scripts.lib.media.decode_program import select_expression
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.frame_request import FrameClock
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import FrameTimes

SQUASH = {"rule": "squash", "size": 96}


def numbers(path, frame_idx, resize=SQUASH, decoder="auto"):
    return [frame_number(frame) for frame in decoded(path, frame_idx, resize, decoder=decoder)]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", n_frames=40)


@pytest.mark.parametrize("wanted", [[0], [39], [0, 1, 2, 3], [3, 3, 3, 17, 18, 18, 39], list(range(0, 40, 2))])
def test_planned_frames_come_in_order_and_repeated_ones_again(clip, wanted):
    assert numbers(clip, wanted) == wanted


def test_no_planned_frame_needs_no_file():
    assert list(decoded("/does/not/exist.mp4", [], SQUASH)) == []


def test_frames_are_writable_copies_of_their_own(clip):
    frames = list(decoded(clip, [1, 2], SQUASH))
    frames[0][:] = 7
    assert frame_number(frames[1]) == 2
    assert frames[0].dtype == np.uint8


@pytest.mark.parametrize("suffix", ["mkv", "avi", "ts", "mov"])
def test_the_container_does_not_matter(tmp_path, suffix):
    assert numbers(make_clip(tmp_path / f"a.{suffix}", n_frames=40), [0, 5, 6, 31]) == [0, 5, 6, 31]


def test_a_long_selection_travels_in_a_file(clip, monkeypatch):
    monkeypatch.setattr(decode_program, "_LONGEST_ARGUMENT", 10)
    assert numbers(clip, [2, 5, 9, 38], decoder="ffmpeg") == [2, 5, 9, 38]


def test_the_selection_grows_with_runs_not_with_frames():
    media = FrameTimes(np.arange(200_000), Fraction(1, 30), 0, 200_000, None)
    for chosen, length in ((np.arange(200_000), 200), (np.arange(0, 200_000, 30), 150 * 200_000 // 30)):
        assert len(select_expression(FrameClock.of_frames(media, chosen), chosen)) < length


def test_a_stream_that_starts_between_key_frames_is_not_shifted(clip, tmp_path):
    cut = copy_streams(clip, tmp_path / "cut.ts", skip_packets=5)
    media = frame_times(cut)
    # Frames before the next key frame cannot be shown whole; the numbers after it must be right.
    later = [len(media.pts) - 6, len(media.pts) - 3, len(media.pts) - 1]
    assert numbers(cut, later) == [34, 37, 39]


@pytest.mark.parametrize("degrees", [90, -90])
def test_rotation_is_applied_before_the_resize_rule(tmp_path, degrees):
    upright = make_clip(tmp_path / "a.mp4", n_frames=3, size=(96, 64))
    turned = rotated(upright, tmp_path / "b.mp4", degrees)
    plain = next(decoded(upright, [2], {"rule": "hero", "size": 32}))
    frame = next(decoded(turned, [2], {"rule": "hero", "size": 32}))
    expected = np.rot90(plain, degrees // 90)
    assert np.abs(frame.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("rule", "size", "filters"),
    [
        ({"rule": "hero", "size": 224}, (480, 360), "scale=298:224:flags=bicubic,crop=224:224:37:0"),
        ({"rule": "hero", "size": 224}, (360, 480), "scale=224:298:flags=bicubic,crop=224:224:0:37"),
        ({"rule": "hero", "size": 224}, (300, 300), "scale=224:224:flags=bicubic"),
        ({"rule": "squash", "size": 224}, (480, 360), "scale=224:224:flags=bilinear"),
    ],
)
def test_resize_rules(rule, size, filters):
    assert resize_for(rule, *size).filters() == filters


@pytest.mark.parametrize("rule", [{"rule": "letterbox", "size": 2}, {"rule": "hero"}, {"rule": "hero", "size": 0}])
def test_a_wrong_resize_rule_is_named(rule):
    with pytest.raises(UserError, match="resize: "):
        resize_for(rule, 10, 10)


def test_a_truncated_file_delivers_what_exists_and_then_says_so(tmp_path):
    whole = make_clip(tmp_path / "a.mp4", n_frames=60, size=(192, 128), options={"movflags": "+faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 7 // 10])
    delivered = []
    with pytest.raises(DecodeError, match="60 frames were planned, "):
        delivered.extend(decoded(cut, range(60), {"rule": "squash", "size": 192}))
    assert 10 < len(delivered) < 60
    assert [frame_number(frame) for frame in delivered[:10]] == list(range(10))


@pytest.mark.parametrize("name", ["-dash.mp4", "with space.mp4", "ünï.mp4", "a'b;c,[d]:e%03d.mp4"])
def test_any_file_name_can_be_decoded(tmp_path, name):
    assert numbers(make_clip(tmp_path / "a.mp4", n_frames=5).rename(tmp_path / name), [4]) == [4]


def test_an_abandoned_pass_leaves_no_process_and_no_thread(clip, monkeypatch):
    started, popen = [], subprocess.Popen

    def recorded(*arguments, **options):
        started.append(popen(*arguments, **options))
        return started[-1]

    ffmpeg_exe()
    monkeypatch.setattr(subprocess, "Popen", recorded)
    before = threading.active_count()
    frames = decoded(clip, range(40), SQUASH, decoder="ffmpeg")
    next(frames)
    frames.close()
    assert threading.active_count() == before
    assert [process.returncode is None for process in started] == [False]


def test_a_missing_ffmpeg_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setenv("MOMENTFLOW_FFMPEG", "/nowhere/ffmpeg")
    with pytest.raises(UserError, match=r"cannot run '/nowhere/ffmpeg'.*MOMENTFLOW_FFMPEG"):
        ffmpeg_exe()


def test_a_program_that_is_not_ffmpeg_is_refused():
    with pytest.raises(UserError, match="does not answer as ffmpeg"):
        ffmpeg_exe("/bin/true")


def test_an_undecodable_file_ends_in_the_error_of_its_video(tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(DecodeError, match=r"bad\.mp4"):
        list(decoded(tmp_path / "bad.mp4", [0], SQUASH))
