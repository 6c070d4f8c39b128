"""Composition order of the configuration, and what a person reads when something in it is wrong."""

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import yaml

from tests.config_schemas import different
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.configuration.recipe import feature_recipe, sampling_name
from workflow_scripts.lib.errors import UserError

CONFIG = Path(__file__).resolve().parents[2] / "config"


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped configuration that a test may spoil."""
    shutil.copytree(CONFIG, tmp_path / "config")
    return tmp_path / "config"


def configuration(folder, **given):
    on_disk = yaml.safe_load((folder / "config.yaml").read_text()) or {}
    return Configuration(merge(on_disk, given), folder)


def write(folder, name, content):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))


def edit(folder, name, **changes):
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(merge(yaml.safe_load(path.read_text()), changes)))


def message(call, *args):
    with pytest.raises(UserError) as caught:
        call(*args)
    return str(caught.value)


def test_every_shipped_dataset_loads():
    loaded = Configuration({}, CONFIG)
    assert [loaded.dataset(name).title for name in loaded.known("datasets")]


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG / "features").glob("*.yaml")))
def test_every_shipped_feature_has_a_recipe(name):
    loaded = Configuration({}, CONFIG)
    recipe = feature_recipe(loaded, loaded.feature("demo", name))
    assert "runtime" not in recipe
    assert "description" not in recipe


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG / "systems").glob("*.yaml")))
def test_every_shipped_system_is_completed_by_its_defaults(name):
    settings = Configuration({}, CONFIG).system("demo", name).settings
    learns_by_steps = not name.startswith(("baseline", "zero_shot"))
    assert settings["train"]["epochs"] > 0 if learns_by_steps else settings["tasks"]


def test_an_extending_file_keeps_what_it_does_not_change():
    tiny = Configuration({}, CONFIG).feature("demo", "cnn14_tiny")
    assert tiny.sample_rate == 32000
    assert tiny.window.hop_s == 0.5
    assert tiny.window.window_s == 1.0


def test_later_layers_win(folder):
    edit(folder, "datasets/demo", features={"clip_tiny": {"sampling": {"rate": "3"}}})
    assert configuration(folder).feature("demo", "clip_tiny").sampling.rate == "3"
    assert configuration(folder).feature("clips", "clip_tiny").sampling.rate == "2"
    edit(folder, "config", features={"clip_tiny": {"sampling": {"rate": "4"}}})
    assert configuration(folder).feature("demo", "clip_tiny").sampling.rate == "4"
    given = {"clip_tiny": {"sampling": {"rate": "5"}}}
    assert configuration(folder, features=given).feature("demo", "clip_tiny").sampling.rate == "5"


def test_a_dataset_with_a_foreign_checkpoint_takes_the_settings_it_was_trained_with():
    loaded = Configuration({}, CONFIG)
    assert loaded.system("clips", "img").settings == loaded.system("demo", "img").settings
    assert loaded.system("clips", "img").queries.kinds is None


def test_batch_size_and_description_leave_the_recipe_alone(folder):
    before = feature_recipe(configuration(folder), configuration(folder).feature("demo", "clip_tiny"))
    edit(folder, "features/clip_tiny", runtime={"batch_size": 7}, description="other words")
    assert feature_recipe(configuration(folder), configuration(folder).feature("demo", "clip_tiny")) == before


def test_a_sampling_rate_changes_recipe_and_plan_folder(folder):
    before = configuration(folder).feature("demo", "clip_tiny")
    edit(folder, "features/clip_tiny", sampling={"rate": "30000/1001"})
    after = configuration(folder).feature("demo", "clip_tiny")
    assert sampling_name(before) != sampling_name(after)
    assert "/" not in sampling_name(after)


def test_an_unknown_key_names_file_key_and_nearest_name(folder):
    edit(folder, "features/clip_tiny", params={"architecure": "ViT-B-32"})
    text = message(configuration(folder).feature, "demo", "clip_tiny")
    assert "features/clip_tiny.yaml: params.architecure: unknown key" in text
    assert 'did you mean "architecture"?' in text


def test_a_wrong_type_names_what_was_found(folder):
    edit(folder, "features/clip_tiny", resize={"size": "big"})
    text = message(configuration(folder).feature, "demo", "clip_tiny")
    assert "features/clip_tiny.yaml: resize.size" in text
    assert "'big'" in text


def test_a_missing_key_is_named(folder):
    write(folder, "features/bare", {"kind": "visual", "encoder": "clip", "description": "x", "weights": "random(0)"})
    text = message(configuration(folder).feature, "demo", "bare")
    assert "features/bare.yaml: sampling: missing" in text


@pytest.mark.parametrize(
    ("kind", "wrong", "right"), [("dataset", "demoo", "demo"), ("feature", "clip_tinny", "clip_tiny")]
)
def test_an_unknown_name_is_answered_with_the_nearest(folder, kind, wrong, right):
    loaded = configuration(folder)
    call = {"dataset": lambda: loaded.dataset(wrong), "feature": lambda: loaded.feature("demo", wrong)}[kind]
    assert f'did you mean "{right}"?' in message(call)


def test_an_unknown_encoder_and_system_are_answered_with_the_known_ones(folder):
    edit(folder, "features/clip_tiny", encoder="clipp")
    assert "unknown encoder 'clipp'; did you mean \"clip\"?" in message(
        configuration(folder).feature, "demo", "clip_tiny"
    )
    edit(folder, "systems/img", system="imgg")
    assert 'did you mean "img"?' in message(configuration(folder).system, "demo", "img")


def test_an_encoder_of_another_kind_is_refused(folder):
    edit(folder, "features/cnn14", encoder="clip")
    assert "is for visual, not audio" in message(configuration(folder).feature, "demo", "cnn14")


def test_a_stream_with_an_unknown_feature_names_the_stream(folder):
    edit(folder, "datasets/demo", systems={"img": {"streams": {"audio": {"names": ["cnn41"]}}}})
    text = message(configuration(folder).system, "demo", "img")
    assert "streams.audio.names[0]: unknown feature 'cnn41'" in text


def test_an_unknown_stream_in_an_ablation_is_refused(folder):
    edit(folder, "datasets/demo", systems={"img": {"evaluation": {"zero_streams": ["sound"]}}})
    assert "unknown stream 'sound'" in message(configuration(folder).system, "demo", "img")


def test_variations_are_validated_and_those_that_vary_nothing_left_out(folder):
    variations = {"alone": {"data": {"query_context": "independent"}}, "same": {"data": {"drop_degenerate": False}}}
    edit(folder, "datasets/demo", systems={"mrnet": {"evaluation": {"variations": variations}}})
    published = configuration(folder).system("demo", "mrnet").evaluation.variations
    assert {"alone", "queries_alone", "queries_shuffled"} == set(published)
    assert configuration(folder).system("demo", "mrnet_clean").evaluation.variations == {}
    wrong = {"alone": {"data": {"query_contxt": "independent"}}}
    edit(folder, "datasets/demo", systems={"mrnet": {"evaluation": {"variations": wrong}}})
    assert "query_contxt" in message(configuration(folder).system, "demo", "mrnet")


def test_files_that_extend_each_other_are_refused(folder):
    write(folder, "features/a", {"extends": "b"})
    write(folder, "features/b", {"extends": "a"})
    assert "goes round in a circle" in message(configuration(folder).feature, "demo", "a")


def test_an_override_of_an_unknown_feature_is_refused_at_the_start(folder):
    text = message(lambda: configuration(folder, features={"clip_tinny": {"store_dtype": "float32"}}))
    assert "--config: features.clip_tinny" in text
    assert 'did you mean "clip_tiny"?' in text


def test_an_unknown_key_on_the_command_line_says_so(folder):
    text = message(lambda: configuration(folder, on_bad_vido="skip"))
    assert text.startswith("--config: on_bad_vido: unknown key")
    assert 'did you mean "on_bad_video"?' in text


def test_broken_yaml_names_the_file(folder):
    (folder / "features" / "clip_tiny.yaml").write_text("kind: [visual")
    assert "clip_tiny.yaml: not valid YAML" in message(configuration(folder).feature, "demo", "clip_tiny")


def test_an_unknown_base_is_answered_with_the_nearest(folder):
    write(folder, "features/a", {"extends": "cnn15"})
    text = message(configuration(folder).feature, "demo", "a")
    assert "features/a.yaml: extends: unknown feature 'cnn15'; did you mean \"cnn14\"?" in text


def test_a_chain_of_extends_is_laid_from_the_bottom_up(folder):
    write(folder, "features/a", {"extends": "cnn14", "window": {"hop_s": 0.25}, "store_dtype": "float32"})
    write(folder, "features/b", {"extends": "a", "window": {"hop_s": 2.0}})
    found = configuration(folder).feature("demo", "b")
    assert (found.window.window_s, found.window.hop_s, found.store_dtype) == (1.0, 2.0, "float32")


@pytest.mark.parametrize(
    ("file", "changes", "begin"),
    [
        (
            "features/clip_tiny",
            {"params": {"architecture": {"embed_dimm": 3}}},
            "params.architecture.embed_dimm: unknown",
        ),
        ("features/clip_tiny", {"sampling": {"rule": "linspace"}}, "sampling: rule linspace needs n_frames"),
        ("features/clip_tiny", {"weights": "clip_vit_b23"}, "weights: unknown weights 'clip_vit_b23'; did you mean"),
        ("features/clip_tiny", {"source": "imprt"}, "source: the only known source is `import`"),
        (
            "systems/img",
            {"settings": {"train": {"bach_size": 3}}},
            "settings.train.bach_size: unknown key; did you mean",
        ),
        ("systems/img", {"splits": {"test": []}}, "splits.test: "),
        ("systems/img", {"checkpoint_from": "dem"}, "checkpoint_from: unknown dataset 'dem'; did you mean \"demo\"?"),
        ("datasets/demo", {"systems": {"imgg": {}}}, 'systems.imgg: unknown name; did you mean "img"?'),
        ("datasets/demo", {"features": {"clip_tny": {}}}, 'features.clip_tny: unknown name; did you mean "clip_tiny"?'),
        ("datasets/demo", {"systems": ["img"]}, "systems: input should be a valid dictionary, found ['img']"),
    ],
)
def test_one_mistake_gives_one_line_with_file_and_key(folder, file, changes, begin):
    edit(folder, file, **changes)
    kind = file.split("/")[0]
    loaded = configuration(folder)
    text = message(*((loaded.feature, "demo", "clip_tiny") if kind == "features" else (loaded.system, "demo", "img")))
    assert len(text.splitlines()) == 1
    assert f"config/{file}.yaml: {begin}" in text


def test_every_mistake_has_its_line(folder):
    edit(folder, "datasets/demo", n_shards=0, titel="x")
    lines = message(configuration(folder).dataset, "demo").splitlines()
    assert [line.split(".yaml: ")[1].split(":")[0] for line in lines] == ["n_shards", "titel"]


@pytest.mark.parametrize("place", ["datasets/clips", "config", "systems/img"])
def test_the_foreign_checkpoint_may_be_named_in_any_file(folder, place):
    edit(folder, "datasets/demo", systems={"img": {"settings": {"network": {"dim": 32}}}})
    path = folder / "datasets" / "clips.yaml"
    clips = yaml.safe_load(path.read_text())
    del clips["systems"]["img"]["checkpoint_from"]
    path.write_text(yaml.safe_dump(clips))
    assert configuration(folder).system("clips", "img").settings["network"]["dim"] != 32
    if place == "systems/img":
        edit(folder, place, checkpoint_from="demo")
    else:
        edit(folder, place, systems={"img": {"checkpoint_from": "demo"}})
    assert configuration(folder).system("clips", "img").settings["network"]["dim"] == 32
    assert configuration(folder).system("demo", "img").settings["network"]["dim"] == 32


def test_datasets_that_take_each_others_checkpoint_are_refused(folder):
    edit(folder, "datasets/demo", systems={"img": {"checkpoint_from": "clips"}})
    text = message(configuration(folder).system, "clips", "img")
    assert "checkpoint_from: goes round in a circle: clips -> demo -> clips" in text


def test_settings_that_never_change_rows_are_not_in_the_recipe_and_all_others_are(folder):
    def recipe(**changes):
        given = {"cnn14_tiny": changes}
        loaded = configuration(folder, features=given)
        return feature_recipe(loaded, loaded.feature("demo", "cnn14_tiny"))

    before = recipe()
    for changes in ({"runtime": {"batch_size": 1, "threads": 2, "gpu": 1, "mem_mb": 1}}, {"description": "x"}):
        assert recipe(**changes) == before
    for changes in (
        {"window": {"hop_s": 0.7}},
        {"sample_rate": 16000},
        {"params": {"base_width": 8}},
        {"weights": "random(1)"},
        {"store_dtype": "float32"},
    ):
        assert recipe(**changes) != before


def test_only_encoders_that_take_channels_may_be_given_them(folder):
    edit(folder, "features/cnn14", channels="all")
    assert "channels: encoder 'panns' takes only mono" in message(configuration(folder).feature, "demo", "cnn14")
    loaded = configuration(folder)
    assert feature_recipe(loaded, loaded.feature("demo", "uniq4cap_audio"))["channels"] == "all"
    assert "channels" not in feature_recipe(loaded, loaded.feature("demo", "vggish"))


def test_where_images_lie_is_not_in_the_recipe_but_their_names_and_rate_are(folder):
    def recipe(**images):
        loaded = configuration(folder, features={"i3d_flow_tiny": {"images": images}})
        return feature_recipe(loaded, loaded.feature("demo", "i3d_flow_tiny"))

    before = recipe()
    assert recipe(path="elsewhere") == before
    assert recipe(rate=12) != before
    assert recipe(files=["a_{frame}.png", "b_{frame}.png"]) != before
    loaded = configuration(folder)
    assert "images" not in feature_recipe(loaded, loaded.feature("demo", "i3d_tiny"))


def test_parameters_are_completed_by_their_defaults_so_that_saying_a_default_changes_nothing(folder):
    loaded = configuration(folder)
    assert loaded.feature("demo", "minilm_tokens").params == {"output": "tokens"}
    assert set(loaded.feature("demo", "cnn14").params) == {"base_width", "precision", "random_gain"}
    before = feature_recipe(loaded, loaded.feature("demo", "cnn14"))
    edit(folder, "features/cnn14", params={"base_width": 64})
    assert feature_recipe(configuration(folder), configuration(folder).feature("demo", "cnn14")) == before


def test_published_weights_are_named_by_their_checksum_where_it_is_known(folder):
    loaded = configuration(folder)
    known, unknown = (feature_recipe(loaded, loaded.feature("demo", name)) for name in ("clip_b32", "cnn14"))
    assert known["weights_sha256"] == loaded.weight("clip_vit_b32").sha256
    assert unknown["weights_sha256"] == "unverified:cnn14"
    assert "weights_sha256" not in feature_recipe(loaded, loaded.feature("demo", "clip_tiny"))


def test_the_schemas_for_editors_are_those_of_the_models():
    assert different() == [], "run `python -m tests.config_schemas --write`"


def schema_of(path: Path) -> str:
    if path.parent == CONFIG:
        return path.stem
    if path.parent.name != "features":
        return path.parent.name.removesuffix("s")
    loaded = Configuration({}, CONFIG)
    kind = loaded.feature_kind(path.stem)
    imported = "imported_transcripts" if kind == "speech" else "imported_feature"
    return imported if loaded.is_imported(path.stem) else f"{kind}_feature"


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: str(path.relative_to(CONFIG)))
def test_every_shipped_file_fits_its_schema_and_a_mistyped_key_does_not(path):
    schema = json.loads((CONFIG / "schemas" / f"{schema_of(path)}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    content = yaml.safe_load(path.read_text())
    assert [error.message for error in checker.iter_errors(content)] == []
    assert list(checker.iter_errors({**content, "mistyped": 1}))


def test_null_on_the_command_line_is_no_word():
    """Snakemake reads what is nested in `--config` as words."""
    given = {"systems": {"calce_stage1": {"transcript": "null"}}, "device": "cpu"}
    loaded = Configuration(given, CONFIG)
    assert loaded.system("qvh", "calce_stage1").transcript is None
    assert loaded.root.device == "cpu"
