"""A shard with every kind of bad video: each ends with its status and reason, the good ones get their rows."""

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from tests.unit.forked import ROOT, run_forked
from tests.unit.made_clips import make_clip, state_zero_seconds
from tests.unit.made_settings import feature_options, settings_options
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.pass_file import Pass, passes_content
from workflow_scripts.lib.store.shard_store import read_whole_shard
from workflow_scripts.lib.store.shards import shard_list_text
from workflow_scripts.lib.store.tables import read_table

SHARD = "0000"
WANTED = {
    "good": "ok",
    "-good one, ünï": "ok",
    "x" * 200: "ok",
    "renamed": "ok",
    "single": "ok",
    "garbled": "ok",
    "no duration": "ok",
    "talks": "ok",
    "goes away": "ok",
    "empty": "empty",
    "text": "unreadable",
    "loop": "unreadable",
    "long loop": "unreadable",
    "dangling": "missing",
    "folder": "unreadable",
    "cut": "truncated",
    "cut mkv": "truncated",
    "sound": "no_video_stream",
    "absent": "missing",
}
WINDOWS = {"rule": "windows", "rate": None, "window": 8, "stride": 4, "tail": "shift_back"}


def run(name: str, *arguments: object) -> subprocess.CompletedProcess:
    done = run_forked(name, *arguments)
    assert done.returncode == 0, done.stderr
    return done


def make_videos(folder: Path) -> None:
    folder.mkdir()
    for name in ("good", "-good one, ünï", "x" * 200):
        make_clip(folder / "clip.mp4", n_frames=30).rename(folder / f"{name}.mp4")
    # Of its own length: a copy of another video would get that one's rows.
    make_clip(folder / "goes away.mp4", n_frames=31)
    make_clip(folder / "clip.mkv", n_frames=30).rename(folder / "renamed.mp4")
    make_clip(folder / "single.mp4", n_frames=1, rate=2)
    garble(make_clip(folder / "garbled.mp4", n_frames=30), first_packet=14)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    (folder / "loop.mp4").symlink_to("loop.mp4")
    (folder / "long loop.mp4").symlink_to("back.mp4")
    (folder / "back.mp4").symlink_to("long loop.mp4")
    (folder / "dangling.mp4").symlink_to("nothing there.mp4")
    (folder / "folder.mp4").mkdir()
    whole = make_clip(folder / "clip.mp4", n_frames=60, size=(192, 128), options={"movflags": "+faststart"})
    (folder / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    whole = make_clip(folder / "clip.mkv", n_frames=60, size=(192, 128))
    (folder / "cut mkv.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    whole.unlink()
    state_zero_seconds(make_clip(folder / "no duration.mp4", n_frames=30))
    make_clip(folder / "talks.mp4", n_frames=30, sound=(0.0, np.full((1, 48000), 5000, np.int16)))
    sound_only(folder / "sound.mp4")


def garble(path: Path, first_packet: int) -> None:
    """Overwrite the coded pictures from one packet on."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in places[first_packet:]:
        data[position + 4 : position + size] = bytes(size - 4)
    path.write_bytes(data)


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())


@pytest.fixture(scope="module")
def shard(tmp_path_factory):
    """Media table, plan and feature store of the shard; one video is removed between planning and extraction."""
    folder = tmp_path_factory.mktemp("shard")
    videos, media, plan = folder / "videos", folder / "media.parquet", folder / "plan.parquet"
    make_videos(videos)
    (folder / f"{SHARD}.tsv").write_text(shard_list_text(dict.fromkeys(WANTED, "x")))
    known = settings_options(folder / "probe.json", {"videos": str(videos), "extensions": ["mp4", "mkv"]})
    run("probe_media", *known, "--shard-list", folder / f"{SHARD}.tsv", "--out", media)
    settings = feature_settings(Configuration({}, ROOT / "config"), "demo", "rgb_histogram")
    settings["folder"] = str(videos)
    known = settings_options(folder / "plan.json", {"videos": str(videos), "sampling": settings["recipe"]["sampling"]})
    run("sample_frames", *known, "--media", media, "--out", plan)
    (videos / "goes away.mp4").unlink()
    known = feature_options(folder / "settings.json", settings)
    run("extract_visual", *known, "--rows-of", plan, "--media", media, "--store", folder / f"{SHARD}.zarr")
    return folder


def test_every_video_is_in_the_media_table_with_its_status(shard):
    rows = {row["video_id"]: row for row in read_table(shard / "media.parquet").to_pylist()}
    assert {name: row["status"] for name, row in rows.items()} == WANTED
    assert all(row["reason"] for row in rows.values() if row["status"] != "ok")


def test_good_videos_get_their_rows_and_bad_ones_their_reason(shard):
    _, content = read_whole_shard(shard / f"{SHARD}.zarr")
    found = {row.id: row for row in content.videos}
    assert set(found) == {name for name, status in WANTED.items() if status == "ok"}
    failed = {name for name, row in found.items() if row.status != "ok"}
    assert failed == {"garbled", "goes away"}
    assert "cannot be opened" in found["goes away"].reason
    assert "could be decoded" in found["garbled"].reason


def test_a_video_without_sound_says_so_and_the_one_with_sound_gets_its_rows(shard, tmp_path):
    settings = feature_settings(Configuration({}, ROOT / "config"), "demo", "cnn14_tiny")
    known = feature_options(tmp_path / "settings.json", settings | {"folder": str(shard / "videos")})
    done = run("extract_audio", *known, "--rows-of", shard / "media.parquet", "--store", tmp_path / f"{SHARD}.zarr")
    _, content = read_whole_shard(tmp_path / f"{SHARD}.zarr")
    found = {row.id: row for row in content.videos}
    assert set(found) == {name for name, status in WANTED.items() if status == "ok"}
    assert found.pop("talks").status == "ok"
    assert found.pop("goes away").status == "failed"
    assert {row.status for row in found.values()} == {"no_audio"}
    assert all(row.start == row.stop for row in found.values())
    assert "s in all: read" in done.stderr


def test_rows_of_a_histogram_sum_to_one(shard):
    _, content = read_whole_shard(shard / f"{SHARD}.zarr")
    assert content.values.shape[1] == 48
    np.testing.assert_allclose(content.values.astype(float).sum(1), 1, atol=0.01)


def test_a_window_rule_goes_through_the_plan_and_the_job(shard, tmp_path):
    configuration = Configuration({"features": {"rgb_histogram": {"sampling": WINDOWS}}}, ROOT / "config")
    settings = feature_settings(configuration, "demo", "rgb_histogram")
    media, videos, plan = shard / "media.parquet", str(shard / "videos"), tmp_path / "plan.parquet"
    known = settings_options(tmp_path / "plan.json", {"videos": videos, "sampling": settings["recipe"]["sampling"]})
    run("sample_frames", *known, "--media", media, "--out", plan)
    (row,) = [row for row in read_table(plan).to_pylist() if row["video_id"] == "single"]
    assert (row["frames_per_row"], row["frame_idx"]) == ([1], [0])
    known = feature_options(tmp_path / "settings.json", settings | {"folder": videos})
    run("extract_visual", *known, "--rows-of", plan, "--media", media, "--store", tmp_path / "0000.zarr")
    _, content = read_whole_shard(tmp_path / "0000.zarr")
    found = {row.id: row for row in content.videos if row.status == "ok"}
    assert {row.stop - row.start for name, row in found.items() if name not in ("single", "garbled")} == {8}
    assert found["single"].stop - found["single"].start == 1


def test_a_pass_gives_every_feature_the_rows_and_reasons_of_a_job_of_its_own(shard, tmp_path):
    """Two features, one of windows, from one decoding: bad videos fail in each as they do alone."""
    media, videos = shard / "media.parquet", str(shard / "videos")
    settings, plans, keys = {}, {}, {}
    for name, given in {"rgb_histogram": {}, "rgb_windows": {"sampling": WINDOWS}}.items():
        configuration = Configuration({"features": {"rgb_histogram": given}}, ROOT / "config")
        content = feature_settings(configuration, "demo", "rgb_histogram") | {"folder": videos, "feature": name}
        settings[name] = tmp_path / "features" / name / "settings.json"
        _, _, _, keys[name] = feature_options(settings[name], content)
        plans[name] = tmp_path / f"{name}.parquet"
        sampling = {"videos": videos, "sampling": content["recipe"]["sampling"]}
        known = settings_options(tmp_path / f"{name}.plan.json", sampling)
        run("sample_frames", *known, "--media", media, "--out", plans[name])
        known = feature_options(tmp_path / "alone" / name / "settings.json", content)
        store = tmp_path / "alone" / name / f"{SHARD}.zarr"
        run("extract_visual", *known, "--rows-of", plans[name], "--media", media, "--store", store)
    formed = Pass("both", keys, 1)
    write_json(tmp_path / "passes.json", passes_content([formed]))
    marker = tmp_path / f"passes/both/{SHARD}-{SHARD}.json"
    arguments = ["--record", tmp_path / "passes.json", "--settings", *settings.values(), "--keys", *keys.values()]
    arguments += ["--media", media, "--out", marker]
    log = run("extract_pass", *arguments).stderr
    stores = {name: tmp_path / "features" / name / f"{SHARD}.zarr" for name in settings}
    for name, store in stores.items():
        alone_store = tmp_path / "alone" / name / f"{SHARD}.zarr"
        (_, together), (_, alone) = read_whole_shard(store), read_whole_shard(alone_store)
        assert np.array_equal(together.values, alone.values)
        assert np.array_equal(together.times, alone.times)
        assert together.videos == alone.videos
    n_good = sum(status == "ok" for status in WANTED.values()) - len({"garbled", "goes away"})
    # What was made along waited in the journal; broken videos were looked at again.
    assert f"{n_good} from the cache, 2 computed; 2 failed" in log
    assert json.loads(marker.read_text())["shards"].keys() == {SHARD}
    assert json.loads(marker.read_text())["shards"][SHARD].keys() == stores.keys()
    assert not list(tmp_path.glob("features/*/*.journal"))

    # A feature that has left is not touched any more, whatever its settings say.
    write_json(tmp_path / "passes.json", passes_content([formed.without(["rgb_windows"])]))
    settings["rgb_windows"].write_text("{}")
    before = {path: path.stat().st_mtime_ns for path in stores["rgb_windows"].rglob("*")}
    run("extract_pass", *arguments)
    assert {path: path.stat().st_mtime_ns for path in stores["rgb_windows"].rglob("*")} == before
    assert list(json.loads(marker.read_text())["shards"][SHARD]) == ["rgb_histogram"]
