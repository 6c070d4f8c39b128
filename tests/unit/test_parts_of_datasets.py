"""Datasets of which only a part is there or wanted: published rows without videos, some splits; splits for all."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from tests.unit.made_results import make_results
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.datasets.durations import fill_from_rows
from workflow_scripts.lib.datasets.importing import import_source
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.training.data import read_training_data
from workflow_scripts.lib.training.prior import PriorResults
from workflow_scripts.lib.training.published_checkpoints import warn_of_other_inputs
from workflow_scripts.lib.training.reader import Reader

CONFIG = Path(__file__).resolve().parents[2] / "config"


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def source(tmp_path, **more):
    files = [
        ["test", lines(tmp_path / "test.jsonl", {"video": "a.mp4", "query": "x"}, {"video": "b.mp4", "query": "y"})],
        ["val", lines(tmp_path / "val.jsonl", {"video": "b.mp4", "query": "z"}, {"video": "c.mp4", "query": "w"})],
    ]
    return {"format": "plain", "files": files, "items": [], **more}


def published_rows(tmp_path, **n_rows):
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, n in n_rows.items():
        np.save(folder / f"{name}.npy", np.zeros((n, 3), np.float32))
    return {"path": str(folder), "layout": "npy", "key": None, "id_pattern": "{video_id}.npy", "times": 0.5}


def test_published_rows_tell_durations_and_videos_without_rows_are_counted(tmp_path):
    rows = published_rows(tmp_path, a=7, b=20)
    found, left_out = import_source(source(tmp_path, durations_of=rows), "mine", None, strict=False)
    assert {row["video_id"]: row["duration_s"] for row in found.videos} == {"a": 3.5, "b": 10.0}
    assert left_out == [{"split": "val", "kind": None, "reason": "video without rows", "queries": 1}]


def test_stated_durations_stay(tmp_path):
    rows = published_rows(tmp_path, a=7)
    stated = {"video": "a.mp4", "query": "x", "duration": 9.0}
    made = {
        "format": "plain",
        "files": [["test", lines(tmp_path / "t.jsonl", stated)]],
        "items": [],
        "durations_of": rows,
    }
    found, _ = import_source(made, "mine", None, strict=False)
    assert found.videos[0]["duration_s"] == 9.0
    assert fill_from_rows(found, rows) == {}


def test_other_splits_are_left_out_with_their_videos(tmp_path):
    rows = published_rows(tmp_path, a=1, b=2, c=3)
    found, _ = import_source(source(tmp_path, durations_of=rows, only_splits=["val"]), "mine", None, strict=False)
    assert [(row["video_id"], row["split"]) for row in found.videos] == [("b", ["val"]), ("c", ["val"])]
    assert {row["split"] for row in found.queries} == {"val"}


def test_only_the_videos_of_the_wanted_splits_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = dict(source(tmp_path)["files"])
    listed = {}
    for only in (None, ["val"]):
        annotations = {"files": files} if only is None else {"files": files, "only_splits": only}
        datasets = Plan({"datasets": {"clips": {"annotations": annotations}}}, CONFIG).datasets
        listed[str(only)] = datasets.video_ids("clips")
    assert listed == {"None": ["a", "b", "c"], "['val']": ["b", "c"]}


def test_only_features_with_seconds_per_row_tell_durations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for feature in ("clip_b32", "i3d_activitynet_published"):
        annotations = {"files": {"test": "q.jsonl"}, "durations_of": feature}
        datasets = Plan({"datasets": {"clips": {"annotations": annotations}}}, CONFIG).datasets
        with pytest.raises(UserError, match=rf"annotations\.durations_of: {feature} does not tell durations"):
            datasets.annotation_source("clips")


def test_a_system_on_published_features_asks_no_media(tmp_path):
    settings = json.loads(make_results(tmp_path / "made").read_text())
    (tmp_path / "made/media/manifest.parquet").unlink()
    arguments = (tmp_path / "made", settings["config"], settings["recipes"])
    with pytest.raises((UserError, OSError)):
        Reader(*arguments)
    assert len(Reader(*arguments, reads_media=False).read("test").items) > 0
    plan = Plan({}, CONFIG).systems
    assert plan.manifest("charades", "img_published_features") == []
    assert plan.manifest("charades", "img") == ["results/charades/media/manifest.parquet"]
    assert plan.manifest("hirest", "quag_published_features") == []


def test_a_system_that_ranks_a_corpus_reads_its_features_and_annotations(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan({}, CONFIG)
    assert plan.systems.feature_indices("hirest", "zero_shot_eva") == [
        "results/hirest_corpus/features/eva_clip_g_32/index.parquet",
        "results/hirest_corpus/features/eva_clip_g_text/index.parquet",
    ]
    assert plan.systems.manifest("hirest", "zero_shot_eva") == ["results/hirest_corpus/media/manifest.parquet"]
    assert plan.systems.manifest("hirest", "zero_shot_eva_published_features") == []
    content = json.loads(Path(plan.systems.settings("hirest", "zero_shot_eva")).read_text())
    assert (content["videos"], content["annotations"]) == ("hirest_corpus", "hirest_corpus")
    mistyped = Configuration(
        {"systems": {"zero_shot_eva": {"datasets": {"hirest": {"corpus": "hirest_corpse"}}}}}, CONFIG
    )
    with pytest.raises(UserError, match=r"datasets\.hirest\.corpus: unknown dataset 'hirest_corpse'; did you mean"):
        mistyped.system("hirest", "zero_shot_eva")


def test_a_system_that_learns_nothing_needs_no_split_to_learn_from(tmp_path):
    path = make_results(tmp_path / "made")
    settings = json.loads(path.read_text())
    settings["config"] |= {"system": "zero_shot", "settings": {}}
    del settings["config"]["streams"]["audio"]
    settings["config"]["splits"] = {"train": "nowhere", "select": "nowhere", "test": ["test"]}
    data = read_training_data(path, settings, PriorResults(settings, 0))
    assert (data.train.items, data.select.items) == ([], [])
    assert data.stream_dims == {"visual": [6], "text": [5]}


@pytest.mark.parametrize(
    ("dataset", "system", "splits"),
    [
        ("charades", "img", ("test", ("test",))),
        ("charades", "img_clean", ("held_out", ("test",))),
        ("activitynet", "mrnet", ("val_1", ("val_2",))),
        ("activitynet", "img", ("val_1", ("val_1",))),
        ("activitynet", "img_clean", ("held_out", ("val_1",))),
        ("activitynet", "mrnet_clean", ("val_1", ("val_2",))),
        ("qvh", "calce", ("val", ("val", "test"))),
        ("hirest", "mrnet", ("val", ("val",))),
        ("hirest", "mrnet_clean", ("held_out", ("val",))),
        ("hirest", "quag", ("val", ("val", "test_steps"))),
    ],
)
def test_a_dataset_says_what_its_splits_are_for_and_a_clean_system_selects_on_none_that_is_reported(
    dataset, system, splits
):
    found = Configuration({}, CONFIG).system(dataset, system).splits
    assert (found.select, found.test) == splits


def test_a_person_who_selects_on_a_reported_split_is_told_so_under_the_clean_protocol():
    given = {"systems": {"img_clean": {"splits": {"select": "test"}}}}
    with pytest.raises(UserError, match=r"splits\.select: 'test' is reported"):
        Configuration(given, CONFIG).system("charades", "img_clean")


@pytest.mark.parametrize(
    ("read", "others"),
    [
        ({"annotations": "qvh_calce", "transcript": "srt"}, None),
        ({"annotations": "qvh", "transcript": "srt"}, "qvh_calce"),
        ({"annotations": "qvh", "transcript": None}, "srt, qvh_calce"),
    ],
)
def test_a_published_checkpoint_with_other_inputs_warns(caplog, read, others):
    config = {
        "streams": {"visual": {"names": ["frames"]}},
        "transcript": read["transcript"],
        "published_inputs": ["frames", "srt", "qvh_calce"],
    }
    with caplog.at_level(logging.WARNING):
        warn_of_other_inputs({"config": config, "annotations": read["annotations"]})
    if others is None:
        assert caplog.text == ""
    else:
        assert f"OtherInputs: the published checkpoint was trained with {others}, which is not read here" in caplog.text


def test_components_are_fitted_by_a_rule_and_never_asked_of_a_person(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan({}, CONFIG)
    assert plan.downloads.fitted_weights() == ["c3d_fc6_tacos_pca500.safetensors", "c3d_pca500.safetensors"]
    index = "results/activitynet/features/c3d_fc7/index.parquet"
    assert plan.features.fitted_on("c3d_pca500.safetensors") == index


def test_calce_takes_the_published_noun_phrases_unless_its_variant_says_otherwise():
    configuration = Configuration({}, CONFIG)
    wanted = {
        "calce": ("qvh_calce", "whisper_small_en"),
        "calce_own": ("qvh", "whisper_small_en"),
        "calce_published_subtitles": ("qvh_calce", "srt_calce_published"),
    }
    for name, expected in wanted.items():
        for system in (name, configuration.system("qvh", name).prior.system):
            found = configuration.system("qvh", system)
            assert (found.annotations_on("qvh"), found.transcript) == expected
    assert configuration.system("charades", "calce").annotations_on("charades") == "charades_calce"
