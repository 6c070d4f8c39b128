"""Variants of systems: what they take over from their base, what `protocol: clean` means, whose query numbers fit."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from models.systems.img.config import CLEAN
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.configuration.schema import System
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.planning.system_plan import Systems

CONFIG = Path(__file__).resolve().parents[2] / "config"
IMG_VARIANTS = sorted(path.stem for path in (CONFIG / "systems").glob("img*.yaml"))
BENCHMARKS = ["charades", "charades_am", "charades_tvr", "activitynet", "qvh", "hirest", "demo"]


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped configuration with a variant of IMG."""
    shutil.copytree(CONFIG, tmp_path / "config")
    return tmp_path / "config"


def write(folder, name, **content):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def edit(folder, name, **changes):
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes)))


def system(folder, dataset, name, **given):
    return Configuration(given, folder).system(dataset, name)


def test_a_variant_is_its_base_on_the_dataset_and_what_it_changes(folder):
    write(folder, "systems/img_short", extends="img", title="short", settings={"train": {"epochs": 3}})
    base, variant = (system(folder, "demo", name) for name in ("img", "img_short"))
    assert (base.settings["train"]["epochs"], variant.settings["train"]["epochs"]) == (12, 3)
    assert variant.streams == base.streams
    assert variant.settings["network"] == base.settings["network"]


def test_what_a_dataset_says_of_the_variant_itself_wins_over_its_file(folder):
    write(folder, "systems/img_short", extends="img", title="short", settings={"train": {"epochs": 3}})
    edit(folder, "datasets/demo", systems={"img_short": {"settings": {"train": {"epochs": 4}}}})
    assert system(folder, "demo", "img_short").settings["train"]["epochs"] == 4
    given = {"img_short": {"settings": {"train": {"epochs": 5}}}}
    assert system(folder, "demo", "img_short", systems=given).settings["train"]["epochs"] == 5


def test_what_is_given_for_a_base_holds_for_variants_that_say_nothing_else(folder):
    write(folder, "systems/img_short", extends="img", title="short", settings={"train": {"epochs": 3}})
    given = {"img": {"settings": {"train": {"epochs": 7, "batch_size": 5}}}}
    train = system(folder, "demo", "img_short", systems=given).settings["train"]
    assert (train["epochs"], train["batch_size"]) == (3, 5)


def test_a_variant_with_a_foreign_checkpoint_takes_the_settings_it_was_trained_with(folder):
    write(folder, "systems/img_short", extends="img", title="short", settings={"train": {"epochs": 3}})
    assert system(folder, "clips", "img_short").settings == system(folder, "demo", "img_short").settings
    assert system(folder, "clips", "img_short").checkpoint_from == "demo"


def test_a_variant_of_a_feature_takes_over_what_a_dataset_says_of_its_base(folder):
    write(folder, "features/clip_fast", extends="clip_tiny", description="x", resize={"size": 32})
    edit(folder, "datasets/demo", features={"clip_tiny": {"sampling": {"rate": "5"}}})
    fast = Configuration({}, folder).feature("demo", "clip_fast")
    assert (fast.sampling.rate, fast.resize.size) == ("5", 32)


@pytest.mark.parametrize("dataset", BENCHMARKS)
def test_clean_img_is_clean_on_every_benchmark(dataset):
    clean = system(CONFIG, dataset, "img_clean")
    for key, admitted in CLEAN.items():
        section, value = key.split("."), clean.settings
        for part in section:
            value = value[part]
        assert value == admitted[0]
    assert clean.splits.select not in clean.splits.test
    assert clean.streams == system(CONFIG, dataset, "img").streams


def test_published_img_keeps_its_quirks():
    network = system(CONFIG, "charades", "img").settings["network"]
    assert (network["pos_mode"], network["slot_noise"], network["mask_padding"]) == ("batch_index", "random", False)
    assert network["query"] | {"kind": "glove", "vocabulary": "train_and_test"} == network["query"]


def test_a_quirk_is_not_called_clean(folder):
    edit(folder, "systems/img_clean", settings={"network": {"pos_mode": "batch_index"}})
    with pytest.raises(UserError, match=r"img_clean\.yaml: settings\.network\.pos_mode: 'batch_index' is not what"):
        system(folder, "demo", "img_clean")
    edit(folder, "systems/img_clean", settings={"network": {"pos_mode": "none"}})
    assert system(folder, "demo", "img_clean").settings["network"]["pos_mode"] == "none"


def test_clean_does_not_choose_on_what_it_reports(folder):
    edit(folder, "datasets/charades", systems={"img_clean": {"splits": {"select": "test"}}})
    with pytest.raises(UserError, match=r"splits\.select: 'test' is reported, .* or `held_out`"):
        system(folder, "charades", "img_clean")


@pytest.mark.parametrize("name", IMG_VARIANTS)
@pytest.mark.parametrize("dataset", BENCHMARKS)
def test_every_variant_of_img_has_settings_everywhere(name, dataset):
    found = system(CONFIG, dataset, name)
    assert ("text" in found.streams) >= (found.settings["network"]["query"]["kind"] == "tokens")


def test_published_inputs_are_those_of_the_paper():
    charades, activitynet = (system(CONFIG, name, "img") for name in ("charades", "activitynet"))
    assert [stream.names for stream in charades.streams.values()] == [("i3d_charades",), ("cnn14",)]
    assert (charades.settings["loss"]["tau"], charades.settings["loss"]["theta"]) == (3.0, 0.2)
    assert [stream.names for stream in activitynet.streams.values()] == [("i3d_kinetics",), ("vggish",)]
    assert (activitynet.settings["loss"]["tau"], activitynet.settings["loss"]["theta"]) == (2.0, 0.1)
    assert activitynet.settings["data"]["audio_scale"] == 255
    assert system(CONFIG, "charades", "img_internvideo2").settings["network"]["max_steps"] == 64


# Whose query numbers


def test_rows_by_other_query_numbers_are_refused():
    systems = Plan({"systems": {"img_internvideo2": {"datasets": {"charades": {"annotations": None}}}}}, CONFIG).systems
    with pytest.raises(UserError, match="numbers of charades_tvr and charades_am_tvr, not of charades: each would be"):
        systems.feature_indices("charades", "img_internvideo2")
    families = {"systems": {"img_published_clip_slowfast": {"datasets": {"charades": {"annotations": "charades_tvr"}}}}}
    with pytest.raises(UserError, match="numbers of charades and charades_am, not of charades_tvr"):
        Plan(families, CONFIG).systems.feature_indices("charades", "img_published_clip_slowfast")


def test_each_numbering_is_found_where_it_belongs():
    systems = Plan({}, CONFIG).systems
    for dataset, owner in (("charades", "charades_tvr"), ("charades_am", "charades_am_tvr")):
        indices = systems.feature_indices(dataset, "img_internvideo2")
        assert f"results/{owner}/features/llama2_tokens/index.parquet" in indices
        assert systems.tables(dataset, "img_internvideo2")[0] == f"results/{owner}/annotations/videos.parquet"
        words = f"results/{dataset}/features/clip_b32_tokens_charades_published/index.parquet"
        assert words in systems.feature_indices(dataset, "img_published_clip_slowfast")


# Files that a system reads before training, and published checkpoints


def test_word_vectors_come_from_the_registry_or_from_a_file(tmp_path):
    path = tmp_path / "own.txt"
    path.write_text("a 1 2\n")
    assert Plan({}, CONFIG).systems.fit_files("charades", "img") == ["weights/glove.840B.300d.zip"]
    given = {"systems": {"img": {"settings": {"network": {"query": {"word_vectors": str(path)}}}}}}
    assert Plan(given, CONFIG).systems.fit_files("charades", "img") == []
    assert Plan({}, CONFIG).systems.fit_files("demo", "img") == []
    given["systems"]["img"]["settings"]["network"]["query"]["word_vectors"] = "glove_840"
    with pytest.raises(UserError, match=r'word_vectors: neither weights nor a file: .* did you mean "glove_840b"'):
        Plan(given, CONFIG).systems.fit_files("charades", "img")


def test_the_list_of_weights_names_the_word_vectors_of_a_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = Plan({"needed_by": "results/charades/img/metrics.json"}, CONFIG).preflight.listing("weights")
    names = [need["name"] for need in json.loads(Path(listed).read_text())]
    assert names == ["weights cnn14", "weights glove_840b", "weights i3d_rgb_charades"]


def imported(path, **settings):
    return {"systems": {"img": {"checkpoint_file": str(path), **settings}}}


def test_an_imported_checkpoint_takes_the_place_of_a_trained_one(tmp_path):
    path = tmp_path / "IMG_1.t7"
    systems = Plan(imported(path), CONFIG).systems
    assert systems.checkpoint("charades", "img", "0") == "results/charades/img/imported/checkpoint.safetensors"
    with pytest.raises(UserError, match=r"checkpoint_file: .*IMG_1\.t7 does not exist; put the published checkpoint"):
        systems.checkpoint_file("charades", "img")
    path.touch()
    assert systems.checkpoint_file("charades", "img") == str(path)


def test_an_imported_checkpoint_does_not_go_with_standardised_features(tmp_path):
    with pytest.raises(UserError, match=r"demo\.yaml: systems\.img: streams\.\w+\.standardise: an imported checkpoint"):
        Configuration(imported(tmp_path / "a.t7"), CONFIG).system("demo", "img")


def test_the_settings_that_decide_a_training_are_in_its_key():
    def key(**given):
        return Plan({"systems": {"img": given}}, CONFIG).systems.train_key("charades", "img")

    assert key() == key(splits={"held_out": 0.3})
    assert key(splits={"select": "held_out"}) != key(splits={"select": "held_out", "held_out": 0.3})
    tokens = {"network": {"query": {"kind": "tokens"}}}
    # A published vocabulary is that of the reported queries, too.
    assert key() != key(splits={"test": ["train"]})
    assert key(settings=tokens) == key(settings=tokens, splits={"test": ["train"]})


DECIDES_TRAINING = {
    "system": {"system": "baseline"},
    "protocol": {"protocol": "clean"},
    "streams": {"streams": {"visual": {"standardise": False}}},
    "transcript": {"transcript": "whisper_tiny_en"},
    "prior": {"prior": {"system": "img_clean"}},
    "queries": {"queries": {"moments": "raw"}},
    "given": {"given": {"moments": "predicted"}},
    "splits": {"splits": {"select": "test"}},
    "precision": {"precision": "bf16"},
    "selection": {"selection": {"ties": "first"}},
    "settings": {"settings": {"loss": {"tau": 1.0}}},
}
DECIDES_NO_TRAINING = {
    "title": {"title": "another"},
    "seeds": {"seeds": [7]},
    "evaluation": {"evaluation": {"zero_streams": ["visual"]}},
    "runtime": {"runtime": {"threads": 3}},
    "in_memory": {"streams": {"text": {"in_memory": False}}},
}


@pytest.mark.parametrize("section", [*DECIDES_TRAINING, *DECIDES_NO_TRAINING])
def test_every_section_that_decides_a_training_and_no_other_changes_its_key(section, monkeypatch):
    systems, shipped = Plan({}, CONFIG).systems, System.model_dump(system(CONFIG, "demo", "img"))
    # No two kinds of systems take the same settings.
    base = shipped | ({"settings": {}} if section == "system" else {})
    changed = merge(base, {**DECIDES_TRAINING, **DECIDES_NO_TRAINING}[section])
    assert System.model_validate(changed) != System.model_validate(base)

    def key(content):
        known = {"img": System.model_validate(content)}
        monkeypatch.setattr(Systems, "_system", lambda _, dataset, name: known.get(name, System(**shipped)))
        return systems.train_key("demo", "img")

    assert (key(changed) != key(base)) == (section in DECIDES_TRAINING)
