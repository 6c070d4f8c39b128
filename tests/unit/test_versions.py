"""A raised version makes again exactly what its part of the code decides."""

import subprocess

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib import versions
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.versions import UNKNOWN_REVISION, code_revision


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def changed_by(monkeypatch, part, ask) -> set[str]:
    """Return the names whose key is another once a part is raised; `ask` gets a plan and returns name -> key."""
    before = ask(Plan({}, ROOT / "config"))
    with monkeypatch.context() as patch:
        patch.setitem(versions.RAISED, part, versions.version_of(part) + 1)
        after = ask(Plan({}, ROOT / "config"))
    return {name for name, key in before.items() if after[name] != key}


def features(plan: Plan) -> dict[str, str]:
    return {name: plan.features.recipe_digest("demo", name) for name in plan.features.names()}


def of_kind(*kinds: str) -> dict[str, dict]:
    """Return the features of these kinds that are computed here, as the demo has them."""
    plan = Plan({}, ROOT / "config")
    configuration = plan.configuration
    return {name: configuration.feature("demo", name) for kind in kinds for name in plan.features.computed(kind)}


def test_a_raised_sampling_rule_makes_again_the_features_that_sample_by_it_and_no_sound_or_text(monkeypatch):
    visual = of_kind("visual")
    for rule in ("ffmpeg_fps", "windows", "hero_clips"):
        expected = {name for name, feature in visual.items() if feature.sampling.rule == rule}
        assert changed_by(monkeypatch, f"sampling/{rule}", features) == expected
        assert expected


def test_a_raised_resize_rule_or_decoder_makes_again_what_it_touches(monkeypatch):
    visual = of_kind("visual")
    hero = {name for name, feature in visual.items() if feature.resize and feature.resize.rule == "hero"}
    images = {name for name, feature in visual.items() if feature.images}
    assert changed_by(monkeypatch, "resize/hero", features) == hero
    assert changed_by(monkeypatch, "images", features) == images
    assert changed_by(monkeypatch, "frames", features) == visual.keys() - images
    assert hero
    assert images


def test_raised_sound_makes_again_what_is_heard(monkeypatch):
    assert changed_by(monkeypatch, "sound", features) == of_kind("audio", "speech", "spoken").keys()


def test_a_raised_sampling_rule_plans_its_frames_again(monkeypatch):
    def plans(plan):
        samplings = ("ffmpeg_fps-rate-2", "hero_clips")
        keys = {name: plan.jobs.key("sample_frames", dataset="demo", sampling=name) for name in samplings}
        return keys | {"images": plan.jobs.key("sample_images", dataset="charades", feature="i3d_flow_charades")}

    assert changed_by(monkeypatch, "sampling/ffmpeg_fps", plans) == {"ffmpeg_fps-rate-2"}
    assert changed_by(monkeypatch, "images", plans) == {"images"}


def imports(plan: Plan) -> dict[str, str]:
    names = plan.configuration.known("datasets")
    return {name: plan.jobs.key("import_annotations", dataset=name) for name in names}


def test_a_raised_reader_imports_again_the_datasets_that_it_reads(monkeypatch):
    configuration = Plan({}, ROOT / "config").configuration
    formats = {name: configuration.dataset(name).annotations.format for name in configuration.known("datasets")}
    for reader in sorted(set(formats.values())):
        expected = {name for name, source_format in formats.items() if source_format == reader}
        assert changed_by(monkeypatch, f"reader/{reader}", imports) == expected
    assert changed_by(monkeypatch, "annotations", imports) == formats.keys()


def test_a_raised_probe_probes_again_and_imports_nothing(monkeypatch):
    def probes(plan):
        return {"probe": plan.jobs.key("probe_media", dataset="demo")} | imports(plan)

    assert changed_by(monkeypatch, "probe", probes) == {"probe"}


PACKAGES = {
    "baseline": {"baseline"},
    "calce": {"calce", "calce_stage1"},
    "img": {"img", "img_clean"},
    "mrnet": {"mrnet"},
    "quag": {"quag"},
    "uniq4cap": {"uniq4cap", "uniq4cap_align"},
    "zero_shot": {"zero_shot"},
}
SYSTEMS = set().union(*PACKAGES.values())


def systems(key: str):
    """Return a question for a key (`train_key`, `prediction_key`) of systems on the demo."""
    return lambda plan: {name: getattr(plan.systems, key)("demo", name) for name in SYSTEMS}


@pytest.mark.parametrize("package", sorted(PACKAGES.keys() - {"baseline"}))
def test_a_raised_system_is_trained_and_asked_again_and_no_other(monkeypatch, package):
    for key in ("train_key", "prediction_key"):
        assert changed_by(monkeypatch, f"system/{package}", systems(key)) == PACKAGES[package]


def test_a_raised_loop_trains_all_again_and_a_raised_baseline_is_shown_anew_beside_all(monkeypatch):
    assert changed_by(monkeypatch, "training", systems("train_key")) == SYSTEMS
    assert changed_by(monkeypatch, "training", systems("prediction_key")) == set()
    assert changed_by(monkeypatch, "prediction", systems("prediction_key")) == SYSTEMS
    assert changed_by(monkeypatch, "prediction", systems("train_key")) == set()
    assert changed_by(monkeypatch, "system/baseline", systems("prediction_key")) == SYSTEMS
    assert changed_by(monkeypatch, "system/baseline", systems("train_key")) == PACKAGES["baseline"]


def test_code_outside_a_git_repository_has_an_unknown_revision(monkeypatch):
    def no_git(command, **_):
        raise subprocess.CalledProcessError(128, command)

    monkeypatch.setattr(subprocess, "run", no_git)
    assert code_revision.__wrapped__() == UNKNOWN_REVISION


@pytest.mark.parametrize(("status", "revision"), [("", "abc"), (" M file\n", "abc+changes")])
def test_a_revision_tells_of_changes(monkeypatch, status, revision):
    def git(command, **_):
        return subprocess.CompletedProcess(command, 0, status if "status" in command else "abc\n")

    monkeypatch.setattr(subprocess, "run", git)
    assert code_revision.__wrapped__() == revision


def test_corrected_scores_are_computed_again_and_nothing_is_predicted(monkeypatch):
    def keys(plan):
        external = {"predictions": {"file": "predictions.jsonl", "split": "val"}}
        given = Plan({"datasets": {"qvh": {"external": external}}}, ROOT / "config")
        return {
            "evaluate": plan.systems.evaluation_key("demo", "img"),
            "predict": plan.systems.prediction_key("demo", "img"),
            "external": given.external.key("qvh", "predictions"),
        }

    assert changed_by(monkeypatch, "scoring", keys) == {"evaluate", "external"}
