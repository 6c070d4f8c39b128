"""The demo's videos: what was planned is seen and heard in real files."""

import itertools
import json
import subprocess
import sys

import av
import numpy as np
import pytest

from tests.unit.made_settings import settings_options
from workflow_scripts.lib.datasets.demo.encode import encode_video, make_videos, read_digest
from workflow_scripts.lib.datasets.demo.event_plan import plan_digest, plan_video
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES, recording_path, spoken_cs
from workflow_scripts.lib.datasets.demo.render import RGB, SAMPLE_RATE, render_waveform

PLANS = [plan_video(0, "train", index) for index in range(3)]
NORMAL, SILENT, VARIABLE = PLANS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for plan in PLANS:
        encode_video(plan, folder / f"{plan.video_id}.mp4")
    return folder


def decode(folder, plan):
    with av.open(str(folder / f"{plan.video_id}.mp4")) as container:
        return [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def test_every_event_shows_its_colour_and_gaps_are_empty(folder):
    for time_s, frame in decode(folder, NORMAL):
        event = next((e for e in NORMAL.events if e.start_cs <= time_s * 100 < e.end_cs), None)
        if event is None:
            assert abs(frame.astype(int) - NORMAL.shade).max() < 30
        else:
            distance = abs(frame.astype(int) - np.array(RGB[event.look.colour])).max(axis=2)
            assert (distance < 40).mean() > 0.03, (time_s, event)


def test_every_event_is_heard_and_gaps_are_quiet(folder):
    with av.open(str(folder / f"{NORMAL.video_id}.mp4")) as container:
        wave = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])

    def loudness(start_cs, end_cs):
        return np.sqrt(np.mean(wave[start_cs * 160 : end_cs * 160] ** 2))

    assert wave.size >= NORMAL.duration_cs * 160
    assert loudness(0, NORMAL.events[0].start_cs - 5) < 0.01
    for event in NORMAL.events:
        assert loudness(event.start_cs, event.end_cs) > 0.02, event
    for before, after in itertools.pairwise(NORMAL.events):
        assert loudness(before.end_cs + 10, after.start_cs - 10) < 0.01


def test_the_silent_video_has_no_sound_track(folder):
    with av.open(str(folder / f"{SILENT.video_id}.mp4")) as container:
        assert len(container.streams.video) == 1
        assert len(container.streams.audio) == 0


def test_the_variable_video_really_varies_and_the_others_do_not(folder):
    for plan in PLANS:
        times = np.array([time_s for time_s, _ in decode(folder, plan)])
        intervals = np.diff(times)
        assert times[0] == 0
        assert np.all(intervals > 0)
        if plan is VARIABLE:
            assert intervals.max() > 2 * intervals.min()
        else:
            assert np.ptp(intervals) < 1e-3


def test_a_video_encodes_to_the_same_bytes_again(folder, tmp_path):
    encode_video(NORMAL, tmp_path / "again.mp4")
    assert (tmp_path / "again.mp4").read_bytes() == (folder / f"{NORMAL.video_id}.mp4").read_bytes()


def test_good_videos_are_kept_broken_ones_made_again_and_stale_ones_removed(folder, tmp_path):
    for plan in (NORMAL, SILENT):
        source = folder / f"{plan.video_id}.mp4"
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "demo_train_999.mp4").write_bytes(b"")
    (tmp_path / "holiday.mp4").write_bytes(b"")
    broken = tmp_path / f"{SILENT.video_id}.mp4"
    broken.write_bytes(broken.read_bytes()[:-2000])
    kept = (tmp_path / f"{NORMAL.video_id}.mp4").stat().st_mtime_ns
    digests = make_videos([NORMAL, SILENT], tmp_path, jobs=1)
    assert (tmp_path / f"{NORMAL.video_id}.mp4").stat().st_mtime_ns == kept
    assert read_digest(broken) == digests[SILENT.video_id] == plan_digest(SILENT)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo_train_000.mp4",
        "demo_train_001.mp4",
        "holiday.mp4",
    ]


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("phrase", PHRASES)
def test_a_recording_is_as_long_as_the_plan_believes(phrase, voice):
    with av.open(str(recording_path(phrase, voice))) as container:
        seconds = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
    assert seconds == pytest.approx(spoken_cs(phrase, voice) / 100, abs=0.001)


def test_a_phrase_is_said_from_the_start_to_the_end_of_its_event():
    plan = next(plan for plan in (plan_video(0, "train", i) for i in range(20)) if len(plan.speech_events) > 1)
    wave = render_waveform(plan)
    for position in plan.speech_events:
        event = plan.events[position]
        piece = abs(wave[event.start_cs * 160 : event.end_cs * 160])
        assert piece[: SAMPLE_RATE // 4].max() > 0.05
        assert piece[-SAMPLE_RATE // 4 :].max() > 0.05


def test_the_command_writes_everything_and_a_second_run_changes_nothing(tmp_path):
    known = settings_options(tmp_path / "settings.json", {"train": 2, "val": 0, "test": 1, "seed": 0})
    command = [sys.executable, "-m", "workflow_scripts.make_demo", *known, "--out", str(tmp_path), "--jobs", "2"]
    subprocess.run(command, check=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")}
    assert sorted(path.stem for path in before) == ["demo_test_000", "demo_train_000", "demo_train_001"]
    index = json.loads((tmp_path / "videos.json").read_text())
    assert index["demo_train_000"] == {"plan_digest": plan_digest(NORMAL)}
    text = (tmp_path / "videos.json").read_bytes()
    subprocess.run(command, check=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.mp4")} == before
    assert (tmp_path / "videos.json").read_bytes() == text


def test_the_command_refuses_impossible_counts(tmp_path):
    known = settings_options(tmp_path / "settings.json", {"train": -1, "val": 0, "test": 1, "seed": 0})
    command = [sys.executable, "-m", "workflow_scripts.make_demo", *known, "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: generate.train: -1:")
