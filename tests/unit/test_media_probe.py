"""The probe: every file ends with a status, whatever is in it."""

import os
from fractions import Fraction

import numpy as np
import pytest

from tests.unit.made_clips import make_clip, rotated
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import frame_times, probe

TONE = np.full((1, 32000), 8000, np.int16)


def test_a_sound_clip_is_described(tmp_path):
    info = probe(make_clip(tmp_path / "a.mp4", n_frames=31, rate=10, sound=(0.0, TONE)))
    assert (info.status, info.reason) == ("ok", "")
    assert (info.container.split(",")[0], info.codec) == ("mov", "h264")
    assert (info.fps_numerator, info.fps_denominator, info.n_frames) == (10, 1, 31)
    assert (info.width, info.height, info.rotation) == (96, 64, 0)
    assert info.duration_s == pytest.approx(3.1)
    assert (info.n_audio_streams, info.audio_codec) == (1, "aac")
    assert (info.audio_sample_rate, info.audio_channels) == (16000, 1)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "avi", "mov", "ts"])
def test_containers_without_a_header_count_are_counted(tmp_path, suffix):
    # webm holds no h264; the file's name does not matter.
    made = make_clip(tmp_path / f"a.{suffix.replace('webm', 'mkv')}", n_frames=25)
    info = probe(made.rename(tmp_path / f"b.{suffix}"))
    assert (info.status, info.n_frames) == ("ok", 25)
    assert info.duration_s == pytest.approx(2.5, abs=0.11)


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_reported(tmp_path, degrees):
    info = probe(rotated(make_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4", degrees))
    assert info.rotation % 360 == degrees % 360


@pytest.mark.parametrize("name", ["-dash.mp4", "with space.mp4", "ünï çødé.mp4", "x" * 200 + ".mp4", "a'b;c,[d]:e.mp4"])
def test_any_file_name_will_do(tmp_path, name):
    assert probe(make_clip(tmp_path / "a.mp4", n_frames=3).rename(tmp_path / name)).status == "ok"


def bad_file(kind: str, folder):
    clip = make_clip(folder / "whole.mp4", n_frames=60, size=(192, 128), options={"movflags": "+faststart"})
    path = folder / "bad.mp4"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video\n" * 100)
    elif kind == "truncated":
        path.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    elif kind == "truncated mkv":
        whole = make_clip(folder / "whole.mkv", n_frames=60, size=(192, 128)).read_bytes()
        path = folder / "bad.mkv"
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "header only":
        path.write_bytes(clip.read_bytes()[:64])
    elif kind == "garbled":
        data = bytearray(make_clip(folder / "plain.mp4", n_frames=20).read_bytes())
        start = data.index(b"mdat") + 4
        data[start : data.index(b"moov") - 4] = b"\x5a" * (data.index(b"moov") - 4 - start)
        path.write_bytes(data)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("absent", "missing"),
        ("empty", "empty"),
        ("text", "unreadable"),
        ("header only", "unreadable"),
        ("garbled", "unreadable"),
        ("truncated", "truncated"),
        ("truncated mkv", "truncated"),
        ("loop", "unreadable"),
        ("folder", "unreadable"),
    ],
)
def test_a_bad_file_gets_a_status_and_a_reason(tmp_path, kind, status):
    info = probe(bad_file(kind, tmp_path))
    assert info.status == status
    assert info.reason


def test_sound_alone_and_pictures_alone_are_no_video(tmp_path):
    import av

    make_clip(tmp_path / "a.mp4", sound=(0.0, TONE))
    with av.open(str(tmp_path / "a.mp4")) as reading, av.open(str(tmp_path / "sound.mp4"), "w") as writing:
        copied = writing.add_stream_from_template(reading.streams.audio[0])
        for packet in reading.demux(reading.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = copied
                writing.mux(packet)
    assert probe(tmp_path / "sound.mp4").status == "no_video_stream"
    assert probe(tmp_path / "sound.mp4").n_audio_streams == 1

    picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    with av.open(str(tmp_path / "picture.png"), "w", format="image2") as writing:
        stream = writing.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "rgb24"
        writing.mux(stream.encode(picture))
        writing.mux(stream.encode())
    assert "png" in probe((tmp_path / "picture.png").rename(tmp_path / "picture.mp4")).reason


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user id")
def test_a_file_without_read_permission_is_unreadable(tmp_path):
    path = make_clip(tmp_path / "a.mp4", n_frames=3)
    path.chmod(0)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.seteuid(65534)
        os.write(write_end, os.fsencode(probe(path).status))
        os._exit(0)
    os.waitpid(child, 0)
    # The folders above may be closed to the other user as well; either way the file cannot be read.
    assert os.read(read_end, 100) == b"unreadable"


def test_frame_times_come_in_presentation_order(tmp_path):
    media = frame_times(make_clip(tmp_path / "a.mp4", n_frames=12, rate=10))
    assert [float(tick * media.time_base) for tick in media.pts.tolist()] == pytest.approx(np.arange(12) / 10)
    assert (media.end - media.start) * media.time_base == Fraction(12, 10)
    assert media.duration_s == pytest.approx(1.2)


def test_the_first_frame_of_an_avi_is_second_zero(tmp_path):
    media = frame_times(make_clip(tmp_path / "a.avi", n_frames=12, rate=10))
    assert not media.is_timed
    assert (media.pts - media.start).tolist() == list(range(12))
    assert media.end - media.start == 12


def test_frame_times_of_a_bad_file_name_it(tmp_path):
    with pytest.raises(DecodeError, match=r"nothing\.mp4"):
        frame_times(tmp_path / "nothing.mp4")
