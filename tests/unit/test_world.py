"""The stand-in for the internet answers for official addresses, well and badly."""

import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching import download
from workflow_scripts.lib.fetching.download import fetch
from workflow_scripts.lib.fetching.mirrors import all_mirrors, mirror_of
from workflow_scripts.lib.fetching.source import Source

ADDRESS = "https://files.example/models/net.pth"
CONTENT = bytes(range(256)) * (download.BLOCK_BYTES // 256) * 8
HALF = len(CONTENT) // 2


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))


def get(world, path, address=ADDRESS, **known):
    """Fetch an official address as the workflow does under the world's settings."""
    mirrors = all_mirrors(world.config()["mirrors"], {})
    fetch(Source(address, "MIT", **known), path / "net.pth", mirror=mirror_of(address, mirrors))
    return (path / "net.pth").read_bytes()


def test_every_host_of_the_configuration_has_its_mirror_here(world):
    configuration = Configuration(world.config(), ROOT / "config")
    mirrors = all_mirrors(configuration.root.mirrors, {})
    stated = [configuration.weight(name).url for name in configuration.weight_names()]
    stated += [
        each.url for name in configuration.known("datasets") for each in configuration.dataset(name).downloads.values()
    ]
    urls = [url for url in stated if url]
    assert len(urls) > 90
    assert [mirror_of(url, mirrors) for url in urls] == [world.here(url) for url in urls]


def test_what_nobody_serves_is_no_longer_there(world, tmp_path):
    world.serve(ADDRESS, CONTENT)
    other = "https://huggingface.co/x"
    with pytest.raises(UserError, match=rf"cannot download {other} \(mirror: {world.here(other)}\): HTTP Error 404"):
        get(world, tmp_path, other)


def test_a_served_file_passes_the_checks_that_are_stated_of_it(world, tmp_path):
    served = world.serve(ADDRESS, CONTENT)
    assert get(world, tmp_path, **served.stated) == CONTENT
    assert served.asked[0]["User-Agent"] == "momentflow"


def test_a_question_after_the_path_belongs_to_the_address(world, tmp_path):
    served = world.serve(f"{ADDRESS}?download=1", CONTENT)
    assert get(world, tmp_path, f"{ADDRESS}?download=1", **served.stated) == CONTENT


def test_an_answer_that_sends_on_to_another_host_is_followed(world, tmp_path):
    world.serve(ADDRESS, redirect="https://store.example/1234")
    served = world.serve("https://store.example/1234", CONTENT)
    assert get(world, tmp_path, **served.stated) == CONTENT


def test_a_body_that_is_cut_is_taken_up_again(world, tmp_path):
    served = world.serve(ADDRESS, CONTENT, breaks_after=[HALF])
    assert get(world, tmp_path, **served.stated) == CONTENT
    assert [asked.get("Range") for asked in served.asked] == [None, f"bytes={HALF}-"]


def test_a_server_that_falls_silent_is_asked_again(world, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT_S", 0.2)
    served = world.serve(ADDRESS, CONTENT, stalls_after=[HALF])
    assert get(world, tmp_path, **served.stated) == CONTENT
    assert len(served.asked) == 2


def test_a_slow_answer_is_waited_for(world, tmp_path):
    served = world.serve(ADDRESS, CONTENT, pieces=(len(CONTENT) // 20, 0.01))
    assert get(world, tmp_path, **served.stated) == CONTENT
    assert len(served.asked) == 1


def test_an_error_that_passes_and_one_that_stays(world, tmp_path):
    served = world.serve(ADDRESS, CONTENT, status=[500])
    assert get(world, tmp_path, **served.stated) == CONTENT
    world.serve(ADDRESS, CONTENT, status=[404])
    with pytest.raises(UserError, match="HTTP Error 404"):
        get(world, tmp_path)


@pytest.mark.parametrize("known", [{"size": 7}, {"sha256": "0" * 64}])
def test_a_mirror_with_another_file_is_refused_with_both_addresses(world, tmp_path, known):
    world.serve(ADDRESS, CONTENT)
    with pytest.raises(UserError, match=rf"{ADDRESS} \(mirror: {world.here(ADDRESS)}\): .*nothing was kept"):
        get(world, tmp_path, **known)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_one_mirror_is_not_gone_on_with_at_another(world, tmp_path):
    served = world.serve(ADDRESS, CONTENT, breaks_after=[HALF, 0, 0])
    with pytest.raises(UserError, match=f"{HALF} bytes are kept"):
        get(world, tmp_path)
    other = world.serve("https://other.example/net.pth", CONTENT[::-1])
    source = Source(ADDRESS, "MIT", sha256=other.sha256)
    fetch(source, tmp_path / "net.pth", mirror=world.here("https://other.example/net.pth"))
    assert (tmp_path / "net.pth").read_bytes() == CONTENT[::-1]
    assert "Range" not in other.asked[0]
    assert len(served.asked) == 3


def test_a_mirror_may_be_a_folder_of_this_machine(tmp_path):
    there = tmp_path / "a mirror" / "net=1.pth"
    there.parent.mkdir()
    there.write_bytes(CONTENT)
    (tmp_path / "net.pth.part").write_bytes(b"begun elsewhere")
    mirror = f"{there.parent.as_uri()}/net%3D1.pth"
    fetch(Source(ADDRESS, "MIT", size=len(CONTENT)), tmp_path / "net.pth", mirror=mirror)
    assert (tmp_path / "net.pth").read_bytes() == there.read_bytes() == CONTENT
    there.unlink()
    with pytest.raises(UserError, match=rf"cannot download {ADDRESS} \(mirror: {mirror}\): {there}: no such file\. "):
        fetch(Source(ADDRESS, "MIT"), tmp_path / "net.pth", mirror=mirror)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["net.pth"]
