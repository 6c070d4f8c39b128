"""Which address is asked for an official one, and that it decides nothing but that."""

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching.mirrors import all_mirrors, mirror_of
from workflow_scripts.lib.planning.plan import Plan

MODEL = "https://huggingface.co/openai/clip/resolve/main/model.safetensors"


def asked(url, configured, environment=None):
    return mirror_of(url, all_mirrors(configured, environment or {}))


@pytest.mark.parametrize("official", ["https://huggingface.co", "https://huggingface.co/"])
@pytest.mark.parametrize("there", ["https://hf.example/hub", "https://hf.example/hub/"])
def test_a_slash_at_the_end_makes_no_difference(official, there):
    assert asked(MODEL, {official: there}) == "https://hf.example/hub/openai/clip/resolve/main/model.safetensors"


def test_the_longest_beginning_counts_whatever_the_order():
    mirrors = {
        "https://huggingface.co/openai/": "file:///models",
        "https://huggingface.co/": "https://hf.example/",
        "https://huggingface.co/openai/clip/resolve/main/config.json": "https://one.example/the.json",
    }
    assert asked(MODEL, mirrors) == "file:///models/clip/resolve/main/model.safetensors"
    assert asked(MODEL, dict(reversed(mirrors.items()))) == "file:///models/clip/resolve/main/model.safetensors"
    assert asked("https://huggingface.co/x", mirrors) == "https://hf.example/x"
    assert (
        asked("https://huggingface.co/openai/clip/resolve/main/config.json", mirrors) == "https://one.example/the.json"
    )


@pytest.mark.parametrize(
    "url", ["https://huggingface.com/x", "https://huggingface.co.example/x", "http://huggingface.co/x"]
)
def test_another_host_that_begins_alike_is_not_meant(url):
    assert asked(url, {"https://huggingface.co": "https://hf.example"}) is None


def test_a_file_without_address_has_no_mirror():
    assert asked(None, {"https://huggingface.co": "https://hf.example"}) is None


def test_the_variable_of_hugging_face_is_a_mirror_and_the_configuration_wins():
    environment = {"HF_ENDPOINT": "https://env.example/"}
    assert asked("https://huggingface.co/x", {}, environment) == "https://env.example/x"
    assert asked("https://huggingface.co/x", {"https://huggingface.co/": "https://mine.example"}, environment) == (
        "https://mine.example/x"
    )
    assert asked("https://zenodo.org/x", {}, environment) is None
    assert asked("https://huggingface.co/x", {}, {"HF_ENDPOINT": ""}) is None
    assert asked("https://huggingface.co/x", {}, {"HF_ENDPOINT": "https://huggingface.co"}) is None


def test_a_variable_that_is_no_address_is_named():
    with pytest.raises(UserError, match=r"HF_ENDPOINT: 'hf\.example' is no address; it begins with https://"):
        all_mirrors({}, {"HF_ENDPOINT": "hf.example"})


@pytest.mark.parametrize(
    "mirrors", [{"https://huggingface.co/": "hf.example"}, {"huggingface.co": "https://hf.example"}]
)
def test_a_mirror_that_is_no_address_is_named_with_its_key(mirrors):
    with pytest.raises(UserError, match=r"^--config: mirrors\.\S+: string should match pattern .*, found '"):
        Configuration({"mirrors": mirrors}, ROOT / "config")


DOWNLOADS = [
    ("fetch_weights", {"weights": "roberta_large"}),
    ("fetch_annotations", {"dataset": "qvh", "download": "train"}),
    ("fetch_folder", {"dataset": "qvh", "download": "videos"}),
]


@pytest.mark.parametrize(("rule", "names"), DOWNLOADS, ids=[rule for rule, _ in DOWNLOADS])
def test_the_mirror_is_told_to_the_job_and_is_not_in_its_key(rule, names, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, mirrored = Plan({}, ROOT / "config"), Plan(world.config(), ROOT / "config")
    assert plain.jobs.key(rule, **names) == mirrored.jobs.key(rule, **names)
    told = {
        "fetch_weights": mirrored.downloads.weights_file,
        "fetch_annotations": mirrored.downloads.single_file,
        "fetch_folder": mirrored.downloads.archive,
    }[rule](**names)
    assert told["mirror"] == world.here(told["source"]["url"])
    monkeypatch.setenv("HF_ENDPOINT", "https://env.example")
    assert (
        Plan({}, ROOT / "config")
        .downloads.weights_file("roberta_large")["mirror"]
        .startswith("https://env.example/Fac")
    )


def test_no_feature_is_made_anew_by_a_mirror(world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, mirrored = Plan({}, ROOT / "config"), Plan(world.config(), ROOT / "config")
    for feature in ("clip_b32", "asr_minilm", "languagebind_video"):
        assert plain.features.key("qvh", feature) == mirrored.features.key("qvh", feature)
