"""What is said before the first job: everything that is missing, and what the rest will cost."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from models.systems.calce import config as calce_config
from workflow_scripts.lib.configuration.compose import Configuration, module_names
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction import gpus
from workflow_scripts.lib.planning import training_costs
from workflow_scripts.lib.planning.costs import Costs
from workflow_scripts.lib.planning.feature_costs import (
    MULTIPLY_ADDS,
    RECOGNISED,
    frames_per_second,
    memory_needed,
    rows_per_second,
)
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.planning.preflight import refusal
from workflow_scripts.lib.planning.training_costs import training_lines
from workflow_scripts.lib.planning.training_hours import hours_of

CONFIG = Path(__file__).resolve().parents[2] / "config"
QUERIES = [{"video": f"{name}.mp4", "query": "a dog", "start": 0.0, "end": 2.0, "duration": 3600.0} for name in "abcd"]
MINE = {"videos": "videos", "annotations": {"files": {"test": "queries.jsonl"}}}
"""Laid over the dataset `clips`, which has a split `test` only."""
FOR_TRAINING = {"files": dict.fromkeys(("train", "val", "test"), "queries.jsonl")}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def annotated(here):
    """A working folder with four annotated videos of an hour, of which none is there."""
    (here / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    return here


def asked(*targets: str, **config) -> tuple[list[str], list[str]]:
    given = {"datasets": {"clips": MINE}} | config
    return Plan(given, CONFIG).preflight.message([f"results/{target}" for target in targets])


def test_annotations_that_are_dated_in_the_future_are_refused_while_planning(annotated):
    path = annotated / "queries.jsonl"
    os.utime(path, (0, time.time() + 3600))
    with pytest.raises(UserError, match=r"queries\.jsonl: is dated [0-9,]+ s in the future, .*`touch queries\.jsonl`"):
        asked("clips/annotations/queries.parquet", "clips/features/clip_tiny/index.parquet")
    os.utime(path)
    asked("clips/features/clip_tiny/index.parquet")


def test_items_and_predictions_that_are_dated_in_the_future_are_refused_while_planning(annotated):
    ahead = (0, time.time() + 3600)
    for name in ("items.json", "answers.jsonl"):
        (annotated / name).write_text("{}")
        os.utime(annotated / name, ahead)
    mine = {**MINE, "annotations": {**MINE["annotations"], "items": ["items.json"]}}
    with pytest.raises(UserError, match=r"items\.json: is dated .*`touch items\.json`"):
        asked("clips/annotations/queries.parquet", datasets={"clips": mine})
    mine = {**MINE, "external": {"mine": {"file": "answers.jsonl", "split": "test"}}}
    with pytest.raises(
        UserError, match=r"answers\.jsonl: is dated .* the metrics made from it .*`touch answers\.jsonl`"
    ):
        Plan({"datasets": {"clips": mine}}, CONFIG).external.file("clips", "mine")


def test_weights_and_checkpoints_that_are_dated_in_the_future_are_refused_while_planning(annotated):
    weights = Plan({}, CONFIG).features.weights("demo", "cnn14")[0]
    for name in (weights, "published.pt"):
        path = annotated / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, time.time() + 3600))
    with pytest.raises(UserError, match=rf"{weights}: is dated .* the rows made from it .*`touch {weights}`"):
        Plan({}, CONFIG).features.weights("demo", "cnn14")
    plan = Plan({"systems": {"mrnet": {"checkpoint_file": "published.pt"}}}, CONFIG)
    with pytest.raises(UserError, match=r"published\.pt: is dated .* the checkpoint made from it .*`touch publ"):
        plan.systems.checkpoint_file("charades", "mrnet")


def test_everything_that_a_fresh_clone_lacks_is_named_at_once(here, monkeypatch):
    monkeypatch.setattr(gpus, "DRIVER_FILES", ())
    blocking, lines = asked("qvh/calce/metrics.json")
    assert [text.partition(":")[0] for text in blocking] == ["data/qvh/videos", "calce_stage1 of qvh, calce of qvh"]
    assert "`snakemake --cores 1 results/qvh/fetched/videos.json` fetches qvhilights_videos.tar.gz (" in blocking[0]
    assert "`snakemake --cores 1 results/qvh/youtube/missing.tsv` fetches what YouTube still has" in blocking[0]
    assert "read by calce, calce_stage1" in blocking[0]
    [fetched] = [line for line in lines if line.startswith("fetched by itself")]
    for part in (
        "annotations of qvh_calce: 6 files, 8.38 MB",
        "weights flan_t5_xl: about 9 GB",
        "whisper_small_en_ct2: size not",
    ):
        assert part in fetched
    assert fetched.startswith("fetched by itself, at least 13.9 GB in 15 files:")


def test_files_of_which_nobody_states_a_size_are_not_nothing(here):
    lines = asked("msrvtt/uniq4cap/metrics.json")[1]
    [fetched] = [line for line in lines if line.startswith("fetched by itself")]
    assert fetched.startswith("fetched by itself, size not known in 5 files:")


def test_several_missing_things_are_one_message():
    text = refusal(["a: missing\n     or: fetch it", "b: missing"], ["disk: much"])
    assert text.splitlines() == [
        "2 things are missing that no job can make:",
        "  1. a: missing",
        "     or: fetch it",
        "  2. b: missing",
        "  disk: much",
        "No job was started; `--config preflight=warn` starts them all the same.",
    ]


def test_published_features_need_no_videos(here):
    features, subtitles = asked("hirest/quag_published_features/metrics.json")[0]
    assert features.startswith(
        "config/features/eva_clip_hirest_published.yaml: path: data/hirest/features/eva_clip does not exist; put the "
        "feature files there; read by quag_published_features\n"
        "     `snakemake --cores 1 results/hirest/fetched/eva_clip.json` fetches eva_clip_features.zip (licence: MIT"
    )
    assert "data/hirest/asr does not exist" in subtitles
    assert "`snakemake --cores 1 results/hirest/fetched/asr.json` fetches ASR.zip" in subtitles


def test_who_lacks_videos_is_told_of_systems_that_need_none(here):
    _, lines = asked("hirest/quag/metrics.json")
    assert "without any video, from published features: results/hirest/quag_published_features/metrics.json" in lines
    assert not any("without any video" in line for line in asked("clips/features/clip_b32/index.parquet")[1])
    # What is alike in code only is no way to the same answers.
    assert not any("without any video" in line for line in asked("qvh/zero_shot/metrics.json")[1])


def test_videos_are_counted_and_some_are_enough_to_begin(annotated):
    blocking, _ = asked("clips/features/rgb_histogram/index.parquet")
    assert blocking == [
        "videos: no such folder. Put the videos there, or change `videos` in the dataset's YAML file; read by "
        "rgb_histogram"
    ]
    (annotated / "videos").mkdir()
    (annotated / "videos/other.mp4").touch()
    blocking, _ = asked("clips/features/rgb_histogram/index.parquet")
    assert blocking[0].startswith("videos: none of the annotated videos is there.")
    (annotated / "videos/b.mp4").touch()
    assert asked("clips/features/rgb_histogram/index.parquet") == ([], ["videos of clips: 1 of 4 here"])
    for name in "acd":
        (annotated / f"videos/{name}.mp4").touch()
    assert asked("clips/features/rgb_histogram/index.parquet") == ([], [])


def test_what_is_finished_is_not_asked_for_again(annotated):
    folder = annotated / "results/clips/features/rgb_histogram"
    for shard in Plan({"datasets": {"clips": MINE}}, CONFIG).datasets.shards("clips"):
        (folder / f"{shard}.zarr").mkdir(parents=True)
        (folder / f"{shard}.zarr/zarr.json").touch()
    assert asked("clips/features/rgb_histogram/index.parquet")[0] != []
    (folder / "index.parquet").touch()
    assert asked("clips/features/rgb_histogram/index.parquet") == ([], [])
    shutil.rmtree(folder / "0000.zarr")
    assert asked("clips/features/rgb_histogram/index.parquet")[0] != []


def test_videos_that_are_taken_away_leave_the_lists_as_they_were(annotated):
    (annotated / "videos").mkdir()
    for name in "ab":
        (annotated / f"videos/{name}.mp4").write_text(name)
    plan = Plan({"datasets": {"clips": MINE}}, CONFIG)
    lists = [Path(plan.datasets.shard_list("clips", shard)) for shard in plan.datasets.shards("clips")]
    before = [path.read_text() for path in lists]
    assert "missing" in "".join(before)
    shutil.rmtree(annotated / "videos")
    Plan({"datasets": {"clips": MINE}}, CONFIG).datasets.shards("clips")
    assert [path.read_text() for path in lists] == before


def test_a_checkpoint_of_another_dataset_brings_what_its_training_needs(annotated):
    system = {"checkpoint_from": "demo", "queries": {"kinds": None}, "evaluation": {"group_by": None}}
    config = {"datasets": {"clips": MINE | {"systems": {"img": system}}}}
    plan = Plan(config, CONFIG).preflight
    reading = plan._reading()
    assert reading.add("results/clips/img/metrics.json")
    assert ("demo", "img") in reading.systems
    folder = annotated / "results/demo/img/seed0"
    folder.mkdir(parents=True)
    (folder / "checkpoint.safetensors").touch()
    reading = plan._reading(skips_finished=True)
    reading.add("results/clips/img/metrics.json")
    assert ("demo", "img") not in reading.systems


def test_a_split_that_nobody_has_is_refused_before_anything_is_extracted(annotated):
    message = r"annotations\.files: system img wants a split 'train' as train; there are test\. Add its file, or name"
    system = {"checkpoint_from": None, "queries": {"kinds": None}, "evaluation": {"group_by": None}}
    with pytest.raises(UserError, match=message) as caught:
        asked("clips/img/metrics.json", datasets={"clips": MINE | {"systems": {"img": system}}})
    assert "checkpoint_from" in str(caught.value)
    system = {"checkpoint_from": "demo", "splits": {"test": ["val"]}}
    with pytest.raises(UserError, match="wants a split 'val' as test; there are test"):
        asked("clips/img/metrics.json", datasets={"clips": MINE | {"systems": {"img": system}}})


def test_splits_that_nobody_reads_can_be_left_out(annotated):
    system = {"checkpoint_from": "demo", "queries": {"kinds": None}, "evaluation": {"group_by": None}}
    (annotated / "more.jsonl").write_text((annotated / "queries.jsonl").read_text())
    mine = {"videos": "videos", "annotations": {"files": {"test": "queries.jsonl", "more": "more.jsonl"}}}
    _, lines = asked("clips/img/metrics.json", datasets={"clips": mine | {"systems": {"img": system}}})
    hint = "nothing reads more of clips: `--config 'datasets={clips: {annotations: {only_splits: [test]}}}'` leaves the"
    assert [line for line in lines if "nothing reads" in line] == [f"{hint} videos out"]
    _, lines = asked("clips/img/metrics.json", datasets={"clips": MINE | {"systems": {"img": system}}})
    assert not any("nothing reads" in line for line in lines)


def test_a_split_that_only_the_videos_name_is_known(here):
    assert Plan({}, CONFIG).datasets.splits("msrvtt") == ["train", "test", "val"]
    assert Plan({}, CONFIG).datasets.splits("charades") == ["train", "test"]
    only = {"datasets": {"qvh": {"annotations": {"only_splits": ["val"]}}}}
    assert Plan(only, CONFIG).datasets.splits("qvh") == ["val"]


def test_files_that_a_person_brings_are_asked_for(annotated):
    external = {"mine": {"file": "predictions.jsonl", "split": "test"}}
    blocking, _ = asked("clips/external/mine/metrics.json", datasets={"clips": MINE | {"external": external}})
    expected = "predictions.jsonl: no such prediction file; correct external.mine.file of dataset 'clips'; read by mine"
    assert blocking == [expected]
    system = {"checkpoint_from": None, "checkpoint_file": "best.pt"}
    blocking, _ = asked("clips/mrnet/metrics.json", datasets={"clips": MINE | {"systems": {"mrnet": system}}})
    assert "system mrnet on clips: checkpoint_file: best.pt does not exist" in "".join(blocking)
    assert asked("clips/annotations/queries.parquet") == ([], [])


def test_disk_and_hours_are_estimated_from_the_annotated_hours(annotated, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    (annotated / "videos").mkdir()
    for name in "abcd":
        (annotated / f"videos/{name}.mp4").touch()
    configuration = Configuration({"device": "cpu", "datasets": {"clips": MINE}}, CONFIG)
    datasets = Plan({"device": "cpu", "datasets": {"clips": MINE}}, CONFIG).datasets
    costs = Costs(configuration, datasets, [("clips", "clip_l14"), ("clips", "blip2_frames")])
    # 4 h x 3,600 rows x 81e9 multiply-adds on two cores of 25e9; decoding 4 h at 1 frame per second, 136 times as fast.
    assert costs.time_lines() == ["extraction: very roughly 7 h with 2 cores (clip_l14 6 h); training comes on top"]
    n_bytes = 4 * 150 * 150528
    [line] = costs.disk_lines(fetched=20 * 10**9, free=20 * 10**9)
    assert line.startswith(f"disk: up to {(n_bytes + 4 * 3600 * 768 * 2 + 2e10) / 1e9:.3g} GB before compression")
    assert line.endswith("; THIS IS NOT ENOUGH")
    assert costs.disk_lines(fetched=0, free=10**12) == []


@pytest.mark.parametrize(
    ("name", "changes", "hours"),
    [
        ("calce_stage1", {}, (107, 2.4)),
        ("calce", {}, (60.5, 1.4)),
        ("calce_stage1", {"selection": {"every_epochs": 50}}, (89, 2.4)),
        ("calce_stage1", {"runtime": {"processes": 4}}, (27, 0.6)),
        ("calce_stage1", {"seeds": [0, 1]}, (213, 4.77)),
        # It comes with the 60 frames of Charades-STA.
        ("calce_stage1", {"checkpoint_from": "charades"}, (0, 1.92)),
    ],
)
def test_hours_of_a_long_training_follow_from_queries_and_sizes(name, changes, hours):
    config = {"datasets": {"qvh": {"systems": {name: changes}}}} if changes else {}
    system = Configuration(config, CONFIG).system("qvh", name)
    counts = {"train": 7218, "val": 1550, "test": 1542}
    found = hours_of(system, calce_config.work, counts, is_prior=name == "calce_stage1")
    assert found == pytest.approx(hours, rel=0.02)


def test_small_networks_and_systems_that_say_nothing_have_no_hours(annotated):
    configuration = Configuration({"datasets": {"clips": MINE}}, CONFIG)
    datasets = Plan({"datasets": {"clips": MINE}}, CONFIG).datasets
    assert datasets.query_counts("demo") == {}
    assert sum(datasets.query_counts("clips").values()) == len(QUERIES)
    assert training_lines(configuration, datasets, [("clips", "img"), ("clips", "calce_stage1")]) == []
    demo = Configuration({}, CONFIG).system("demo", "calce")
    assert calce_config.work(calce_config.Config.model_validate(demo.settings)) == (0.0, 0.0)


def test_a_long_training_is_told_before_it_begins(annotated, monkeypatch):
    configuration = Configuration({"datasets": {"clips": MINE}}, CONFIG)
    datasets = Plan({"datasets": {"clips": MINE}}, CONFIG).datasets
    monkeypatch.setattr(type(datasets), "query_counts", lambda *_: {"train": 7218, "val": 1550, "test": 1542})
    monkeypatch.setattr(type(datasets), "has_annotations", lambda *_: True)
    monkeypatch.setattr(training_costs, "has_gpu", lambda device: True)
    assert training_lines(configuration, datasets, [("clips", "calce_stage1"), ("clips", "calce")]) == [
        "calce_stage1 of clips: very roughly training 107 h, validation included, answers 2.4 h with a GPU",
        "calce of clips: very roughly training 60 h, validation included, answers 0.7 h with a GPU",
    ]


def test_a_training_in_fp16_is_not_begun_where_there_is_no_gpu(annotated, monkeypatch):
    target, given = (
        "results/clips/calce_stage1/metrics.json",
        {"datasets": {"clips": MINE | {"annotations": FOR_TRAINING}}},
    )
    monkeypatch.setattr(gpus, "DRIVER_FILES", (str(annotated / "card"),))

    def told(runs_here, **config):
        plan = Plan(given | config, CONFIG)
        return [text for text in plan.preflight.message([target], runs_here)[0] if "fp16" in text]

    [text] = told(True)
    assert text == (
        "calce_stage1 of clips: trained in fp16, whose scaled loss needs a GPU, and this machine has none\n"
        "     `--config 'systems={calce_stage1: {precision: bf16}}'` needs none"
    )
    assert told(True, systems={"calce_stage1": {"precision": "bf16"}}) == []
    # What the machines of a cluster have is not known.
    assert told(False) == []
    [text] = told(False, device="cpu")
    assert "`device: cpu` allows none" in text
    # What is trained already is only asked.
    for seed in Configuration(given, CONFIG).system("clips", "calce_stage1").seeds:
        checkpoint = annotated / f"results/clips/calce_stage1/seed{seed}/checkpoint.safetensors"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
    assert told(True) == []
    checkpoint.unlink()
    (annotated / "card").touch()
    assert told(True) == []


@pytest.mark.parametrize(("feature", "own", "rows"), [("blip2_frames", 2000, 1652), ("clip_b32", 8000, 41)])
def test_a_job_asks_for_its_network_and_for_what_it_holds_of_rows(feature, own, rows):
    described = Configuration({}, CONFIG).feature("qvh", feature)
    assert described.runtime.mem_mb == own
    # A video of 150 frames at 20 bytes a number, and a file of the store; of small rows all of the shard instead.
    assert memory_needed(described, 10148 / 24, 10148, 159) / 1e6 == pytest.approx(rows, abs=1)


@pytest.mark.parametrize(
    ("feature", "frames", "rows"),
    [
        ("clip_b32", 1, 1),
        ("slowfast_r50", 30, 0.5),
        ("i3d_kinetics", 30, 30 / 16),
        ("c3d_fc6", 30, 30 / 8),
        ("i3d_charades", 24, 1),
        ("blip2_frames", 1, 0),
    ],
)
def test_rows_and_frames_of_a_second(feature, frames, rows):
    described = Configuration({}, CONFIG).feature("demo", feature)
    assert frames_per_second(described) == frames
    assert rows_per_second(described) == pytest.approx(rows)


def test_costs_are_known_by_encoders_and_weights_that_there_are():
    assert {name.partition(" ")[0] for name in MULTIPLY_ADDS} <= set(module_names("models.encoders"))
    assert set(RECOGNISED) <= set(Configuration({}, CONFIG).weight_names())


def test_a_mistake_in_one_dataset_stops_no_other(here, tmp_path, caplog):
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    (folder / "datasets/qvh.yaml").write_text("title: [broken\n")
    plan = Plan({}, folder)
    assert plan.downloads.single_files()
    assert "qvh.yaml" in caplog.text
    assert plan.preflight.message(["results/hirest/media/manifest.parquet"])[0]
    with pytest.raises(UserError, match=r"qvh\.yaml"):
        plan.preflight.message(["results/qvh/media/manifest.parquet"])


NUMBERED = {"img_internvideo2", "img_published_clip_slowfast"}
"""Systems whose published rows of queries carry the numbers of Charades."""


NOTHING_TO_LEARN_FROM = {"clips", "hirest_corpus", "hirest_corpus_published"}
NOTHING_TO_LEARN_FROM |= {"activitynet_timelens", "charades_timelens", "qvh_timelens"}


@pytest.mark.parametrize("dataset", sorted({*Configuration({}, CONFIG).known("datasets")} - NOTHING_TO_LEARN_FROM))
def test_every_pair_can_be_asked_for_from_nothing(here, dataset):
    """At full size, with the splits that the dataset has; something is missing, or all is fetched or made here."""
    plan = Plan({}, CONFIG)
    for system in sorted(set(plan.configuration.known("systems")) - NUMBERED):
        blocking, lines = plan.preflight.message([f"results/{dataset}/{system}/metrics.json"])
        assert blocking or lines or dataset.startswith("demo"), system


def test_archives_that_fill_a_folder_together_are_all_named(here):
    [blocking], _ = asked("qvh/zero_shot_captions/metrics.json")
    for split in ("val", "test"):
        assert f"`snakemake --cores 1 results/qvh/fetched/vtggpt_captions_{split}.json` fetches {split}.zip" in blocking


def test_mrnet_on_activitynet_needs_the_videos_and_no_file_that_somebody_has_to_make(here):
    blocking, _ = asked("activitynet/mrnet/metrics.json")
    assert [text.partition(":")[0] for text in blocking] == ["data/activitynet/videos"]
    (here / "weights").mkdir()
    (here / "weights/c3d_pca500.safetensors").touch()
    assert "c3d_pca500" not in asked("activitynet/mrnet/metrics.json")[0][0]
