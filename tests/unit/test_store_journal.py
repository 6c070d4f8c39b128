"""The journal of a shard: what a kill, a full disk or a loss of power leaves of it is told from what was written."""

import errno
import os

import numpy as np
import pytest

from workflow_scripts.lib.store import journal as journal_module
from workflow_scripts.lib.store.journal import SYNC_EVERY_S, Journal
from workflow_scripts.lib.store.parts import Part

PARTS = {
    "one": Part(np.arange(6, dtype=np.float16).reshape(2, 3), np.ones((2, 2), np.float32), "ok", "", ("a", "b")),
    "none": Part(np.zeros((0, 3), np.float16), np.zeros((0, 2), np.float32), "no_audio", "no sound\nat all: ü"),
    "wide": Part(np.full((1, 9), 1e30, np.float32), np.zeros((1, 2), np.float32), "ok", ""),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "features" / "0000.journal"


def write(path, names=tuple(PARTS)) -> list[int]:
    """Add parts; return the size of the file after each."""
    sizes = []
    with Journal(path) as journal:
        for name in names:
            journal.add(name, PARTS[name])
            sizes.append(path.stat().st_size)
    return sizes


def found(path) -> list[str]:
    """Return the keys in a journal; every part has to be the one that was added."""
    with Journal(path) as journal:
        keys = [name for name in PARTS if journal.get(name) is not None]
        assert len(journal) == len(keys)
        for name in keys:
            part, expected = journal.get(name), PARTS[name]
            assert part.values.dtype == expected.values.dtype
            assert part.values.shape == expected.values.shape
            assert np.array_equal(part.values, expected.values)
            assert np.array_equal(part.times, expected.times)
            assert part[2:] == expected[2:]
    return keys


def test_parts_come_back_in_this_process_and_the_next(path):
    with Journal(path) as journal:
        journal.add("one", PARTS["one"])
        for back, part in zip(journal.get("one"), PARTS["one"], strict=True):
            assert np.array_equal(back, part)
        assert journal.get("none") is None
    write(path, ("none", "wide"))
    assert found(path) == list(PARTS)


def test_nothing_is_written_before_the_first_video(path):
    with Journal(path):
        pass
    assert not path.parent.exists()


def test_wherever_it_was_cut_the_whole_records_stay_and_the_work_goes_on(path):
    sizes = write(path)
    whole = path.read_bytes()
    for n_bytes in range(len(whole)):
        path.write_bytes(whole[:n_bytes])
        kept = found(path)
        assert kept == list(PARTS)[: sum(size <= n_bytes for size in sizes)]
        if n_bytes % 7 == 0:
            write(path, [name for name in PARTS if name not in kept])
            assert path.read_bytes() == whole


def test_wherever_a_byte_is_damaged_nothing_false_comes_back(path):
    sizes = write(path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        first_line = len(journal_module._FIRST_LINE)
        assert found(path) == ([] if place < first_line else list(PARTS)[: sum(size <= place for size in sizes)])


@pytest.mark.parametrize("tail", [bytes(500), b"\xff" * 500])
def test_blocks_that_never_reached_the_disk_are_cut_off(path, tail, caplog):
    caplog.set_level("INFO")
    write(path, ["one"])
    with path.open("ab") as file:
        file.write(tail)
    assert found(path) == ["one"]
    assert "1 finished videos; behind them 500 bytes of no whole record" in caplog.text


def test_a_file_of_another_form_is_begun_anew(path):
    path.parent.mkdir()
    path.write_bytes(b"momentflow journal 2\n" + bytes(1000))
    assert found(path) == []
    write(path)
    assert found(path) == list(PARTS)


def test_a_full_disk_names_the_journal_and_costs_the_last_video_only(path, monkeypatch):
    write(path, ["one"])
    write_some, room = os.write, [100]

    def write_a_little(descriptor, data):
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = write_some(descriptor, data[: room[0]])
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", write_a_little)
    with Journal(path) as journal, pytest.raises(OSError, match=r"No space left .*0000\.journal"):
        journal.add("none", PARTS["none"])
    monkeypatch.undo()
    assert found(path) == ["one"]


def test_many_small_videos_share_a_sync_and_a_slow_one_has_its_own(path, monkeypatch):
    now, synced = [1000.0], []
    monkeypatch.setattr(journal_module.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: synced.append(now[0]))
    with Journal(path) as journal:
        for number in range(10):
            now[0] += SYNC_EVERY_S / 4
            journal.add(f"quick {number}", PARTS["one"])
        assert len(synced) == 2
        now[0] += 60
        journal.add("slow", PARTS["one"])
        assert synced[-1] == now[0]
