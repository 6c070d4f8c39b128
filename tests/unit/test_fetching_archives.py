"""Archives are unpacked whole and inside their own folder, or not at all."""

import gzip
import io
import os
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.fetching import archives
from workflow_scripts.lib.fetching.archives import unpack

FILES = {"set/videos/a.mp4": b"a" * 70000, "set/videos/b.mp4": b"b", "set/README": b"read me"}


def make_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("set")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make_tar(path, files=FILES, entries=(), mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in entries:
            archive.addfile(entry)
    return path


def tar_link(name, target, kind=tarfile.SYMTYPE):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def zip_link(path, name, target):
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(entry, target)


def found(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_nothing_unpacked(tmp_path):
    """Only the archive itself may be there."""
    assert [path.name for path in tmp_path.iterdir() if path.name != "archive"] == []


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_every_kind_is_told_from_its_content(tmp_path, mode):
    archive = make_zip(tmp_path / "archive") if mode == "zip" else make_tar(tmp_path / "archive", mode=mode)
    assert unpack(archive, tmp_path / "out") == (3, sum(map(len, FILES.values())))
    assert found(tmp_path / "out") == FILES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "out"]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_flat_puts_all_files_into_one_folder(tmp_path, make):
    unpack(make(tmp_path / "archive"), tmp_path / "out", "flat")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README", "a.mp4", "b.mp4"]


def test_flat_refuses_two_files_of_one_name(tmp_path):
    archive = make_zip(tmp_path / "archive", {"train/a.mp4": b"1", "test/a.mp4": b"2"})
    with pytest.raises(UserError, match=r"train/a\.mp4 and test/a\.mp4 would both be a\.mp4"):
        unpack(archive, tmp_path / "out", "flat")
    assert_nothing_unpacked(tmp_path)


@pytest.mark.parametrize("layout", ["tree", "flat"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/tmp/evil", "set/../../../evil"])
def test_nothing_is_written_outside_the_folder(tmp_path, make, name, layout):
    archive = make(tmp_path / "archive", {**FILES, name: b"evil"})
    with pytest.raises(UserError, match="would be written outside the folder; nothing was unpacked"):
        unpack(archive, tmp_path / "out", layout)
    assert_nothing_unpacked(tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "set/none", ".."])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_of_a_tar_lead_nowhere_but_to_its_files(tmp_path, kind, target):
    archive = make_tar(tmp_path / "archive", entries=[tar_link("set/link", target, kind)])
    with pytest.raises(UserError, match=r"outside the folder|which is no file of the archive"):
        unpack(archive, tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_a_link_of_a_zip_leads_nowhere_but_to_its_files(tmp_path):
    zip_link(make_zip(tmp_path / "archive"), "set/link", "/etc/passwd")
    with pytest.raises(UserError, match="which is no file of the archive"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_files_below_a_link_to_a_folder_outside_are_not_written_there(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = tmp_path / "archive"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tar_link("set", str(outside)))
        archive.addfile(tarfile.TarInfo("set/evil"))
    with pytest.raises(UserError):
        unpack(path, tmp_path / "out")
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("kind", "target"), [(tarfile.SYMTYPE, "videos/b.mp4"), (tarfile.LNKTYPE, "set/videos/b.mp4")])
def test_a_link_to_a_file_of_the_archive_becomes_that_file(tmp_path, kind, target):
    archive = make_tar(tmp_path / "archive", entries=[tar_link("set/link.mp4", target, kind)])
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out/set/link.mp4").read_bytes() == b"b"
    assert not (tmp_path / "out/set/link.mp4").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, kind):
    device = tarfile.TarInfo("set/device")
    device.type = kind
    with pytest.raises(UserError, match="'set/device' is a device"):
        unpack(make_tar(tmp_path / "archive", entries=[device]), tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_half_an_archive_is_not_taken_for_a_whole_one(tmp_path, make):
    archive = make(tmp_path / "archive", {f"{i}.mp4": os.urandom(3000) for i in range(20)})
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(UserError, match=r"archive: not a complete zip or tar archive .*fetch it again"):
        unpack(archive, tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_a_tar_file_that_ends_between_two_files_is_not_taken_for_a_whole_one(tmp_path):
    archive = make_tar(tmp_path / "archive", {"a.mp4": b"1" * 512, "b.mp4": b"2" * 512}, mode="w")
    archive.write_bytes(archive.read_bytes()[:1024])
    with pytest.raises(UserError, match="it ends too early"):
        unpack(archive, tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_a_changed_byte_is_noticed(tmp_path):
    archive = make_tar(tmp_path / "archive", {"a.mp4": os.urandom(5000)}, mode="w")
    packed = bytearray(gzip.compress(archive.read_bytes(), 0))
    packed[2000] ^= 1
    archive.write_bytes(packed)
    with pytest.raises(UserError, match=r"archive: .*(damaged|not a complete)"):
        unpack(archive, tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_something_else_is_no_archive(tmp_path):
    (tmp_path / "archive").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match="not a complete zip or tar archive"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_a_name_that_is_file_and_folder_is_a_message(tmp_path):
    with pytest.raises(UserError, match="is a file and a folder in this archive"):
        unpack(make_tar(tmp_path / "archive", {"a": b"1", "a/b": b"2"}), tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


def test_what_an_interrupted_call_left_is_made_again(tmp_path):
    (tmp_path / "out.unpacking/set").mkdir(parents=True)
    (tmp_path / "out.unpacking/set/stale.mp4").write_bytes(b"half")
    unpack(make_zip(tmp_path / "archive"), tmp_path / "out")
    assert found(tmp_path / "out") == FILES
    assert not (tmp_path / "out.unpacking").exists()


def test_content_that_cannot_be_in_an_archive_is_refused_before_it_is_written(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(archives._Writer, "_new_file", lambda self, name: written.append(name))
    claiming = bytearray(make_zip(tmp_path / "archive").read_bytes())
    place = claiming.rindex(b"PK\x01\x02") + 24
    claiming[place : place + 4] = (4 * 10**9).to_bytes(4, "little")
    (tmp_path / "archive").write_bytes(claiming)
    with pytest.raises(UserError, match=r"archive: claims 4,000,070,\d+ bytes of content, but has .* Do not trust"):
        unpack(tmp_path / "archive", tmp_path / "out")
    # Of a tar the sizes are known one after the other: a sparse file claims what it likes.
    entry = tarfile.TarInfo("set/huge.mp4")
    entry.size = 10**12
    (tmp_path / "archive").write_bytes(gzip.compress(entry.tobuf() + bytes(10240)))
    with pytest.raises(UserError, match=r"archive: claims 1,000,000,000,000 bytes of content"):
        unpack(tmp_path / "archive", tmp_path / "out")
    assert written == []
    assert_nothing_unpacked(tmp_path)


def test_links_to_one_file_cannot_fill_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "SMALL", 0)
    files, links = {"a": bytes(10**6)}, [tar_link(f"b{i}", "a", tarfile.LNKTYPE) for i in range(100)]
    with pytest.raises(UserError, match=r"archive: claims [0-9,]+ bytes of content"):
        unpack(make_tar(tmp_path / "archive", files, links), tmp_path / "out")
    assert_nothing_unpacked(tmp_path)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_content_for_which_the_disk_has_no_room_is_refused_before_it_is_written(tmp_path, monkeypatch, make):
    archive, written = make(tmp_path / "archive"), []
    monkeypatch.setattr(archives._Writer, "_new_file", lambda self, name: written.append(name))
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 100, 100))
    with pytest.raises(OSError, match="No space left") as caught:
        unpack(archive, tmp_path / "out")
    assert caught.value.filename.endswith("100 are free)")
    assert written == []
    assert_nothing_unpacked(tmp_path)


def test_a_full_disk_leaves_nothing_and_names_the_folder(tmp_path, monkeypatch):
    def full(self, name):
        return Path("/dev/full").open("wb", buffering=0)

    monkeypatch.setattr(archives._Writer, "_new_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        unpack(make_zip(tmp_path / "archive"), tmp_path / "out")
    assert caught.value.filename == str(tmp_path / "out")
    assert_nothing_unpacked(tmp_path)
