"""Captions of a folder of videos: of whole videos or of windows, as a table and as subtitles."""

import csv
import json
import shutil
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.systems.interface import Caption, FeatureRows, Told
from tests.unit.made_results import make_results
from tests.unit.made_uniq4cap import made_item, made_network, made_system
from workflow_scripts import write_captions
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.srt import parse_srt
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.audio import windows
from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.predictions.answer_tables import write_answers
from workflow_scripts.lib.predictions.caption_files import caption_lines
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.store.settings_files import window_seconds
from workflow_scripts.lib.store.tables import write_table
from workflow_scripts.lib.training.data import read_training_data
from workflow_scripts.lib.training.prediction import without_rows
from workflow_scripts.lib.training.prior import PriorResults
from workflow_scripts.lib.training.reader import Reader
from workflow_scripts.lib.training.rows import RowsInStore

CONFIG = Path(__file__).resolve().parents[2] / "config"


# What networks see of windows


def frames(*milliseconds):
    return FrameTimes(np.array(milliseconds[:-1]), Fraction(1, 1000), 0, milliseconds[-1], None)


def test_every_window_has_its_frames_as_if_it_were_a_video():
    media = frames(*range(0, 2600, 100))
    found = plan_frames({"rule": "linspace_clip", "n_frames": 3, "window_s": 1}, media)
    assert found.frame_idx.reshape(-1, 3).tolist() == [[0, 4, 9], [10, 14, 19], [20, 22, 24]]
    assert found.times.tolist() == [[0, 1], [1, 2], [2, 2.5]]
    assert found.frames_per_row.tolist() == [3, 3, 3]
    whole = plan_frames({"rule": "linspace_clip", "n_frames": 3}, media)
    assert (whole.frame_idx.tolist(), whole.times.tolist()) == ([0, 12, 24], [[0, 2.5]])


def test_a_window_without_a_frame_has_no_row_and_rounding_makes_no_window():
    found = plan_frames({"rule": "linspace_clip", "n_frames": 2, "window_s": 1}, frames(0, 500, 2200, 3000.2))
    assert found.frame_idx.tolist() == [0, 1, 2, 2]
    assert found.times[:, 0].tolist() == [0, 2]


def test_the_last_window_of_a_sound_ends_with_it():
    wave = np.arange(25, dtype=np.float32)[None]
    cuts, times = windows(wave, 10, 1.0, 1.0, duration_s=9.0, align="start", tail="short")
    assert [cut[0, [0, -1]].tolist() for cut in cuts] == [[0, 9], [10, 19], [20, 24]]
    assert times[:, 0].tolist() == [0, 1, 2]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Return a function that plans in a working folder with a dataset `mine`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIG, tmp_path / "config")

    def make(**said):
        (tmp_path / "config/datasets/mine.yaml").write_text(json.dumps({"title": "Mine", "videos": "videos", **said}))
        return Plan({"device": "cpu"}, tmp_path / "config")

    return make


def test_windows_change_features_of_whole_videos_only_and_no_checkpoint_minds(plan):
    names = ("uniq4cap_video", "uniq4cap_audio", "clip_b32", "cnn14")
    whole = {name: plan().features.recipe_digest("mine", name) for name in names}
    cut = plan(window_s=10).features
    assert [n for n in names if whole[n] != cut.recipe_digest("mine", n)] == ["uniq4cap_video", "uniq4cap_audio"]
    assert {name: cut.whole_recipe_digest("mine", name) for name in names} == whole
    configuration = Configuration({}, Path("config"))
    assert configuration.feature("mine", "uniq4cap_video").sampling.window_s == "10"
    window = configuration.feature("mine", "uniq4cap_audio").window
    assert (window.window_s, window.hop_s, window.align, window.tail) == (10, 10, "start", "short")


def test_only_a_system_that_describes_videos_has_a_table_of_captions(plan):
    systems = plan(systems={"uniq4cap": {"checkpoint_from": "demo", "seeds": [3, 4]}}).systems
    assert systems.caption_answers("mine", "uniq4cap") == ["results/mine/uniq4cap/seed3/test/answers/captions.parquet"]
    with pytest.raises(UserError, match="writes no captions of videos"):
        systems.caption_answers("mine", "img")


def test_windows_are_told_to_jobs_as_text_and_read_as_seconds(plan):
    said = {"systems": {"uniq4cap": {"checkpoint_from": "demo"}}}
    assert window_seconds(json.loads(Path(plan(**said).systems.settings("mine", "uniq4cap")).read_text())) is None
    settings = json.loads(Path(plan(window_s="25/2", **said).systems.settings("mine", "uniq4cap")).read_text())
    assert settings["window_s"] == "25/2"
    assert window_seconds(settings) == 12.5


# Rows of windows


def test_only_the_wanted_rows_are_read_from_a_store(tmp_path):
    make_results(tmp_path / "made")
    store = FeatureStore(tmp_path / "made" / "features" / "frames")
    whole, lazy = store["v1"], RowsInStore(store, "v1", "ok")
    part = lazy.part(1, 3)
    assert np.array_equal(part.values, whole.values[1:3])
    assert np.array_equal(part.times, whole.times[1:3])
    assert np.array_equal(lazy.times, whole.times)
    assert lazy.part(2, 2).values.shape == (0, whole.values.shape[1])
    assert np.array_equal(store.preload().read("v1", slice(1, 3)).values, whole.values[1:3])


def windowed_item(window_s):
    """Two windows of two rows of picture each, of which the second has no sound."""
    item = made_item(0, n_video=4, n_audio=2)
    starts = {"visual": [0, 0.5, 0.99999, 1.5], "audio": [0, 0.5]}
    for name, own in starts.items():
        times = np.stack([own, np.array(own) + 0.5], axis=1).astype(np.float32)
        item.streams[name][0] = FeatureRows(item.streams[name][0].values, times)
    return replace(item, told=Told(window_s=window_s))


def test_videos_are_told_the_length_of_windows_and_queries_are_not(tmp_path):
    path = make_results(tmp_path / "made", window_s="5/2")
    settings = json.loads(path.read_text())
    arguments = (tmp_path / "made", settings["config"], settings["recipes"])
    videos = Reader(*arguments, tasks=("captions",), captions_of=("videos",), window_s=2.5).read("train").items
    assert {item.told.window_s for item in videos} == {2.5}
    assert Reader.of(path, settings).window_s == 2.5
    assert {item.told.window_s for item in Reader.of(path, settings).read("train").items} == {None}


def test_what_videos_lack_is_counted_by_stream_and_reason():
    silent = made_item(1, n_audio=0)
    silent.streams["audio"][0] = replace(silent.streams["audio"][0], status="no_audio")
    assert without_rows([made_item(0), silent, silent]) == {"audio: no_audio": 2}


def test_every_window_is_described_by_what_is_seen_and_heard_in_it():
    system, network = made_system(), made_network()
    item = windowed_item(1.0)
    units = system.units([item], "captions")
    rows = {name: item.streams[name][0].values for name in item.streams}
    assert [number for number, _ in units] == [0, 1]
    samples = [system.sample(unit, None) for unit in units]
    assert [sample["video"].tolist() for sample in samples] == [
        rows["visual"][:2].tolist(),
        rows["visual"][2:].tolist(),
    ]
    assert [sample["audio"].tolist() for sample in samples] == [rows["audio"].tolist(), []]
    answers = system.predict(network, system.collate(samples), None, "captions")
    assert [(a.query_id, a.video_id, a.step_index, a.rank) for a in answers] == [("", "v0", 0, 0), ("", "v0", 1, 0)]
    assert [number for number, _ in system.units([windowed_item(None)], "captions")] == [None]
    assert [number for number, _ in system.units([item])] == [None]


# The files


def answer(video, number, text, **more):
    row = {"query_id": "", "video_id": video, "step_index": number, "rank": 0, "text": text, "score": -1.23456}
    return row | more


def test_lines_come_in_time_with_the_seconds_of_their_windows():
    rows = [answer("b", 1, "two"), answer("b", 0, "one"), answer("b", 0, "other", rank=1), answer("a", None, "all")]
    rows.append(answer("a", 0, "a step", query_id="q"))
    found = caption_lines(rows, {"a": 7.0, "b": 12.5}, 10.0)
    assert [line[:4] for line in found] == [("a", 0, 7, "all"), ("b", 0, 10, "one"), ("b", 10, 12.5, "two")]


def test_captions_become_a_table_and_subtitles(tmp_path, monkeypatch):
    results = tmp_path / "mine"
    videos = [{"video_id": "it's, a", "duration_s": 12.5}, {"video_id": "sub/b", "duration_s": 3.0}]
    write_table(results / "annotations/videos.parquet", pa.Table.from_pylist(videos))
    settings = results / "uniq4cap/settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"annotations": "mine", "window_s": "10"}))
    run = settings.parent / "seed0/test"
    answers = [
        Caption("", "it's, a", 1, 0, 'a dog, "Rex"', -1.23456),
        Caption("", "it's, a", 0, 0, "", None),
        Caption("", "sub/b", 0, 0, "a bell rings", -2.0),
    ]
    names = {"run_id": "r", "system": "uniq4cap", "dataset": "mine", "split": "test"}
    write_answers(run, {"captions": answers}, names, {"captions": ["it's, a", "sub/b"]})
    table, srt = settings.parent / "captions.csv", settings.parent / "srt"
    monkeypatch.setattr(
        sys, "argv", ["x", "--settings", str(settings), "--table", str(table), "--srt", str(srt), str(run)]
    )
    write_captions.main()
    with table.open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["video", "start_s", "end_s", "caption", "score"],
            ["it's, a", "0.000", "10.000", "", ""],
            ["it's, a", "10.000", "12.500", 'a dog, "Rex"', "-1.2346"],
            ["sub/b", "0.000", "3.000", "a bell rings", "-2.0000"],
        ]
    subtitles = {p.relative_to(srt).as_posix(): parse_srt(p.read_text(), p.name) for p in sorted(srt.rglob("*.srt"))}
    assert subtitles == {"it's, a.srt": [(10, 12.5, 'a dog, "Rex"')], "sub/b.srt": [(0, 3, "a bell rings")]}


def test_captions_of_windows_are_not_trained_with_captions_of_videos(tmp_path):
    path = make_results(tmp_path / "made", window_s="10")
    settings = json.loads(path.read_text())
    read_training_data(path, settings, PriorResults(settings, 0))
    own = made_system().config.model_dump(mode="json")
    settings["config"] |= {"system": "uniq4cap", "settings": own}
    with pytest.raises(UserError, match="captions of whole videos do not teach captions of windows"):
        read_training_data(path, settings, PriorResults(settings, 0))
