"""The programs that turn a folder of videos into a manifest and sampling plans."""

import subprocess
from pathlib import Path

import pytest

from tests.unit.forked import run_forked
from tests.unit.made_clips import make_clip
from tests.unit.made_settings import feature_options, settings_options
from workflow_scripts.lib.store.digest import content_digest
from workflow_scripts.lib.store.shards import shard_list_text
from workflow_scripts.lib.store.tables import read_table, write_table


def probed(folder: Path, shard: str, videos: Path, out: Path) -> subprocess.CompletedProcess:
    """Run the probe of a shard."""
    settings = {"videos": str(videos), "extensions": ["mp4", "mkv"]}
    known = settings_options(out.with_suffix(".json"), settings)
    return run_forked("probe_media", *known, "--shard-list", folder / f"{shard}.tsv", "--out", out)


def planned(folder: Path, rule: object, out: Path) -> subprocess.CompletedProcess:
    """Plan the frames of the first shard."""
    settings = {"videos": str(folder / "videos"), "sampling": rule}
    known = settings_options(out.with_suffix(".json"), settings)
    return run_forked("sample_frames", *known, "--media", folder / "0000.parquet", "--out", out)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two good videos, a broken one, and media tables of two shards."""
    folder = tmp_path_factory.mktemp("dataset")
    videos = folder / "videos"
    videos.mkdir()
    make_clip(videos / "good.mp4", n_frames=30)
    make_clip(videos / "-other one.mkv", n_frames=20)
    (videos / "two  blanks.mp4").touch()
    (videos / "broken.mp4").write_text("no video")
    (folder / "0000.tsv").write_text(shard_list_text({"good": "x", "broken": "x"}))
    (folder / "0001.tsv").write_text(shard_list_text({"-other one": "x", "absent": "missing", "two  blanks": "x"}))
    for shard in ("0000", "0001"):
        assert probed(folder, shard, videos, folder / f"{shard}.parquet").returncode == 0
    return folder


def test_every_video_of_the_shard_has_a_row(folder):
    rows = {row["video_id"]: row for row in read_table(folder / "0000.parquet").to_pylist()}
    assert {name: row["status"] for name, row in rows.items()} == {"good": "ok", "broken": "unreadable"}
    good = folder / "videos" / "good.mp4"
    assert rows["good"]["path"] == "good.mp4"
    assert rows["good"]["n_bytes"] == good.stat().st_size
    assert rows["good"]["mtime_ns"] == good.stat().st_mtime_ns
    assert rows["good"]["digest"] == content_digest(good)
    assert rows["good"]["n_frames"] == 30


def test_a_missing_folder_is_one_clear_message(folder, tmp_path):
    done = probed(folder, "0000", tmp_path / "none", tmp_path / "a.parquet")
    assert done.returncode == 2
    assert "none: no such folder. Put the videos there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("decision", ["fail", "skip"])
def test_bad_videos_are_listed_and_the_setting_decides(folder, tmp_path, decision):
    out = tmp_path / "manifest.parquet"
    arguments = ("--on-bad-video", decision, "--out", out, folder / "0000.parquet", folder / "0001.parquet")
    done = run_forked("collect_manifest", *arguments)
    assert done.returncode == (2 if decision == "fail" else 0)
    counts = "1 missing, 1 unreadable, 1 empty"
    assert f"3 of 5 videos cannot be used: {counts}; why: {tmp_path / 'problems.tsv'}\n" in done.stderr
    assert "absent: missing (no absent.(mp4|mkv))" in done.stderr
    assert ("on_bad_video: skip" in done.stderr) == (decision == "fail")
    assert [line.split("\t")[:2] for line in (tmp_path / "problems.tsv").read_text().splitlines()] == [
        ["video_id", "status"],
        ["absent", "missing"],
        ["broken", "unreadable"],
        ["two  blanks", "empty"],
    ]
    assert out.exists() == (decision == "skip")
    if decision == "skip":
        assert read_table(out).column("video_id").to_pylist() == [
            "-other one",
            "absent",
            "broken",
            "good",
            "two  blanks",
        ]


def test_the_plan_names_the_frames_of_usable_videos(folder, tmp_path):
    done = planned(folder, {"rule": "ffmpeg_fps", "rate": "2"}, tmp_path / "plan.parquet")
    assert done.returncode == 0, done.stderr
    (row,) = read_table(tmp_path / "plan.parquet").to_pylist()
    assert (row["video_id"], row["status"]) == ("good", "ok")
    assert row["frame_idx"] == [2, 7, 12, 17, 22, 27]
    assert row["start_s"] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert row["end_s"][-1] == 3.0
    assert row["digest"] == content_digest(folder / "videos" / "good.mp4")


@pytest.mark.parametrize("rule", [{"rule": "none"}, {}])
def test_a_wrong_rule_is_a_clear_message(folder, tmp_path, rule):
    done = planned(folder, rule, tmp_path / "plan.parquet")
    assert done.returncode == 2
    assert "sampling: unknown rule" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_that_changed_since_the_job_was_planned_are_refused(folder, tmp_path):
    out = tmp_path / "plan.parquet"
    _, path, _, key = settings_options(tmp_path / "s.json", {"videos": "v", "sampling": {"rule": "linspace"}})
    settings_options(tmp_path / "s.json", {"videos": "elsewhere", "sampling": {"rule": "linspace"}})
    given = ("--settings", path, "--key", key, "--media", folder / "0000.parquet", "--out", out)
    done = run_forked("sample_frames", *given)
    assert done.returncode == 2
    assert "s.json: these are no longer the settings that this job was started for" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("name", ["probe_media", "collect_manifest", "sample_frames", "index_features"])
def test_help(name):
    done = run_forked(name, "--help")
    assert done.returncode == 0
    assert "--out" in done.stdout


def test_a_media_table_of_older_code_ends_the_extraction_with_a_remedy(folder, tmp_path):
    assert planned(folder, {"rule": "ffmpeg_fps", "rate": "2"}, tmp_path / "plan.parquet").returncode == 0
    write_table(
        tmp_path / "old.parquet", read_table(folder / "0000.parquet").drop_columns(["stream_index", "rotation"])
    )
    settings = {"recipe": {"resize": None}, "folder": "videos", "runtime": {"decoder": "auto"}, "ffmpeg": None}
    tables = ("--rows-of", tmp_path / "plan.parquet", "--media", tmp_path / "old.parquet")
    done = run_forked(
        "extract_visual", *feature_options(tmp_path / "s.json", settings), *tables, "--store", tmp_path / "a.zarr"
    )
    assert done.returncode == 2, done.stderr
    assert "old.parquet: no column rotation, stream_index." in done.stderr
    assert "delete it and run again" in done.stderr
    assert "Traceback" not in done.stderr
