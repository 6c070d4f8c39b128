"""A folder alone is a dataset: what is planned for it, and the tables that are made of it."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.importing import import_source
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning import dataset_plan
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.store.shards import read_shard_list
from workflow_scripts.lib.store.tables import write_table

CONFIG = Path(__file__).resolve().parents[2] / "config"
VIDEOS = ("b c.mp4", "it's/a.TS")
MANIFEST = "results/mine/media/manifest.parquet"
SCHEMA = pa.schema([("video_id", pa.string()), ("status", pa.string()), ("duration_s", pa.float64())])


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Return a function that plans in a working folder with two videos and a dataset `mine`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIG, tmp_path / "config")
    for name in VIDEOS:
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "videos" / name).write_text(name)

    def make(more=""):
        (tmp_path / "config/datasets/mine.yaml").write_text(f"title: Mine\nvideos: videos\n{more}")
        return Plan({"device": "cpu"}, tmp_path / "config")

    return make


def write_manifest(**durations):
    rows = [
        {"video_id": name, "status": "ok" if seconds else "unreadable", "duration_s": seconds}
        for name, seconds in durations.items()
    ]
    write_table(Path(MANIFEST), pa.Table.from_pylist(rows, SCHEMA))


def test_the_list_of_the_folder_stands_in_for_annotations(plan):
    datasets = plan().datasets
    assert datasets.shards("mine") == ["0000"]
    listed = read_shard_list(datasets.shard_list("mine", "0000"))
    assert {video_id: entry.split(":", 2)[2] for video_id, entry in listed.items()} == {
        "b c": "b c.mp4",
        "it's/a": "it's/a.TS",
    }
    assert datasets.video_ids("mine") == ["b c", "it's/a"]
    assert datasets.splits("mine") == ["test"]
    assert datasets.has_annotations("mine")
    assert datasets.found_videos("mine") == (2, 2)
    assert datasets.annotation_files("mine") == datasets.durations_from("mine") == [MANIFEST]
    source = datasets.annotation_source("mine")
    assert (source["format"], source["files"], source["items"]) == ("folder", [["test", MANIFEST]], [])
    assert plan("annotations: {split: val}\n").datasets.splits("mine") == ["val"]


def test_a_folder_is_listed_once_for_what_is_said_and_for_what_is_planned(plan, monkeypatch):
    datasets = plan().datasets
    assert datasets.found_videos("mine") == (2, 2)
    monkeypatch.setattr(dataset_plan, "list_videos", None)
    assert datasets.shards("mine") == ["0000"]
    assert datasets.found_videos("mine") == (2, 2)


@pytest.mark.parametrize("more", ["", "annotations: {format: plain, files: {test: queries.csv}}\n"])
def test_a_job_on_a_cluster_takes_the_lists_of_the_main_process_for_true(plan, tmp_path, monkeypatch, more):
    (tmp_path / "queries.csv").write_text("video,query\nb c.mp4,a dog\nit's/a.TS,a cat\n")
    shard_list = plan(more).datasets.shard_list("mine", "0000")
    listed, known = read_shard_list(shard_list), Path(shard_list).stat().st_mtime_ns
    for name in VIDEOS:
        (tmp_path / "videos" / name).write_text("changed meanwhile")

    def refuse(*_):
        raise AssertionError("the folder of videos is looked at")

    with monkeypatch.context() as patch:
        for function in ("list_videos", "videos_in"):
            patch.setattr(f"workflow_scripts.lib.planning.dataset_plan.{function}", refuse)
        trusting = Plan({"device": "cpu"}, tmp_path / "config", trusts_lists=True).datasets
        assert trusting.shards("mine") == ["0000"]
        assert trusting.video_ids("mine") == ["b c", "it's/a"]
    assert (read_shard_list(shard_list), Path(shard_list).stat().st_mtime_ns) == (listed, known)
    Path(shard_list).unlink()
    assert Plan({"device": "cpu"}, tmp_path / "config", trusts_lists=True).datasets.shards("mine") == ["0000"]
    assert read_shard_list(shard_list) != listed


def test_videos_are_read_for_durations_until_they_are_probed(plan):
    assert plan().datasets.takes_durations_from_videos("mine")
    write_manifest(**{"b c": 1800.0, "it's/a": 600.0})
    assert not plan().datasets.takes_durations_from_videos("mine")


def test_hours_are_known_once_the_videos_are_probed(plan):
    assert plan().datasets.hours("mine") == 0
    write_manifest(**{"b c": 1800.0, "it's/a": None})
    assert plan().datasets.hours("mine") == 0.5


def test_nothing_is_missing_before_the_first_job(plan):
    targets = [
        "features/clip_tiny/index.parquet",
        "transcripts/whisper_tiny_en/index.parquet",
        "media/manifest.parquet",
    ]
    assert plan().preflight.message([f"results/mine/{target}" for target in targets]) == ([], [])


def test_a_folder_that_is_away_leaves_what_was_listed_and_one_never_seen_is_named(plan, tmp_path):
    before = read_shard_list(plan().datasets.shard_list("mine", "0000"))
    (tmp_path / "videos").rename(tmp_path / "away")
    again = plan()
    assert read_shard_list(again.datasets.shard_list("mine", "0000")) == before
    blocking, _ = again.preflight.message([MANIFEST])
    assert blocking[0].startswith("videos: no such folder. Put the videos there")
    shutil.rmtree(tmp_path / "results")
    with pytest.raises(UserError, match="videos: no such folder"):
        plan().datasets.shards("mine")
    assert not (tmp_path / "results/mine/shards.json").exists()


def test_a_video_that_comes_touches_its_shard_only(plan, tmp_path):
    two = "n_shards: 2\n"
    lists = [Path(plan(two).datasets.shard_list("mine", shard)) for shard in ("0000", "0001")]
    before = [path.read_text() for path in lists]
    (tmp_path / "videos/new.mkv").touch()
    plan(two).datasets.shards("mine")
    changed = [path.read_text() != text for path, text in zip(lists, before, strict=True)]
    assert sorted(changed) == [False, True]


def test_the_tables_hold_the_videos_and_nothing_about_them(plan, tmp_path):
    write_manifest(**{"b c": 12.0, "broken": None, "it's/a": 3.0})
    source = plan().datasets.annotation_source("mine")
    annotations, left_out = import_source(source, "mine", Path(MANIFEST), strict=False)
    assert [(row["video_id"], row["duration_s"], row["split"]) for row in annotations.videos] == [
        ("b c", 12.0, ["test"]),
        ("it's/a", 3.0, ["test"]),
    ]
    assert (annotations.queries, left_out) == ([], [])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("annotations: {files: {test: q.csv}}\n", r"the format 'folder' has no `files`; name the format of these"),
        ("annotations: {format: plain}\n", r"the format 'plain' needs `files`: the annotation file of every split"),
    ],
)
def test_files_without_a_format_and_a_format_without_files_are_refused(plan, tmp_path, more, message):
    plan(more)
    with pytest.raises(UserError, match=rf"mine\.yaml: annotations: {message}"):
        Configuration({}, tmp_path / "config").dataset("mine")
