"""Unusual videos: the planned frames come out all the same, and unusable ones end with a status."""

import os
import shutil
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.decoded import decoded
from tests.parity.sampling_cases import frame_number
from tests.unit.made_clips import numbered_picture, state_zero_seconds
from workflow_scripts.lib.datasets.video_folder import list_videos, located
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import frame_times, probe
from workflow_scripts.lib.media.resize import RESIZE_RULES
from workflow_scripts.lib.media.sampling import plan_frames
from workflow_scripts.lib.media.survey import survey_videos

SQUASH = {"rule": "squash", "size": 96}
TWO_PER_SECOND = {"rule": "ffmpeg_fps", "rate": 2}
TEN_PER_SECOND = tuple(range(0, 2400, 100))
PLANNED = [2, 7, 12, 17, 22]
FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}


def write_clip(path, times_ms=TEN_PER_SECOND, size=(96, 64), pix_fmt="yuv420p", x264=None, container=None):
    """Write numbered frames with these presentation times."""
    with av.open(str(path), "w", options=container or {}) as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = Fraction(1, 1000)
        video.options = {"preset": "ultrafast", "crf": "10", "g": "12"} | (x264 or {})
        for number, tick in enumerate(times_ms):
            picture = numbered_picture(number, 96, 64)[np.arange(size[1]) % 64][:, np.arange(size[0]) % 96]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            output.mux(video.encode(frame))
        output.mux(video.encode())
    return path


def numbers(path, frame_idx):
    return [frame_number(frame) for frame in decoded(path, frame_idx, SQUASH)]


def check_all_frames(path, n_frames=24):
    """Every frame has its number, and two per second are those at ten per second."""
    assert (probe(path).status, probe(path).n_frames) == ("ok", n_frames)
    plan = plan_frames(TWO_PER_SECOND, frame_times(path))
    assert plan.frame_idx.tolist() == PLANNED
    assert numbers(path, range(n_frames)) == list(range(n_frames))
    assert numbers(path, plan.frame_idx) == PLANNED


@pytest.mark.parametrize(
    "coding",
    [
        {"pix_fmt": "yuv420p10le"},
        {"pix_fmt": "yuv444p"},
        {"pix_fmt": "yuv422p10le"},
        {"x264": {"flags": "+ilme+ildct", "x264-params": "tff=1"}},
    ],
    ids=["10-bit", "4:4:4", "10-bit 4:2:2", "interlaced"],
)
def test_the_coding_of_pixels_does_not_matter(tmp_path, coding):
    plain, other = write_clip(tmp_path / "plain.mp4"), write_clip(tmp_path / "other.mp4", **coding)
    check_all_frames(other)
    pairs = zip(decoded(plain, PLANNED, None), decoded(other, PLANNED, None), strict=True)
    assert max(np.abs(a.astype(int) - b).mean() for a, b in pairs) < 3


def test_the_interlaced_clip_is_interlaced(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", x264={"flags": "+ilme+ildct", "x264-params": "tff=1"})
    with av.open(str(clip)) as container:
        assert next(container.decode(video=0)).interlaced_frame


@pytest.mark.parametrize("rule", sorted(RESIZE_RULES))
def test_odd_sizes_become_squares_or_stay_whole(tmp_path, rule):
    clip = write_clip(tmp_path / "a.mkv", size=(97, 65), pix_fmt="yuv444p")
    assert (probe(clip).width, probe(clip).height) == (97, 65)
    (frame,) = decoded(clip, [3], {"rule": rule, "size": 31})
    assert frame.shape == ((35, 52, 3) if rule == "vf_i3d_whole" else (31, 31, 3))


@pytest.mark.parametrize(
    "resize", [SQUASH, {"rule": "hero", "size": 64}, None, {"rule": "clip_pil", "size": 64}], ids=str
)
def test_a_size_that_changes_on_the_way_does_not_garble_frames(tmp_path, resize):
    small = write_clip(tmp_path / "small.ts", TEN_PER_SECOND[:12])
    large = write_clip(tmp_path / "large.ts", TEN_PER_SECOND[12:], size=(192, 128))
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    media = frame_times(joined)
    assert len(media.pts) == 24
    frames = list(decoded(joined, [2, 14, 23], resize))
    (first,) = decoded(small, [2], resize)
    (later,) = decoded(large, [2], resize)
    np.testing.assert_array_equal(frames[0], first)
    assert frames[1].shape == first.shape
    if first.shape == later.shape:
        assert np.abs(frames[1].astype(int) - later).mean() < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_variable_frame_rate_is_followed(tmp_path, suffix):
    times_ms = [0, 40, 80, 400, 1200, 1210, 1700, 2500, 2600, 2650]
    clip = write_clip(tmp_path / f"a.{suffix}", times_ms)
    media = frame_times(clip)
    assert [round(float(tick * media.time_base * 1000)) for tick in media.pts.tolist()] == times_ms
    plan = plan_frames(TWO_PER_SECOND, media)
    assert plan.frame_idx.tolist() == [2, 3, 5, 6, 6]
    assert numbers(clip, plan.frame_idx) == [2, 3, 5, 6, 6]
    seek = plan_frames({"rule": "seek_per_second"}, media)
    assert numbers(clip, seek.frame_idx) == seek.frame_idx.tolist() == [0, 3, 6]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_start_after_zero_moves_nothing(tmp_path, suffix):
    clip = write_clip(tmp_path / f"a.{suffix}", [tick + 3700 for tick in TEN_PER_SECOND])
    assert probe(clip).start_s == pytest.approx(3.7, abs=0.05)
    check_all_frames(clip)


@pytest.mark.parametrize(
    ("suffix", "container"), [("mp4", FRAGMENTED), ("mkv", {"live": "1"}), ("ts", {})], ids=["fragmented", "live", "ts"]
)
def test_a_file_that_does_not_state_its_duration_is_measured(tmp_path, suffix, container):
    clip = write_clip(tmp_path / f"a.{suffix}", container=container)
    assert probe(clip).duration_s == pytest.approx(2.4, abs=0.1)
    check_all_frames(clip)


def test_a_header_that_says_zero_seconds_is_not_believed(tmp_path):
    clip = write_clip(tmp_path / "zero.mp4")
    state_zero_seconds(clip)
    assert probe(clip).duration_s == pytest.approx(2.4, abs=0.1)
    check_all_frames(clip)


@pytest.mark.parametrize(("suffix", "container"), [("mp4", {}), ("mkv", {}), ("mp4", FRAGMENTED)])
def test_one_frame_is_a_video(tmp_path, suffix, container):
    clip = write_clip(tmp_path / f"a.{suffix}", [0], container=container)
    assert (probe(clip).status, probe(clip).n_frames) == ("ok", 1)
    for rule in ({"rule": "seek_per_second"}, {"rule": "lavis_head", "n_frames": 8}):
        assert numbers(clip, plan_frames(rule, frame_times(clip)).frame_idx) == [0]
    assert len(plan_frames({"rule": "ffmpeg_fps", "rate": 1}, frame_times(clip)).frame_idx) == 0


@pytest.mark.parametrize(("made", "named"), [("mp4", "avi"), ("mkv", "mp4"), ("ts", "webm")])
def test_a_wrong_extension_does_not_matter(tmp_path, made, named):
    check_all_frames(write_clip(tmp_path / f"a.{made}").rename(tmp_path / f"b.{named}"))


def surveyed(folder, video_ids):
    """List, find and probe videos as the workflow does."""
    return survey_videos(folder, located(folder, ["mp4"], list_videos(folder, ["mp4"], video_ids)), 2)


@pytest.mark.parametrize("name", ["-dash", "with space", "ünï çødé 视频", "x" * 200, "a'b;c,[d]:e%03d", "$HOME `x`"])
def test_any_name_can_be_found_probed_and_decoded(tmp_path, name):
    write_clip(tmp_path / "a.mp4").rename(tmp_path / f"{name}.mp4")
    (found,) = surveyed(tmp_path, [name])
    assert (found.path, found.info.status) == (f"{name}.mp4", "ok")
    assert numbers(tmp_path / found.path, PLANNED) == PLANNED


def test_sound_alone_is_an_error_of_its_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    assert probe(path).status == "no_video_stream"
    with pytest.raises(DecodeError, match="no video stream"):
        list(decoded(path, [0], SQUASH))


def test_links_are_followed_or_named(tmp_path):
    write_clip(tmp_path / "real.mp4")
    for name, target in {"good": "real.mp4", "loop": "loop.mp4", "first": "second.mp4", "broken": "gone.mp4"}.items():
        (tmp_path / f"{name}.mp4").symlink_to(target)
    (tmp_path / "second.mp4").symlink_to("first.mp4")
    found = surveyed(tmp_path, ["good", "loop", "first", "second", "broken"])
    assert [survey.info.status for survey in found] == ["ok", "unreadable", "unreadable", "unreadable", "missing"]
    assert all(survey.info.reason for survey in found[1:])


@pytest.fixture
def open_folder():
    """A folder that every user may read; those of the test run are closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user id")
def test_videos_that_another_user_may_not_read_are_listed_and_the_others_found(open_folder):
    for name in ("open", "closed", "away/hidden"):
        (open_folder / name).parent.mkdir(exist_ok=True)
        write_clip(open_folder / f"{name}.mp4", [0, 100]).chmod(0o644)
    (open_folder / "closed.mp4").chmod(0)
    (open_folder / "away").chmod(0)
    (open_folder / "link.mp4").symlink_to("away/hidden.mp4")
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            found = surveyed(open_folder, ["open", "closed", "link"])
            told = "\n".join(f"{survey.info.status}: {survey.info.reason}" for survey in found)
        except BaseException as error:
            told = repr(error)
        os.write(write_end, told.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 4096).decode().splitlines() == [
        "ok: ",
        "unreadable: Permission denied",
        "unreadable: Permission denied",
    ]
