"""One lock file pins everything; the conda files say the same; nothing in them names a download address."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

from tests.env_files import ENVIRONMENTS, environment, locked_versions

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text()


def test_every_locked_package_has_hashes():
    entries = re.split(r"\n(?=[a-z0-9])", LOCK.strip())
    assert len(entries) > 50
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_records_no_download_address():
    assert "://" not in LOCK
    assert "--index-url" not in LOCK


def test_packages_of_weights_are_pinned_one_a_line_so_that_each_is_installed_by_itself():
    lines = (ROOT / "requirements-weights.lock").read_text().splitlines()
    names = [re.fullmatch(r"([a-z0-9-]+)==\S+( --hash=sha256:[0-9a-f]{64})+", line)[1] for line in lines]
    assert names == (ROOT / "requirements-weights.in").read_text().splitlines()[-len(names) :]
    registry = yaml.safe_load((ROOT / "config/weights.yaml").read_text())
    assert {name.replace("-", "_") for name in names} == {
        entry["package"] for entry in registry.values() if "package" in entry
    }


def test_torchaudio_is_not_installed():
    assert "torchaudio" not in locked_versions()


def test_every_direct_requirement_is_locked():
    names = [re.split(r"[<>=]", line)[0] for line in (ROOT / "requirements.in").read_text().splitlines()]
    wanted = {name.lower().replace("_", "-") for name in names if name and not name.startswith("#")}
    assert wanted <= {name.replace("_", "-") for name in locked_versions()}


def distribution_name(name: str) -> str:
    return name.lower().replace("_", "-")


def test_what_the_code_imports_is_required_by_name():
    required = {
        distribution_name(re.split(r"[<>=\[]", line)[0])
        for line in (ROOT / "requirements.in").read_text().splitlines()
        if line and not line.startswith("#")
    }
    distributions, missing = packages_distributions(), {}
    for path in (path for top in ("models", "workflow_scripts", "docs") for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) else []
            for package in {name.split(".")[0] for name in names} - sys.stdlib_module_names:
                known = {distribution_name(name) for name in distributions.get(package, [])}
                if package not in ("models", "workflow_scripts") and not known & required:
                    missing[package] = str(path.relative_to(ROOT))
    assert missing == {}, "name them in requirements.in"


@pytest.mark.parametrize("name", sorted(ENVIRONMENTS))
def test_a_conda_file_pins_what_the_lock_pins(name):
    text = (ROOT / "envs" / f"{name}.yaml").read_text()
    assert text == environment(name), "run `make lock`"
    content = yaml.safe_load(text)
    assert content.keys() == {"name", "channels", "dependencies"}
    assert content["channels"] == ["conda-forge", "nodefaults"]


def test_every_rule_names_an_existing_conda_file():
    for path in (ROOT / "rules").glob("*.smk"):
        for name in re.findall(r'"\.\./envs/([^"]+)"', path.read_text()):
            assert (ROOT / "envs" / name).is_file(), f"{path.name}: {name}"
