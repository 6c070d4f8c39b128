"""The other pages say what the code does."""

import re
import shutil

import pytest
import yaml

from tests import data_tables
from tests.config_reference import PAGE, page
from tests.markdown_pages import PAGES, README, ROOT, broken_links, code_blocks, table_rows, unknown_targets
from tests.unit.test_rooms import ALLOWED
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import read_yaml

KINDS = ("datasets", "features", "systems")
EXAMPLE = re.compile(r"# config/(datasets|features|systems)/(\w+)\.yaml\n")
MODULE = re.compile(r"python -m (tests[\w.]+)")
FEATURE_TARGET = re.compile(r"results/(\w+)/features/(\w+)/index\.parquet")
SYSTEM_TARGET = re.compile(r"results/(\w+)/(\w+)/(?:metrics\.json|report\.html)")


def examples() -> list[tuple[str, str, str]]:
    """Return kind, name and content of every configuration file that a page shows."""
    found = []
    for path in [README, *PAGES]:
        for language, content in code_blocks(path.read_text(encoding="utf-8")):
            match = EXAMPLE.match(content)
            if language == "yaml" and match:
                found.append((match[1], match[2], content))
    return found


def test_the_page_of_all_keys_is_that_of_the_models():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.config_reference --write`"


def test_the_tables_of_what_can_be_fetched_are_those_of_the_datasets():
    assert data_tables.PAGE.read_text(encoding="utf-8") == data_tables.current_page(), (
        "run `python -m tests.data_tables --write`"
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(path):
    assert broken_links(path) == []


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_name_what_is_there(path):
    text = path.read_text(encoding="utf-8")
    assert unknown_targets(text) == []
    places = {name: ROOT / name.replace(".", "/") for name in MODULE.findall(text)}
    missing = [
        name for name, p in places.items() if not (p.with_suffix(".py").is_file() or (p / "__main__.py").is_file())
    ]
    assert missing == []


@pytest.mark.parametrize("path", [README, *PAGES], ids=lambda path: str(path.relative_to(ROOT)))
def test_targets_name_what_is_there(path):
    text = path.read_text(encoding="utf-8")
    known = {kind: {p.stem for p in (ROOT / "config" / kind).glob("*.yaml")} for kind in KINDS}
    for kind, name, _ in examples():
        known[kind].add(name)
    for dataset, feature in FEATURE_TARGET.findall(text):
        assert dataset in known["datasets"]
        assert feature in known["features"]
    for dataset, system in SYSTEM_TARGET.findall(text):
        assert dataset in known["datasets"]
        assert system in known["systems"]


def test_the_table_of_rooms_is_that_of_the_test():
    rows = table_rows((ROOT / "docs" / "layout.md").read_text(encoding="utf-8"))
    stated = {row[0].strip("`"): row[2] for row in rows if len(row) == 3}
    stated.pop("models")
    assert stated == {room: ", ".join(sorted(others)) or "nothing" for room, others in ALLOWED.items()}


def test_there_are_examples_of_every_kind():
    assert {kind for kind, _, _ in examples()} == set(KINDS)


@pytest.mark.parametrize(("kind", "name", "content"), examples(), ids=lambda value: str(value)[:20].strip())
def test_a_configuration_file_that_a_page_shows_is_valid(tmp_path, kind, name, content):
    folder = tmp_path / "config"
    shutil.copytree(ROOT / "config", folder)
    path = folder / kind / f"{name}.yaml"
    assert not path.exists(), "the name is taken"
    # One may be about another.
    for other_kind, other, shown in examples():
        (folder / other_kind / f"{other}.yaml").write_text(shown, encoding="utf-8")
    path.write_text(content, encoding="utf-8")
    configuration = Configuration(read_yaml(folder / "config.yaml"), folder)
    if kind == "datasets":
        configuration.dataset(name)
        for system in configuration.dataset(name).systems:
            configuration.system(name, system)
    else:
        getattr(configuration, kind[:-1])("demo", name)


def test_the_example_of_config_yaml_is_valid():
    text = (ROOT / "config" / "README.md").read_text(encoding="utf-8")
    example = next(yaml.safe_load(block) for language, block in code_blocks(text) if block.startswith("device:"))
    configuration = Configuration(example, ROOT / "config")
    assert configuration.feature("demo", "clip_tiny").runtime.batch_size == 32
