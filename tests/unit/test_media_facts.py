"""What the probe and the plan find out about a video is handed to the decoder, which opens it once."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest

from tests.benchmarks.short_clips import counted_opens, measure
from tests.decoded import found
from tests.unit.made_clips import make_clip, rotated
from workflow_scripts.lib.media.decode import decode_frames
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.frame_request import FrameClock, Video, existing_frames
from workflow_scripts.lib.media.plan_table import PLAN_SCHEMA, plan_row
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.media.sampling import FrameTimes
from workflow_scripts.lib.store.tables import read_table, write_table

SQUASH = {"rule": "squash", "size": 96}


def times(pts, is_timed=True):
    return FrameTimes(np.asarray(pts), Fraction(1, 30), int(pts[0]), int(pts[-1]) + 1, None, is_timed)


def test_probe_plan_and_decoder_open_a_video_once_each(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", sys.argv)
    _, counts = measure(tmp_path, 2)
    assert counts == {"clip0000.mp4": 3, "clip0001.mp4": 3}


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_the_probe_finds_everything_in_one_pass(tmp_path, suffix):
    clip = make_clip(tmp_path / f"a.{suffix}", n_frames=20)
    with counted_opens() as counts:
        info = probe(clip)
    assert counts == {clip.name: 1}
    assert (info.status, info.n_frames, info.width, info.height, info.rotation) == ("ok", 20, 96, 64, 0)


def test_the_stream_is_that_of_the_pictures_wherever_it_lies(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", n_frames=4, sound=(0.0, np.full((1, 16000), 900, np.int16)))
    other = tmp_path / "b.mkv"
    swap = ["-i", clip, "-map", "0:a", "-map", "0:v", "-c", "copy", other]
    subprocess.run([ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *map(str, swap)], check=True)
    assert (probe(clip).stream_index, probe(other).stream_index) == (0, 1)
    pairs = [list(decode_frames(*found(path, [0, 3]), [0, 3], SQUASH)) for path in (clip, other)]
    np.testing.assert_array_equal(*pairs)


@pytest.mark.parametrize(("rotation", "size"), [(0, (96, 64)), (90, (64, 96)), (-90, (64, 96)), (180, (96, 64))])
def test_the_size_is_that_of_the_turned_picture(tmp_path, rotation, size):
    row = {"path": "a.mp4", "stream_index": 2, "width": 96, "height": 64, "rotation": rotation}
    assert Video.of_row(row, tmp_path) == Video(tmp_path / "a.mp4", 2, *size)


def test_the_decoder_takes_the_size_that_it_is_told(tmp_path):
    clip = rotated(make_clip(tmp_path / "a.mp4", n_frames=3), tmp_path / "b.mp4", 90)
    video, clock = found(clip, [1])
    assert (video.width, video.height) == (64, 96)
    (frame,) = decode_frames(Video(clip, video.stream_index, 32, 40), clock, [1], None)
    assert frame.shape == (40, 32, 3)


@pytest.mark.parametrize("is_timed", [True, False])
def test_a_clock_tells_each_frame_from_all_others(is_timed):
    pts = np.cumsum(np.arange(40) ** 2 % 13 + 1)
    media, chosen = times(pts, is_timed), np.array([0, 3, 4, 17, 39])
    clock = FrameClock.of_frames(media, chosen)
    values = pts / 30 if is_timed else np.arange(40)
    for after, until, position in zip(clock.after, clock.until, chosen, strict=True):
        assert np.flatnonzero((values > after) & (values <= until)).tolist() == [position]
        # Half-way to the neighbours: rounding cannot matter.
        assert min(until - values[position], values[position] - after) >= np.diff(values).min() / 2 - 1e-9
    assert clock.n_frames == 40


@pytest.mark.parametrize("is_timed", [True, False])
@pytest.mark.parametrize("first", [-1000, 0, 2**33])
def test_a_clock_in_whole_ticks_tells_the_same_frames(is_timed, first):
    pts = first + np.cumsum(np.arange(40) ** 2 % 13 + 1)
    clock = FrameClock.of_frames(times(pts, is_timed), chosen := np.array([0, 3, 12, 13, 39]))
    ticks = pts if is_timed else np.arange(40)
    for after, until, position in zip(*clock.in_ticks(Fraction(1, 30)), chosen, strict=True):
        assert np.flatnonzero((ticks > after) & (ticks <= until)).tolist() == [position]


def test_repeated_and_absent_frames_are_left_out_of_a_clock():
    assert existing_frames(np.array([0, 0, 2, 2, 5]), 5).tolist() == [0, 2]
    assert len(FrameClock.of_frames(times(range(5)), np.array([0, 0, 2, 2, 5])).after) == 2


def test_a_clock_comes_back_from_the_table_as_it_was(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", n_frames=20)
    media = frame_times(clip)
    planned = plan_row(lambda: media, {"rule": "ffmpeg_fps", "rate": 3})
    failed = plan_row(lambda: frame_times(tmp_path / "gone.mp4"), {"rule": "ffmpeg_fps", "rate": 3})
    table = pa.Table.from_pylist([planned, failed], PLAN_SCHEMA)
    write_table(tmp_path / "plan.parquet", table)
    row, without = read_table(tmp_path / "plan.parquet").to_pylist()
    expected, read = FrameClock.of_frames(media, np.array(row["frame_idx"])), FrameClock.of_row(row)
    assert (read.is_timed, read.n_frames) == (expected.is_timed, expected.n_frames) == (True, 20)
    np.testing.assert_array_equal([read.after, read.until], [expected.after, expected.until])
    assert (without["status"], without["frame_idx"], without["clock_after"]) == ("failed", [], None)


def test_the_clock_of_other_frames_is_refused(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", n_frames=5)
    with pytest.raises(ValueError, match="the clock is for 2 frames, 3 are wanted"):
        next(decode_frames(*found(clip, [1, 2]), [1, 2, 3], SQUASH))
