"""Small copies of what browsers do not play: what is copied, how much at most, and what the pages are told."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.markdown_pages import ROOT
from tests.unit.made_clips import make_clip
from tests.unit.test_browse import Answers, Corrections, MadeSearcher, ask, serving
from workflow_scripts.lib.browsing.clips import LONGEST_S, Clips
from workflow_scripts.lib.browsing.server import Site
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.probe import probe
from workflow_scripts.lib.media.proxy_clips import BYTES_PER_S, is_played, write_clip
from workflow_scripts.lib.planning.system_plan import Systems
from workflow_scripts.lib.reporting import shown_clips
from workflow_scripts.lib.reporting.shown_videos import VideoFile


@pytest.mark.parametrize(
    ("name", "codec", "is_it"),
    [
        ("a.mp4", "h264", True),
        ("a.WEBM", "vp9", True),
        ("a.mp4", "hevc", False),
        ("a.avi", "h264", False),
        ("a.mkv", "", True),
        ("a.avi", "", False),
    ],
)
def test_codec_and_container_tell_whether_browsers_play_a_file(name, codec, is_it):
    assert is_played(Path(name), codec) == is_it


def test_a_copy_has_its_part_with_sound_and_is_small(tmp_path):
    noise = np.random.default_rng(0).integers(-9000, 9000, (1, 48000), np.int16)
    video = make_clip(tmp_path / "it's <b>.mkv", size=(600, 300), sound=(0.0, noise))
    write_clip(video, tmp_path / "out.webm", 0.5, 2.0)
    found = probe(tmp_path / "out.webm")
    assert (found.codec, found.audio_codec, found.width, found.height) == ("vp8", "opus", 480, 240)
    assert found.duration_s == pytest.approx(1.5, abs=0.15)
    assert (tmp_path / "out.webm").stat().st_size < 1.5 * BYTES_PER_S


def test_a_small_video_without_sound_stays_as_small_as_it_is(tmp_path):
    write_clip(make_clip(tmp_path / "a.mp4"), tmp_path / "out.webm", 0.0, 1.0)
    found = probe(tmp_path / "out.webm")
    assert (found.audio_codec, found.width, found.height) == (None, 96, 64)


def entry(video: str, *spans: list[float]) -> dict:
    return {
        "video": video,
        "annotated": [list(span) for span in spans[:1]],
        "predicted": [[span] for span in spans[1:]],
    }


def test_parts_hold_their_moments_and_what_is_there_is_not_copied_twice():
    entries = [entry("a", [5.0, 9.0], [5.2, 8.0]), entry("b", [0.0, 100.0]), entry("a", [5.0, 9.0])]
    wanted, n_without = shown_clips.wanted_clips(entries)
    assert wanted == {"a": [(4.0, 10.0)], "b": [(0.0, 29.0)]}
    assert n_without == 0


def test_parts_that_touch_are_one_unless_it_is_too_long():
    spans = [30.0, 31.0], [2.0, 4.0], [5.0, 9.0], [9.0, 28.0], [20.0, 40.0]
    wanted, _ = shown_clips.wanted_clips([entry("a", *spans[:2]), entry("a", *spans[2:])])
    assert wanted == {"a": [(1.0, 10.0), (8.0, 32.0), (19.0, 41.0)]}


def test_there_are_no_more_seconds_of_copies_than_a_report_may_have():
    entries = [entry("a", [5.0, 9.0]), entry("b", [5.0, 29.0]), entry("a", [20.0, 22.0])]
    wanted, n_without = shown_clips.wanted_clips(entries, most_s=10.0)
    assert wanted == {"a": [(4.0, 10.0), (19.0, 23.0)]}
    assert n_without == 1


def test_a_report_copies_what_browsers_do_not_play_and_nothing_else(tmp_path, caplog):
    video, broken = make_clip(tmp_path / "a.mp4"), tmp_path / "broken.avi"
    broken.write_bytes(b"nothing")
    files = {"<a>": VideoFile(video, codec="mpeg4"), "b": VideoFile(video, codec="h264"), "c": VideoFile(broken)}
    files |= {"d": VideoFile(None, "gone")}
    found, n_without = shown_clips.add_clips(
        tmp_path / "files", [entry(name, [1.5, 2.0]) for name in files], files, None
    )
    [[start_s, end_s, name]] = found.pop("<a>")
    assert (start_s, end_s, found, n_without) == (0.5, 3.0, {}, 0)
    assert [path.name for path in (tmp_path / "files").iterdir()] == [name]
    assert "broken.avi" in caplog.text


def test_the_workflow_asks_for_copies_only_where_the_configuration_does():
    def told(root):
        return Systems(Configuration(root, ROOT / "config"), None, None).clip_options()

    assert told({}) == told({"paths": {"ffmpeg": "/opt/my ffmpeg"}}) == []
    assert told({"proxy_clips": True}) == ["--proxy-clips"]
    assert told({"proxy_clips": True, "paths": {"ffmpeg": "f"}}) == ["--proxy-clips", "--ffmpeg", "f"]


# The page on this machine


@pytest.fixture
def site(tmp_path):
    """A server of two videos, one of which is none."""
    (tmp_path / "trip").mkdir()
    make_clip(tmp_path / "trip" / "a.mp4")
    (tmp_path / "b.mp4").write_bytes(b"0123456789")
    answers = Answers([MadeSearcher()])
    with serving(
        Site("trips", tmp_path, answers, Corrections(tmp_path / "kept.jsonl", answers.files), Clips())
    ) as made:
        yield made


def test_the_server_sends_copies_in_the_parts_that_players_ask_for(site):
    assert json.loads(ask(site, "about")[2])["clip_s"] == LONGEST_S
    status, headers, content = ask(site, "clip?id=trip/a&start=0&end=1.5")
    assert (status, headers["Content-Type"], content[:4]) == (200, "video/webm", b"\x1aE\xdf\xa3")
    status, headers, part = ask(site, "clip?id=trip/a&start=0&end=1.5", Range="bytes=4-7")
    assert (status, part) == (206, content[4:8])


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("id=trip/a&start=1&end=1", 400),
        ("id=trip/a&start=0&end=61", 400),
        ("id=trip/a&start=-1&end=1", 400),
        ("id=trip/a&start=nan&end=1", 400),
        ("id=trip/a&start=0", 400),
        ("id=../secret&start=0&end=1", 404),
        ("id=b&start=0&end=1", 404),
    ],
)
def test_what_is_no_part_of_a_video_is_not_copied(site, asked, status):
    assert ask(site, f"clip?{asked}")[0] == status


def test_a_copy_is_made_once(site, monkeypatch):
    first = ask(site, "clip?id=trip/a&start=0&end=1")
    monkeypatch.setattr("workflow_scripts.lib.browsing.clips.write_clip", None)
    assert ask(site, "clip?id=trip/a&start=0&end=1")[2] == first[2]


def test_without_the_option_nothing_is_copied(tmp_path):
    make_clip(tmp_path / "b.mp4")
    answers = Answers([MadeSearcher()])
    with serving(Site("trips", tmp_path, answers, Corrections(tmp_path / "kept.jsonl", answers.files))) as site:
        assert json.loads(ask(site, "about")[2])["clip_s"] == 0
        status, _, content = ask(site, "clip?id=b&start=0&end=1")
        assert status == 404
        assert b"--proxy-clips" in content


def test_a_part_of_what_is_no_video_is_an_error(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(DecodeError, match=r"a\.mp4"):
        Clips().of(tmp_path / "a.mp4", 0.0, 1.0)
