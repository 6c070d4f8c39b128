"""One lock file pins everything; the conda files say the same; nothing in them names a download address."""

import re
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


def test_torchaudio_is_not_installed():
    assert "torchaudio" not in locked_versions()


def test_every_direct_requirement_is_locked():
    names = [re.split(r"[<>=]", line)[0] for line in (ROOT / "requirements.in").read_text().splitlines()]
    wanted = {name.lower().replace("_", "-") for name in names if name and not name.startswith("#")}
    assert wanted <= {name.replace("_", "-") for name in locked_versions()}


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
