"""Downloading weights from a server on this machine: the right file, or nothing and a message."""

import hashlib
import sys

import pytest

from tests.unit.made_settings import settings_options
from tests.world.server import running_server
from workflow_scripts import fetch_weights
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching import download
from workflow_scripts.lib.fetching.source import FILE_SETTINGS

CONTENT = bytes(range(256)) * 9000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server():
    """Serve `CONTENT` as /good, half of what it announced as /broken, and nothing else."""
    with running_server() as running:
        running.serve("/good", CONTENT)
        running.serve("/broken", CONTENT, takes_ranges=False, breaks_after=[len(CONTENT) // 2] * 9)
        yield running.address


@pytest.fixture
def fetch(tmp_path, monkeypatch):
    """Run the entry point for one address; give back the folder of weights."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSES_S", (0.0,))

    def run(url, sha256=SHA256, mirror=None):
        source = {"url": url, "sha256": sha256, "size": len(CONTENT), "licence": "MIT"}
        out = tmp_path / "weights" / "net.pth"
        stated = {"source": source, "mirror": mirror}
        known = settings_options(tmp_path / "net.settings.json", stated, FILE_SETTINGS)
        monkeypatch.setattr(sys, "argv", ["fetch_weights", *known, "--out", str(out)])
        fetch_weights.main()
        return out

    return run


def left(tmp_path):
    return list((tmp_path / "weights").iterdir())


def test_a_file_with_the_right_checksum_is_put_in_place(server, fetch, tmp_path):
    assert fetch(f"{server}/good").read_bytes() == CONTENT
    assert [path.name for path in left(tmp_path)] == ["net.pth"]


def test_the_mirror_is_asked_in_place_of_the_official_address(server, fetch):
    assert fetch("https://files.example/good", mirror=f"{server}/good").read_bytes() == CONTENT


def test_an_unverified_file_is_put_in_place_too(server, fetch):
    assert fetch(f"{server}/good", "unverified").read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing_behind(server, fetch, tmp_path):
    with pytest.raises(UserError, match=rf"/good: sha256 is {SHA256}, expected 0+ .*nothing was kept"):
        fetch(f"{server}/good", "0" * 64)
    assert left(tmp_path) == []


@pytest.mark.parametrize("sha256", [SHA256, "unverified"])
def test_half_a_file_is_not_taken_for_a_whole_one(server, fetch, tmp_path, sha256):
    with pytest.raises(UserError, match=r"cannot download .*/broken: "):
        fetch(f"{server}/broken", sha256)
    assert sorted(path.name for path in left(tmp_path)) == ["net.pth.part", "net.pth.part.json"]


def test_an_address_without_a_file_says_where_to_put_it_by_hand(server, fetch, tmp_path):
    with pytest.raises(UserError, match=r"HTTP Error 404.* put it at .*net\.pth"):
        fetch(f"{server}/other")
    assert left(tmp_path) == []


def test_a_machine_without_internet_says_where_to_put_it_by_hand(fetch, tmp_path):
    with pytest.raises(UserError, match=r"Without internet, fetch the file elsewhere and put it at .*net\.pth"):
        fetch("http://127.0.0.1:9/good")
    assert left(tmp_path) == []


def test_a_failed_download_keeps_the_file_that_was_there(server, fetch):
    out = fetch(f"{server}/good")
    with pytest.raises(UserError):
        fetch(f"{server}/good", "0" * 64)
    assert out.read_bytes() == CONTENT
