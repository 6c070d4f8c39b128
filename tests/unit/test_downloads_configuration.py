"""What can be fetched is stated once per file, and what is stated wrongly is named."""

import json
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from workflow_scripts import list_downloads
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.needs import Need
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.planning.sizes import readable_size, stated_bytes

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
    every = [each for name in loaded.known("datasets") for each in loaded.dataset(name).downloads.values()]
    # A dataset that extends another offers the same files.
    offered = {(each.to, each.url or each.page) for each in every}
    assert len(offered) == len({place for place, _ in offered})


PREDICTED = ("moment_detr", "moment_detr_clip", "qd_detr", "qd_detr_audio", "qd_detr_clip", "cg_detr", "cg_detr_clip")
PREDICTED += ("cg_detr_test", "vtg_gpt")


def test_repository_files_are_pinned_and_checked():
    loaded = Configuration({}, CONFIG)
    every = [each for name in loaded.known("datasets") for each in loaded.dataset(name).downloads.values()]
    raw = [each for each in every if each.url and "raw.githubusercontent.com" in each.url]
    assert len(raw) > 20
    assert [each.url for each in raw if len(each.url.split("/")[5]) != 40] == []
    # Files of which no copy was at hand.
    unchecked = [each.to for each in raw if each.sha256 == "unverified"]
    assert unchecked == [
        "data/activitynet_speech/annotations/new_train_data.json",
        "data/qvh/captions/vtggpt/val",
        "data/qvh/captions/vtggpt/test",
        *(f"data/qvh/predictions/{name}.jsonl" for name in PREDICTED),
        "data/qvh/vtggpt/queries_val.jsonl",
        "data/qvh/vtggpt/queries_test.jsonl",
    ]


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
    [first, *_], _ = Plan({}, CONFIG).preflight.message([f"results/{dataset}/media/manifest.parquet"])
    place = Configuration({}, CONFIG).dataset(dataset).videos
    assert first.startswith(f"{place}: no such folder. Put the videos there")
    assert hint in first


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


def needed(kind: str, target: str) -> list[Need]:
    """Return what a target needs, as `snakemake weights` and `snakemake data` list it."""
    rows = json.loads(Path(Plan({"needed_by": target}, CONFIG).preflight.listing(kind)).read_text())
    return [Need(**{name: value for name, value in row.items() if name != "is_here"}) for row in rows]


def test_the_parts_of_weights_are_listed_with_them(here):
    whisper = needed("weights", "results/demo/transcripts/whisper_small_en/index.parquet")
    assert {Path(need.place).name for need in whisper} == {
        "model.bin",
        "config.json",
        "tokenizer.json",
        "vocabulary.txt",
    }
    vggish = needed("weights", "results/demo/features/vggish/index.parquet")
    assert [need.name for need in vggish] == ["weights vggish", "weights vggish_pca"]


def test_only_what_a_target_needs_is_listed(here):
    feature = needed("weights", "results/qvh/features/clip_b32/index.parquet")
    assert [(need.name, need.used_by) for need in feature] == [("weights clip_vit_b32", "clip_b32")]
    assert [need.name for need in needed("weights", "results/demo/img/metrics.json")] == ["weights all_minilm_l6_v2"]
    assert needed("weights", "results/qvh/annotations/queries.parquet") == []
    data = needed("data", "results/charades_am/img/metrics.json")
    assert [need.place for need in data] == [
        "data/charades/annotations/charades_sta_train_qid.txt",
        "data/charades_am/annotations/charades_audiomatter_qid.txt",
        "data/charades/annotations/charades.json",
        "data/charades/videos",
    ]


def test_published_features_stand_for_the_videos(here):
    places = [need.place for need in needed("data", "results/hirest/quag_published_features/metrics.json")]
    assert places[-2:] == ["data/hirest/features/eva_clip", "data/hirest/asr"]
    assert "data/hirest/videos" not in places


def test_the_list_of_one_target_is_not_that_of_another(here):
    for target in ("results/qvh/img/metrics.json", "results/tacos/mrnet/metrics.json"):
        needed("data", target)
    assert len(list((here / "results/needed").iterdir())) == 2


def test_a_target_of_no_dataset_is_refused(here):
    with pytest.raises(UserError, match="needed_by: 'hirest' is no target of a dataset"):
        needed("data", "hirest")


NET = Need("net", "net.pth", size=5, used_by="img", ways=("snakemake --cores 1 net.pth", "ask for it"))


@pytest.mark.parametrize(
    ("changes", "part", "expected"),
    [
        ({}, None, "net · not here · 5 B · read by img"),
        ({"n_here": 1}, None, "net · here · 5 B · read by img"),
        ({}, b"1234", "net · 4 B of it here · 5 B · read by img"),
        ({"n_here": 1, "n_all": 10148}, None, "net · 1 of 10,148 here · 5 B · read by img"),
        ({"n_here": 7, "n_all": None}, None, "net · 7 files here · 5 B · read by img"),
        ({"n_here": 1, "wrong": "3 B too many"}, None, "net · 3 B too many · 5 B · read by img"),
        ({"size": None, "about": "2 GB"}, None, "net · not here · about 2 GB · read by img"),
        ({"size": None, "used_by": ""}, None, "net · not here · unknown"),
    ],
)
def test_the_list_says_what_is_here(here, changes, part, expected):
    if part:
        (here / "net.pth.part").write_bytes(part)
    need = replace(NET, **changes)
    head, place, *ways = list_downloads.paragraph(asdict(need) | {"is_here": need.is_here})
    assert head == expected
    assert place == "    net.pth"
    assert ways == ([] if need.is_here else ["    snakemake --cores 1 net.pth", "    or: ask for it"])


def test_the_list_fits_a_terminal_and_sums_rough_sizes_too(here, capsys, monkeypatch):
    rows = [replace(NET, ways=("word " * 60,)), replace(NET, size=None, about="2 GB"), replace(NET, size=None)]
    (here / "rows.json").write_text(json.dumps([asdict(row) | {"is_here": row.is_here} for row in rows]))
    monkeypatch.setattr(sys, "argv", ["list_downloads", "rows.json"])
    list_downloads.main()
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "3 listed, 3 not here: 2 GB and 1 whose size is not known"


def test_a_file_of_a_wrong_size_is_not_taken_for_the_file(here):
    path = here / "data/hirest/annotations/all_data_val.json"
    path.parent.mkdir(parents=True)
    path.write_text("half of it")
    [val] = [need for need in needed("data", "results/hirest/img/metrics.json") if need.place.endswith("val.json")]
    assert (val.is_here, val.blocks) == (False, True)
    assert val.wrong == "data/hirest/annotations/all_data_val.json has 10 bytes instead of 108,730; delete it"


def test_sizes_are_readable():
    assert [readable_size(size) for size in (None, 5, 90868376, 2 * 10**9)] == ["unknown", "5 B", "90.9 MB", "2 GB"]
    assert [stated_bytes(about) for about in (None, "a lot", "55 GB", "1.5 kB")] == [0, 0, 55 * 10**9, 1500]
