"""Where annotation files are kept, the datasets that are described, and the excerpts in tests/data/annotations."""

import gzip
import json
from pathlib import Path

import pytest

from workflow_scripts.lib.configuration.schema import HELD_OUT
from workflow_scripts.lib.datasets.annotation_tables import add_flags
from workflow_scripts.lib.datasets.readers import known_formats, read_annotations
from workflow_scripts.lib.datasets.source_files import content_sha256, read_text, stored_path
from workflow_scripts.lib.datasets.validation import count_flags, validate_annotations
from workflow_scripts.lib.planning.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
EXCERPTS = ROOT / "tests" / "data" / "annotations"
# Annotated videos, as counted in the published files.
VIDEOS = {
    "qvh": 10148,
    "qvh_calce": 10148,
    "charades": 6672,
    "charades_calce": 6670,
    "charades_tvr": 6670,
    "charades_am": 5338 + 592,
    "charades_am_tvr": 5336 + 592,
    "charades_speech": 6670,
    "activitynet": 10009 + 4917,
    "activitynet_speech": 10009 + 4917,
    "tacos": 127,
    "tacos_speech": 127,
    "hirest": 3375,
    "msrvtt": 10000,
    "msvd": 1970,
    "vatex": 34991,
    "uniq4cap": 135000,
}


def test_a_file_kept_with_gz_is_found_under_its_plain_name(tmp_path):
    path, compressed = tmp_path / "a.json", tmp_path / "a.json.gz"
    assert stored_path(path) == path
    compressed.write_bytes(gzip.compress(b"[1]"))
    assert (stored_path(path), read_text(path)) == (compressed, "[1]")
    assert content_sha256(path) == content_sha256(compressed)
    path.write_text("[2]")
    assert (stored_path(path), read_text(path)) == (path, "[2]")


def test_the_plan_names_the_files_that_are_there(tmp_path):
    videos, source = tmp_path / "videos", tmp_path / "a.jsonl"
    videos.mkdir()
    Path(f"{source}.gz").write_bytes(gzip.compress(b'{"video": "b.mp4", "query": "x"}\n'))
    (tmp_path / "datasets").mkdir()
    settings = {
        "title": "Mine",
        "videos": str(videos),
        "annotations": {"format": "plain", "files": {"test": str(source)}},
    }
    (tmp_path / "datasets" / "mine.yaml").write_text(json.dumps(settings))
    assert Plan({}, tmp_path).datasets.annotation_files("mine") == [f"{source}.gz"]


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "config" / "datasets").glob("*.yaml")))
def test_every_described_dataset_has_a_reader_and_system_settings_that_fit(name):
    plan = Plan({}, ROOT / "config")
    dataset = plan.configuration.dataset(name)
    assert dataset.annotations.format in known_formats()
    for system in dataset.systems:
        settings = plan.configuration.system(name, system)
        used = {*settings.splits.test}
        if settings.checkpoint_from is None:
            used |= {settings.splits.train, settings.splits.select} - {HELD_OUT}
        assert used <= set(dataset.annotations.files)


@pytest.mark.parametrize("name", VIDEOS)
def test_published_datasets_have_a_fixed_number_of_shards(name):
    assert Plan({}, ROOT / "config").configuration.dataset(name).n_shards == round(VIDEOS[name] / 64)


def test_a_hirest_excerpt_reads_with_its_quirks():
    folder = EXCERPTS / "hirest"
    names = {
        "train": "all_data_train.json",
        "test": "all_data_test.json",
        "test_steps": "formatted_moment_evaluation_gt.json",
    }
    found = read_annotations("hirest", {split: folder / name for split, name in names.items()}, "hirest")
    add_flags(found)
    validate_annotations(found)
    assert count_flags(found)["moments zero_length"] == 1
    assert {row["split"] for row in found.moments} == {"train", "test_steps"}
    assert [row["text"] for row in found.steps if row["split"] == "test_steps"] == [
        "boil some milk",
        "Add flavors in it",
        "extract the solid parts",
    ]
    assert any(row["text"].endswith(" ") for row in found.steps)
