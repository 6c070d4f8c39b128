"""One downloaded file: resumed, checked, put in place as a whole, or a message that says what to do."""

import errno
import fcntl

import pytest

from tests.world.server import running_server
from workflow_scripts.lib.errors import UserError, explain_os_error
from workflow_scripts.lib.fetching import download
from workflow_scripts.lib.fetching.download import fetch
from workflow_scripts.lib.fetching.source import Source

BLOCK = download.BLOCK_BYTES
CONTENT = bytes(range(256)) * (BLOCK // 256) * 40
HALF = len(CONTENT) // 2


@pytest.fixture(scope="module")
def running():
    with running_server() as server:
        yield server


@pytest.fixture
def server(running, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0))
    running.files.clear()
    return running


def source(server, path="/net.pth", **known):
    return Source(server.url(path), "MIT", **known)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_transfer_that_breaks_goes_on_where_it_stopped(server, tmp_path):
    served = server.serve("/net.pth", CONTENT, breaks_after=[HALF, BLOCK])
    fetch(source(server, sha256=served.sha256, size=len(CONTENT)), tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT
    assert names(tmp_path) == ["net.pth"]
    assert [asked.get("Range") for asked in served.asked] == [None, f"bytes={HALF}-", f"bytes={HALF + BLOCK}-"]
    assert served.asked[1]["If-Range"] == '"1"'


def test_a_later_call_goes_on_with_what_an_earlier_one_left(server, tmp_path, monkeypatch):
    served = server.serve("/net.pth", CONTENT, breaks_after=[HALF, 0, 0, 0])
    with pytest.raises(UserError, match=rf"the connection broke; {HALF} bytes are kept, the next call goes on"):
        fetch(source(server), tmp_path / "net.pth")
    assert (tmp_path / "net.pth.part").stat().st_size == HALF
    assert not (tmp_path / "net.pth").exists()
    served.breaks_after.clear()
    served.asked.clear()
    fetch(source(server, sha256=served.sha256), tmp_path / "net.pth")
    assert [asked["Range"] for asked in served.asked] == [f"bytes={HALF}-"]
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_a_file_that_was_replaced_meanwhile_is_fetched_from_the_start(server, tmp_path):
    served = server.serve("/net.pth", CONTENT, breaks_after=[HALF, 0, 0, 0])
    with pytest.raises(UserError):
        fetch(source(server), tmp_path / "net.pth")
    new = server.serve("/net.pth", CONTENT[::-1], etag='"2"')
    fetch(source(server, sha256=new.sha256), tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == new.content != served.content


def test_another_length_without_version_is_noticed(server, tmp_path):
    server.serve("/net.pth", CONTENT, etag=None, breaks_after=[HALF, 0, 0, 0])
    with pytest.raises(UserError):
        fetch(source(server), tmp_path / "net.pth")
    longer = server.serve("/net.pth", CONTENT[::-1] + b"more", etag=None)
    fetch(source(server, sha256=longer.sha256), tmp_path / "net.pth")


def test_a_part_longer_than_the_new_file_starts_again(server, tmp_path):
    server.serve("/net.pth", CONTENT, etag=None, breaks_after=[HALF, 0, 0, 0])
    with pytest.raises(UserError):
        fetch(source(server), tmp_path / "net.pth")
    shorter = server.serve("/net.pth", CONTENT[: HALF // 2], etag=None)
    fetch(source(server, sha256=shorter.sha256), tmp_path / "net.pth")


def test_a_part_of_another_address_is_not_used(server, tmp_path):
    server.serve("/net.pth", CONTENT, breaks_after=[HALF, 0, 0, 0])
    with pytest.raises(UserError):
        fetch(source(server), tmp_path / "net.pth")
    other = server.serve("/other.pth", CONTENT[::-1])
    fetch(source(server, "/other.pth", sha256=other.sha256), tmp_path / "net.pth")
    assert "Range" not in other.asked[0]


def test_a_server_without_ranges_sends_everything_again(server, tmp_path):
    served = server.serve("/net.pth", CONTENT, takes_ranges=False, breaks_after=[HALF])
    fetch(source(server, sha256=served.sha256), tmp_path / "net.pth")
    assert len(served.asked) == 2


def test_a_server_without_ranges_that_always_breaks_is_given_up(server, tmp_path):
    server.serve("/net.pth", CONTENT, takes_ranges=False, breaks_after=[HALF, HALF // 2] * 50)
    with pytest.raises(UserError, match="cannot download"):
        fetch(source(server), tmp_path / "net.pth")


def test_a_redirect_is_followed(server, tmp_path):
    served = server.serve("/store/1234", CONTENT)
    server.serve("/net.pth", redirect=server.url("/store/1234"))
    fetch(source(server, sha256=served.sha256), tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


def test_the_proxy_of_the_environment_is_asked_for_the_whole_address(server, tmp_path, monkeypatch):
    served = server.serve("http://nowhere.invalid/net.pth", CONTENT)
    monkeypatch.setenv("http_proxy", server.address)
    fetch(Source("http://nowhere.invalid/net.pth", "MIT", **served.stated), tmp_path / "net.pth")
    assert (tmp_path / "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_that_passes_is_waited_for(server, tmp_path, status):
    served = server.serve("/net.pth", CONTENT, status=[status, status])
    fetch(source(server, sha256=served.sha256), tmp_path / "net.pth")
    assert len(served.asked) == 3


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(401, "it asks for a login"), (403, "it refuses"), (404, "no longer there"), (410, "was withdrawn")],
)
def test_a_refusal_that_stays_is_named_at_once(server, tmp_path, status, meaning):
    served = server.serve("/net.pth", CONTENT, status=[status] * 5)
    with pytest.raises(UserError, match=rf"HTTP Error {status} .*{meaning}.* put it at .*net\.pth \(licence: MIT\)"):
        fetch(source(server), tmp_path / "net.pth")
    assert len(served.asked) == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize(("known", "message"), [({"sha256": "0" * 64}, "sha256 is"), ({"size": 7}, "expected 7")])
def test_a_wrong_file_is_deleted_and_the_old_one_stays(server, tmp_path, known, message):
    server.serve("/net.pth", CONTENT)
    (tmp_path / "net.pth").write_bytes(b"old")
    with pytest.raises(UserError, match=rf"{message}.*nothing was kept"):
        fetch(source(server, **known), tmp_path / "net.pth")
    assert names(tmp_path) == ["net.pth"]
    assert (tmp_path / "net.pth").read_bytes() == b"old"


def test_a_web_page_is_not_taken_for_the_file(server, tmp_path):
    server.serve("/net.pth", b"<html>please log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    with pytest.raises(UserError, match="sends a web page instead of the file"):
        fetch(source(server), tmp_path / "net.pth")
    assert names(tmp_path) == []


def test_without_internet_the_message_comes_at_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PAUSES_S", (3600.0,))
    with pytest.raises(UserError, match=r"Without internet, fetch the file elsewhere \(see a page\) and put it at "):
        fetch(Source("http://127.0.0.1:9/net.pth", "MIT", page="a page"), tmp_path / "net.pth")
    assert names(tmp_path) == []


def test_a_name_that_nobody_knows_is_no_traceback(server, tmp_path):
    with pytest.raises(UserError, match=r"cannot download http://no-such-host\.invalid/net\.pth"):
        fetch(Source("http://no-such-host.invalid/net.pth", "MIT"), tmp_path / "net.pth")


def test_what_no_program_may_fetch_names_the_page(tmp_path):
    with pytest.raises(UserError, match=r"net\.pth has no address .* get it from a page and put it at .*licence: MIT"):
        fetch(Source(None, "MIT", page="a page"), tmp_path / "net.pth")


def test_a_full_disk_is_named_and_what_arrived_stays(server, tmp_path):
    server.serve("/net.pth", CONTENT)
    (tmp_path / "net.pth.part").symlink_to("/dev/full")
    with pytest.raises(OSError) as caught:
        fetch(source(server), tmp_path / "net.pth")
    assert caught.value.errno == errno.ENOSPC
    assert explain_os_error(caught.value).startswith(f"no disk space left while writing {tmp_path / 'net.pth.part'}")
    assert not (tmp_path / "net.pth").exists()


def test_too_little_space_is_noticed_before_anything_is_fetched(server, tmp_path, monkeypatch):
    server.serve("/net.pth", CONTENT)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match=rf"{len(CONTENT)} bytes are missing, 1000 are free") as caught:
        fetch(source(server), tmp_path / "net.pth")
    assert caught.value.errno == errno.ENOSPC


def test_two_processes_do_not_write_the_same_part(server, tmp_path):
    server.serve("/net.pth", CONTENT)
    with (tmp_path / "net.pth.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is fetching this file"):
            fetch(source(server), tmp_path / "net.pth")
