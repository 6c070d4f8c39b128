"""Unlucky and hostile media files: playlists, wrong and wrapped clocks, previews, recordings cut in the middle."""

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.decoded import found
from tests.unit.made_clips import make_clip, numbered_picture
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.containers import open_media
from workflow_scripts.lib.media.decode import decode_frames
from workflow_scripts.lib.media.frame_request import FrameClock, Video
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.plan_table import plan_row
from workflow_scripts.lib.media.plausible import Plausible
from workflow_scripts.lib.media.probe import frame_times, probe

MEDIA = Path(__file__).parents[1] / "hostile" / "media"


@pytest.mark.parametrize(
    ("name", "status", "reason", "duration_s", "n_frames"),
    [
        ("fc_same.mp4", "unreadable", "a playlist, perhaps", None, None),
        ("gap_1e7.mkv", "unreadable", "no picture for 10,000,000 s after second 9.90", None, None),
        ("wrap.ts", "ok", "", 12.0, 300),
        ("mpeg2.mpg", "ok", "", 12.0, 300),
        ("mpeg2_cut.mpg", "ok", "", 9.2, 230),
        ("preview_first.mp4", "ok", "", 12.0, 300),
    ],
)
def test_the_probe_tells_what_a_file_really_holds(name, status, reason, duration_s, n_frames):
    info = probe(MEDIA / name)
    assert info.status == status
    assert reason in info.reason
    if status == "ok":
        assert (info.duration_s, info.n_frames) == (pytest.approx(duration_s), n_frames)
        assert info.rotation == 0


@pytest.mark.parametrize("name", ["wrap.ts", "preview_first.mp4", "mpeg2_cut.mpg", "mpeg2.mpg"])
def test_every_frame_that_is_planned_is_decoded_and_both_decoders_agree(name):
    media = frame_times(MEDIA / name)
    plan = plan_row(lambda: media, {"rule": "ffmpeg_fps", "rate": 25})
    assert plan["status"] == "ok"
    assert set(plan["frame_idx"]) == set(range(media.n_leading, len(media.pts)))
    video, clock = Video.of_row(vars(probe(MEDIA / name)) | {"path": name}, MEDIA), FrameClock.of_row(plan)
    frames = {
        decoder: np.stack(list(decode_frames(video, clock, plan["frame_idx"], None, decoder=decoder)))
        for decoder in ("pyav", "ffmpeg")
    }
    assert len(frames["pyav"]) == len(plan["frame_idx"])
    assert np.array_equal(frames["pyav"], frames["ffmpeg"])


def test_the_first_picture_that_can_be_decoded_stands_for_those_in_front_of_it():
    media = frame_times(MEDIA / "mpeg2_cut.mpg")
    assert media.n_leading == 2
    plan = plan_row(lambda: media, {"rule": "ffmpeg_fps", "rate": 25})
    assert (plan["frame_idx"][0], min(plan["frame_idx"])) == (2, 2)
    assert plan["reason"].startswith("2 pictures at the begin need one that is not in the file")
    assert plan_row(lambda: frame_times(MEDIA / "mpeg2.mpg"), {"rule": "ffmpeg_fps", "rate": 25})["reason"] == ""


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile good.mp4\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\ngood.mp4\n#EXT-X-ENDLIST\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>',
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    ],
)
@pytest.mark.parametrize("extension", ["mp4", "m3u8", "ts"])
def test_a_playlist_leads_to_no_other_file_by_either_decoder(tmp_path, text, extension):
    shutil.copy(MEDIA / "good.mp4", tmp_path)
    path = tmp_path / f"list.{extension}"
    path.write_text(text)
    info = probe(path)
    assert info.status == "unreadable"
    assert info.n_frames is None
    with pytest.raises((ValueError, av.FFmpegError)):
        open_media(path)
    with pytest.raises(DecodeError):
        read_audio(path, 16000)
    video, clock = Video(path, 0, 96, 64), found(MEDIA / "good.mp4", [0])[1]
    with pytest.raises(UserError):
        list(decode_frames(video, clock, [0], None, decoder="ffmpeg"))


def test_only_files_are_opened_whatever_a_name_says(tmp_path):
    with pytest.raises((ValueError, OSError)):
        open_media("http://127.0.0.1:9/a.mp4")
    with pytest.raises((ValueError, OSError)):
        open_media("concat:a|b")


def test_what_is_believed_of_a_clip_can_be_set(tmp_path):
    path = make_clip(tmp_path / "a.mp4", n_frames=30, rate=10)
    assert probe(path).status == "ok"
    info = probe(path, Plausible(gap_s=0.05))
    assert info.reason.startswith("no picture for 0 s after second 0.00")
    assert probe(path, Plausible(duration_s=2.0)).reason == "lasts 3 s: more than 2 s is implausible"


def test_sound_that_ends_long_after_the_pictures_is_implausible(tmp_path):
    tone = np.zeros((1, 16000 * 5), np.int16)
    for name in ("a.mp4", "a.mkv"):
        path = make_clip(tmp_path / name, n_frames=10, rate=10, sound=(0.0, tone))
        assert probe(path).status == "ok"
        assert "its sound is there 4 s longer than its pictures" in probe(path, Plausible(gap_s=2.0)).reason
    for name in ("late.mp4", "late.mkv"):
        path = make_clip(tmp_path / name, n_frames=10, rate=10, sound=(6.0, tone[:, :16000]))
        assert probe(path).status == "ok"
        assert "its sound is there 6 s longer than its pictures" in probe(path, Plausible(gap_s=2.0)).reason


def tracks(path: Path, *tracks: tuple[tuple[int, int], int, int], codec: str = "libx264") -> Path:
    """Write a file of several tracks of pictures: size, number of pictures, number of the first."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream(codec, rate=10, width=size[0], height=size[1]) for size, _, _ in tracks]
        for stream, (size, n_frames, first) in zip(streams, tracks, strict=True):
            stream.options = {"bf": "2"}
            for number in range(n_frames):
                frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
                frame.pts, frame.time_base = first + number, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_poster_is_not_taken_for_the_film_however_large(tmp_path, name, is_first):
    film, poster = ((96, 64), 20, 0), ((192, 128), 1, 0)
    path = tracks(tmp_path / name, *((poster, film) if is_first else (film, poster)))
    info = probe(path)
    assert (info.status, info.width, info.n_frames) == ("ok", 96, 20)
    assert len(frame_times(path, info.stream_index).pts) == 20


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_pictures_that_begin_long_after_another_stream_are_implausible(tmp_path, name):
    path = tracks(tmp_path / name, ((96, 64), 20, 50), ((48, 32), 20, 0))
    assert probe(path).status == "ok"
    assert "earlier than its pictures: more than 2 s" in probe(path, Plausible(gap_s=2.0)).reason


def test_recordings_that_were_put_one_after_the_other_are_told_from_one(tmp_path):
    for suffix in ("ts", "mpg"):
        part = tracks(
            tmp_path / f"part.{suffix}", ((96, 64), 80, 0), codec="mpeg2video" if suffix == "mpg" else "libx264"
        )
        assert probe(part).status == "ok"
        joined = tmp_path / f"joined.{suffix}"
        joined.write_bytes(part.read_bytes() * 2)
        info = probe(joined)
        assert info.status == "unreadable"
        assert info.reason.startswith("its clock runs back after second 7.9")


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.m2v", "mpeg2video")])
def test_pictures_without_a_container_are_counted_and_both_decoders_agree(tmp_path, name, codec):
    path = tracks(tmp_path / name, ((96, 64), 50, 0), codec=codec)
    info, media = probe(path), frame_times(path)
    assert (info.status, info.n_frames, info.duration_s) == ("ok", 50, 5.0)
    plan = plan_row(lambda: media, {"rule": "ffmpeg_fps", "rate": 5})
    video, clock = Video.of_row(vars(info) | {"path": name}, tmp_path), FrameClock.of_row(plan)
    pyav, ffmpeg = (
        np.stack(list(decode_frames(video, clock, plan["frame_idx"], None, decoder=decoder)))
        for decoder in ("pyav", "ffmpeg")
    )
    assert np.array_equal(pyav, ffmpeg)
    assert len(pyav) == 25


def test_implausibly_large_pictures_are_not_decoded(tmp_path):
    path = make_clip(tmp_path / "a.mkv", n_frames=5)
    assert probe(path, Plausible(pixels=96 * 64)).status == "ok"
    assert probe(path, Plausible(pixels=96 * 64 - 1)).reason.startswith("its pictures have 96 x 64 pixels")


def test_no_more_sound_is_read_than_is_believed(tmp_path):
    path = make_clip(tmp_path / "a.mkv", n_frames=5, sound=(40.0, np.zeros((1, 1600), np.int16)))
    assert len(read_audio(path, 16000)) > 40 * 16000
    with pytest.raises(DecodeError, match="its sound lasts more than 3 s: its clock is wrong"):
        read_audio(path, 16000, longest_s=3.0)
