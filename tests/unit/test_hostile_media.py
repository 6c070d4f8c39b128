"""Unlucky and hostile media files: playlists, wrong and wrapped clocks, previews, recordings cut in the middle."""

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from tests.decoded import found
from tests.unit.made_clips import make_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.containers import open_media
from workflow_scripts.lib.media.decode import decode_frames
from workflow_scripts.lib.media.frame_request import FrameClock, Video
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.plan_table import plan_row
from workflow_scripts.lib.media.probe import Plausible, frame_times, probe

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
