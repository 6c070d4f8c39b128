"""A folder from an archive: fetched and unpacked once, and what a person put there comes first."""

import errno

import pytest

from tests.unit.test_fetching_archives import FILES, found, make_tar, make_zip
from tests.world.server import running_server
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching import download, folders
from workflow_scripts.lib.fetching.folders import fetch_folder
from workflow_scripts.lib.fetching.source import Source


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "PAUSES_S", (0.0,))
    with running_server() as running:
        yield running


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return make_tar(folder / "set.tar.gz")


def test_an_archive_is_fetched_unpacked_and_deleted(server, archive, tmp_path):
    served = server.serve("/set.tar.gz", archive.read_bytes(), breaks_after=[10])
    source = Source(server.url("/set.tar.gz"), "MIT", sha256=served.sha256)
    done = fetch_folder(source, "set.tar.gz", tmp_path / "data/set", "tree")
    assert done == {
        "folder": str(tmp_path / "data/set"),
        "from": source.url,
        "files": 3,
        "bytes": sum(map(len, FILES.values())),
    }
    assert found(tmp_path / "data/set") == FILES
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["set"]


def test_a_folder_that_holds_something_is_taken_as_it_is(server, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine.mp4").write_bytes(b"mine")
    done = fetch_folder(Source(server.url("/set.zip"), "MIT"), "set.zip", tmp_path / "set", "tree")
    assert (done["from"], done["files"], done["bytes"]) == ("found", 1, 4)


def test_an_empty_folder_is_filled(server, archive, tmp_path):
    server.serve("/set.tar.gz", archive.read_bytes())
    (tmp_path / "set").mkdir()
    fetch_folder(Source(server.url("/set.tar.gz"), "MIT"), "set.tar.gz", tmp_path / "set", "flat")
    assert (tmp_path / "set/a.mp4").is_file()


def test_an_archive_beside_the_folder_is_unpacked_and_kept(tmp_path):
    make_zip(tmp_path / "set.zip")
    done = fetch_folder(Source(None, "MIT", page="a page"), "set.zip", tmp_path / "set", "tree")
    assert done["from"] == str(tmp_path / "set.zip")
    assert (tmp_path / "set.zip").is_file()
    assert found(tmp_path / "set") == FILES


def test_a_wrong_archive_beside_the_folder_is_refused_and_kept(tmp_path):
    make_zip(tmp_path / "set.zip")
    with pytest.raises(UserError, match=r"set\.zip: sha256 is .*delete the file and fetch it again"):
        fetch_folder(Source(None, "MIT", page="a page", sha256="0" * 64), "set.zip", tmp_path / "set", "tree")
    assert (tmp_path / "set.zip").is_file()


def test_what_no_program_may_fetch_says_where_to_put_it(tmp_path):
    with pytest.raises(UserError, match=r"get it from a page and put it at .*/set\.zip, or its content into .*/set "):
        fetch_folder(Source(None, "MIT", page="a page"), "set.zip", tmp_path / "set", "tree")


def test_without_internet_the_message_names_the_place_beside_the_folder(tmp_path):
    with pytest.raises(UserError, match=rf"put it at {tmp_path}/set\.zip"):
        fetch_folder(Source("http://127.0.0.1:9/set.zip", "MIT"), "set.zip", tmp_path / "set", "tree")


def test_a_downloaded_archive_is_kept_until_it_is_unpacked(server, archive, tmp_path, monkeypatch):
    served = server.serve("/set.tar.gz", archive.read_bytes())
    source = Source(server.url("/set.tar.gz"), "MIT")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folders, "unpack", full)
        with pytest.raises(OSError, match="No space left"):
            fetch_folder(source, "set.tar.gz", tmp_path / "set", "tree")
    assert not (tmp_path / "set").exists()
    fetch_folder(source, "set.tar.gz", tmp_path / "set", "tree")
    assert len(served.asked) == 1
    assert found(tmp_path / "set") == FILES


def test_a_downloaded_file_that_is_no_archive_is_named(server, tmp_path):
    server.serve("/set.zip", b"no archive")
    with pytest.raises(UserError, match=r"set\.fetching/set\.zip: not a complete zip or tar archive .* delete it"):
        fetch_folder(Source(server.url("/set.zip"), "MIT"), "set.zip", tmp_path / "set", "tree")
    assert not (tmp_path / "set").exists()
