"""What can be fetched is stated once per file, and what is stated wrongly is named."""

import shutil
from pathlib import Path

import pytest
import yaml

from workflow_scripts import list_downloads
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.needs import data_needed, weights_needed
from workflow_scripts.lib.planning.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
NOT_PUBLISHED = ("demo", "demo_tasks", "clips")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [n for n in Configuration({}, CONFIG).known("datasets") if n not in NOT_PUBLISHED])
def test_every_annotation_file_of_a_benchmark_says_where_it_comes_from(name):
    loaded = Configuration({}, CONFIG)
    files = loaded.dataset(name).annotations.files.values()
    assert [path for path in files if path not in loaded.single_downloads()] == []


def test_no_place_is_the_target_of_two_downloads():
    loaded = Configuration({}, CONFIG)
    places = [each.to for name in loaded.known("datasets") for each in loaded.dataset(name).downloads.values()]
    assert sorted(places) == sorted(set(places))


def test_repository_files_are_pinned_and_checked():
    loaded = Configuration({}, CONFIG)
    every = [each for name in loaded.known("datasets") for each in loaded.dataset(name).downloads.values()]
    raw = [each for each in every if each.url and "raw.githubusercontent.com" in each.url]
    assert len(raw) > 20
    assert [each.url for each in raw if len(each.url.split("/")[5]) != 40] == []
    # The one file of which no copy was at hand.
    unchecked = [each.to for each in raw if each.sha256 == "unverified"]
    assert unchecked == ["data/activitynet_speech/annotations/new_train_data.json"]


@pytest.mark.parametrize(
    ("download", "message"),
    [
        ({"licence": "MIT", "to": "data/x"}, "needs a `url`, or a `page`"),
        ({"licence": "MIT", "to": "/data/x", "url": "https://a/b.zip"}, "a path below the working folder"),
        ({"licence": "MIT", "to": "data/../../x", "url": "https://a/b.zip"}, "a path below the working folder"),
        ({"licence": "MIT", "to": "data/x", "page": "https://a", "unpack": "tree"}, "does not end with a file name"),
        ({"licence": "MIT", "to": "data/x", "url": "ftp://a/b.zip"}, "url"),
        ({"to": "data/x", "url": "https://a/b.zip"}, "licence"),
        ({"licence": "MIT", "to": "data/x", "url": "https://a/b.zip", "sha256": "abc"}, "sha256"),
        ({"licence": "MIT", "to": "data/x", "url": "https://a/b.zip", "unpak": "flat"}, 'did you mean "unpack"'),
    ],
)
def test_a_mistake_in_a_download_is_named(download, message):
    loaded = Configuration({"datasets": {"qvh": {"downloads": {"mine": download}}}}, CONFIG)
    with pytest.raises(UserError) as caught:
        loaded.dataset("qvh")
    assert message in str(caught.value)
    assert "downloads.mine" in str(caught.value)


def test_a_missing_annotation_file_is_asked_for_before_more_is_planned(here):
    asked = []

    class Waiting(Exception):
        pass

    def fetch_first(path):
        asked.append(path)
        raise Waiting

    (here / "data/qvh/videos").mkdir(parents=True)
    with pytest.raises(Waiting):
        Plan({}, CONFIG, fetch_first).datasets.shards("qvh")
    assert asked == ["data/qvh/annotations/highlight_train_release.jsonl"]


def test_outside_of_the_rules_the_message_names_the_command(here):
    (here / "data/qvh/videos").mkdir(parents=True)
    with pytest.raises(UserError, match=r"`snakemake --cores 1 data/qvh/annotations/highlight_train_release\.jsonl`"):
        Plan({}, CONFIG).datasets.shards("qvh")


@pytest.mark.parametrize(
    ("dataset", "hint"),
    [
        ("qvh", "`snakemake --cores 1 results/qvh/fetched/videos.json` fetches qvhilights_videos.tar.gz (licence: "),
        ("charades_tvr", "`snakemake --cores 1 results/charades/fetched/videos.json` fetches Charades_v1.zip"),
        ("hirest", "`snakemake --cores 1 results/hirest/youtube/missing.tsv` fetches what YouTube still has"),
        ("tacos", "unpacks an archive that you put at data/tacos/mpii_cooking_composite_videos.tar.gz"),
    ],
)
def test_missing_videos_are_answered_with_how_to_get_them(here, dataset, hint):
    with pytest.raises(UserError) as caught:
        Plan({}, CONFIG).datasets.shards(dataset)
    assert hint in str(caught.value)


def test_missing_features_are_answered_with_the_archive_that_holds_them(here, tmp_path):
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    feature = {
        "description": "published",
        "kind": "visual",
        "source": "import",
        "path": "data/hirest/features/eva_clip/eva_clip_features",
        "layout": "npy",
        "id_pattern": "{video_id}.npy",
        "times": 1.0,
    }
    (folder / "features/hirest_eva.yaml").write_text(yaml.safe_dump(feature))
    with pytest.raises(UserError, match=r"results/hirest/fetched/eva_clip\.json` fetches eva_clip_features\.zip"):
        Plan({}, folder).features.import_source("hirest", "hirest_eva", "0")


def test_the_parts_of_weights_are_listed_with_them(here):
    target = "results/demo/transcripts/whisper_small_en/index.parquet"
    needed = weights_needed(Configuration({"needed_by": target}, CONFIG))
    assert {Path(need.place).name for need in needed} == {
        "model.bin",
        "config.json",
        "tokenizer.json",
        "vocabulary.txt",
    }
    vggish = weights_needed(Configuration({"needed_by": "results/demo/features/vggish/index.parquet"}, CONFIG))
    assert [need.name for need in vggish] == ["vggish", "vggish_pca"]


def test_only_what_a_target_needs_is_listed(here):
    needed = weights_needed(Configuration({"needed_by": "results/qvh/features/clip_b32/index.parquet"}, CONFIG))
    assert [(need.name, need.used_by) for need in needed] == [("clip_vit_b32", "clip_b32")]
    system = weights_needed(Configuration({"needed_by": "results/demo/img/metrics.json"}, CONFIG))
    assert [need.name for need in system] == ["all_minilm_l6_v2"]
    assert weights_needed(Configuration({"needed_by": "results/qvh/annotations/queries.parquet"}, CONFIG)) == []
    data = data_needed(Configuration({"needed_by": "results/charades_am/img/metrics.json"}, CONFIG))
    assert [need.place for need in data][:2] == [
        "data/charades/annotations/charades_sta_train_qid.txt",
        "data/charades_am/annotations/charades_audiomatter_qid.txt",
    ]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ({}, "no"),
        ({"net.pth": b"12345"}, "yes"),
        ({"net.pth": b"123"}, "wrong size: 3 B"),
        ({"net.pth.gz": b"1"}, "yes"),
        ({"net.pth.part": b"1234"}, "4 B of it"),
    ],
)
def test_the_list_says_what_is_here(here, made, expected):
    for name, content in made.items():
        (here / name).write_bytes(content)
    assert list_downloads.presence({"place": "net.pth", "size": 5}) == expected


def test_an_empty_folder_counts_as_nothing(here):
    (here / "videos").mkdir()
    assert list_downloads.presence({"place": "videos", "size": None}) == "no"
    (here / "videos/a.mp4").touch()
    assert list_downloads.presence({"place": "videos", "size": None}) == "yes"


def test_sizes_are_readable():
    assert [list_downloads.readable(size) for size in (None, 5, 90868376, 2 * 10**9)] == [
        "unknown",
        "5 B",
        "90.9 MB",
        "2 GB",
    ]
