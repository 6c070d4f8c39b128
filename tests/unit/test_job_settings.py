"""What rules tell their jobs is in files whose digest says when a job runs again."""

import json
import re
from pathlib import Path

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.settings_file import read_feature_settings
from workflow_scripts.lib.planning.job_settings import DECISIVE
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.store.settings_files import read_settings

AWKWARD = 'it\'s "a" $(folder)'
EVERY_RULE = [
    ("make_demo", {"dataset": "demo"}, "demo/source/settings.json"),
    ("check_annotations", {"dataset": "qvh"}, "qvh/annotations/settings.json"),
    ("import_annotations", {"dataset": "qvh"}, "qvh/annotations/settings.json"),
    ("probe_media", {"dataset": "qvh"}, "qvh/media/settings.json"),
    (
        "sample_frames",
        {"dataset": "demo", "sampling": "ffmpeg_fps-rate-2"},
        "demo/frames/ffmpeg_fps-rate-2/settings.json",
    ),
    (
        "sample_images",
        {"dataset": "charades", "feature": "i3d_flow_charades"},
        "charades/images/i3d_flow_charades/settings.json",
    ),
    ("list_youtube", {"dataset": "hirest"}, "hirest/youtube/ids.settings.json"),
    ("fetch_youtube", {"dataset": "hirest"}, "hirest/youtube/missing.settings.json"),
    ("fetch_folder", {"dataset": "qvh", "download": "videos"}, "qvh/fetched/videos.settings.json"),
    ("fetch_annotations", {"dataset": "qvh", "download": "train"}, "qvh/fetched/train.settings.json"),
    ("fetch_weights", {"weights": "clip_vit_b32"}, "weights/clip_vit_b32.settings.json"),
]


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """Return a function that makes the plan under other settings, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda **config: Plan(config, ROOT / "config")


@pytest.mark.parametrize(("rule", "names", "place"), EVERY_RULE, ids=lambda value: str(value)[:24])
def test_every_job_reads_what_its_key_stands_for(plan, rule, names, place):
    jobs = plan().jobs
    path = jobs.file(rule, **names)
    assert path == f"results/{place}"
    decisive = DECISIVE.get(rule)
    settings = read_settings(Path(path), jobs.key(rule, **names), decisive)
    assert settings
    changed = {**settings, next(iter(decisive or settings)): "another"}
    Path(path).write_text(json.dumps(changed))
    with pytest.raises(UserError, match=r"no longer the settings that this job was started for .* start the workflow"):
        read_settings(Path(path), jobs.key(rule, **names), decisive)


def test_the_table_of_the_test_names_every_rule_with_settings():
    text = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    assert {rule for rule, _, _ in EVERY_RULE} == set(re.findall(r'PLAN\.jobs\.(?:file|key)\(\s*"(\w+)"', text))


PLAIN_WORDS = {"params.key", "params.n_shards", "params.times_lost", "params.on_bad_video"}
"""Digests, numbers and words of a closed list, which the shell takes as they are."""


def test_every_path_in_the_command_of_a_rule_is_quoted():
    fields = {
        field
        for path in (ROOT / "rules").glob("*.smk")
        for field in re.findall(r"\{((?:input|output|log|params)[^}]*)\}", path.read_text())
    }
    assert {field for field in fields if not field.endswith(":q")} == PLAIN_WORDS


def test_settings_that_are_not_there_are_answered_with_what_writes_them(tmp_path):
    with pytest.raises(UserError, match=r"no such settings file; `snakemake -n` for the target"):
        read_settings(tmp_path / "settings.json", "0")


def test_only_the_jobs_of_a_setting_have_another_key(plan):
    def keys(**clips):
        made = plan(datasets={"clips": clips})
        jobs = {
            rule: made.jobs.key(rule, dataset="clips")
            for rule in ("import_annotations", "list_youtube", "fetch_youtube", "probe_media")
        }
        features = {name: made.features.key("clips", name) for name in ("clip_tiny", "cnn14_tiny", "minilm_tokens")}
        return jobs | features

    def changed(**clips):
        after = keys(on_youtube=True, **clips)
        return {name for name, key in keys(on_youtube=True).items() if key != after[name]}

    assert changed(title="other words", n_shards=7, on_bad_video="fail") == set()
    assert changed(annotations={"files": {"test": AWKWARD}}) == {"import_annotations", "list_youtube"}
    assert changed(annotations={"items": [AWKWARD]}) == {"import_annotations"}
    assert changed(extensions=["avi"]) == {"probe_media", "fetch_youtube"}
    assert changed(videos=AWKWARD) == {"probe_media", "fetch_youtube", "clip_tiny", "cnn14_tiny"}


def test_only_the_steps_of_a_system_that_a_setting_decides_have_another_key(plan):
    def keys(**img):
        systems = plan(systems={"img": img}).systems
        asked = (systems.train_key, systems.prediction_key, systems.evaluation_key)
        return dict(zip(("train", "predict", "evaluate"), (key("demo", "img") for key in asked), strict=True))

    def changed(**img):
        after = keys(**img)
        return {name for name, key in keys().items() if key != after[name]}

    assert changed(runtime={"num_workers": 2}, title="other words") == set()
    assert changed(settings={"train": {"epochs": 3}}) == changed(precision="bf16") == {"train"}
    assert changed(selection={"patience": 3}) == {"train"}
    assert changed(evaluation={"group_by": None}) == {"evaluate"}
    assert changed(evaluation={"batch_size": 3}) == {"predict", "evaluate"}


def test_a_name_of_any_form_arrives_as_it_was_written(plan):
    files = {"test": f"data/{AWKWARD}/queries 1=2.jsonl"}
    jobs = plan(datasets={"clips": {"videos": AWKWARD, "annotations": {"files": files}}}).jobs
    names = {"dataset": "clips"}
    probe = read_settings(Path(jobs.file("probe_media", **names)), jobs.key("probe_media", **names))
    source = read_settings(Path(jobs.file("import_annotations", **names)), jobs.key("import_annotations", **names))
    assert (probe["videos"], source["files"]) == (AWKWARD, [["test", files["test"]]])


def test_splits_keep_their_order_which_is_that_of_the_tables(plan):
    jobs, names = plan().jobs, {"dataset": "demo"}
    source = read_settings(Path(jobs.file("import_annotations", **names)), jobs.key("import_annotations", **names))
    assert [split for split, _ in source["files"]] == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("feature", "folder"),
    [
        ("clip_tiny", "videos"),
        ("cnn14_tiny", "videos"),
        ("whisper_tiny_en", "videos"),
        ("wav2vec2_tiny", "sounds"),
        ("i3d_flow_charades", "flow"),
        ("minilm_tokens", None),
        ("asr_minilm_tiny", None),
        ("c3d_charades_published", None),
    ],
)
def test_a_feature_is_told_where_what_it_sees_or_hears_is(plan, feature, folder):
    own = {"videos": "videos", "query_audio": "sounds", "features": {"i3d_flow_charades": {"images": {"path": "flow"}}}}
    features = plan(datasets={"clips": own}).features
    settings = read_feature_settings(Path(features.settings("clips", feature)), features.key("clips", feature))
    assert settings["folder"] == folder


def test_runtime_and_device_leave_the_key_of_a_feature(plan):
    def key(**config):
        return plan(**config).features.key("demo", "clip_tiny")

    assert key() == key(device="cpu", features={"clip_tiny": {"runtime": {"batch_size": 3}, "description": "x"}})
    assert key() != key(features={"clip_tiny": {"sampling": {"rate": 1}}})


def test_other_words_of_the_demo_make_its_annotation_files_anew(plan, monkeypatch):
    before = plan().jobs.key("make_demo", dataset="demo")
    monkeypatch.setattr("workflow_scripts.lib.planning.dataset_plan.WORDS_VERSION", 0)
    assert plan().jobs.key("make_demo", dataset="demo") != before
