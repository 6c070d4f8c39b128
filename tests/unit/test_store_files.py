"""Atomic files, tables, digests and shards."""

import hashlib
import json
import os
import subprocess
import sys
import time

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store import atomic, digest, shards, tables
from workflow_scripts.lib.store.item_ids import file_of, is_usable

ids = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=20).filter(is_usable)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")

    def fail():
        with atomic.atomic_path(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("module", "has_pandas"), [("workflow_scripts.probe_media", False), ("somebody.program", True)]
)
def test_a_job_that_makes_a_table_does_not_wait_for_pandas(module, has_pandas):
    code = f"""
import sys
from importlib.machinery import ModuleSpec
sys.modules["__main__"].__spec__ = ModuleSpec({module!r}, None)
import pyarrow
from workflow_scripts.lib.store import tables
made = pyarrow.table({{"a": ["x", None]}})
print("pandas" in sys.modules, made.to_pylist(), len(made.to_pandas()))
"""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == f"{has_pandas} [{{'a': 'x'}}, {{'a': None}}] 2\n"


def test_json_is_sorted_and_ends_with_a_newline(tmp_path):
    atomic.write_json(tmp_path / "new" / "a.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "new" / "a.json").read_text() == '{\n  "a": "ü",\n  "b": 1\n}\n'


def test_an_unchanged_file_is_not_touched(tmp_path):
    path = tmp_path / "a.txt"
    assert atomic.write_if_changed(path, "x")
    os.utime(path, (1, 1))
    assert not atomic.write_if_changed(path, b"x")
    assert path.stat().st_mtime == 1
    assert atomic.write_if_changed(path, "y")


def test_only_leftovers_of_dead_processes_are_swept(tmp_path):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    mine = atomic.sibling(tmp_path / "a.zarr", "tmp")
    dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{gone.stdout.strip()}-"))
    foreign = mine.with_name(mine.name.replace(atomic.HOST, "elsewhere"))
    aged = foreign.with_name(f"{foreign.name[:-8]}0123abcd")
    other = dead.with_name(dead.name.replace("a.zarr", "b.zarr"))
    for path in (mine, dead, foreign, aged, other):
        path.mkdir()
        (path / "content").write_text("x")
    os.utime(aged, (time.time() - 3 * 24 * 3600,) * 2)
    assert atomic.sweep_leftovers(tmp_path, "a.zarr") == sorted([dead, aged])
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign, other])
    assert atomic.sweep_leftovers(tmp_path) == [other]


def test_a_table_has_the_same_bytes_for_the_same_content(tmp_path):
    whole = pa.table({"a": [1, 2, 3], "b": [["x"], [], None]})
    pieces = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    tables.write_table(tmp_path / "a", whole, {"k": "v", "j": "w"})
    tables.write_table(tmp_path / "b", pieces.replace_schema_metadata({"pandas": "x"}), {"j": "w", "k": "v"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    back = tables.read_table(tmp_path / "a", ["b"])
    assert back.column_names == ["b"]
    assert back.schema.metadata == {b"j": b"w", b"k": b"v"}


def test_unreadable_tables_are_named(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    tables.write_table(tmp_path / "a.parquet", pa.table({"a": [1]}))
    for name, columns, message in [("none", None, "no such table"), ("bad", None, "not a readable Parquet file")]:
        with pytest.raises(UserError, match=message):
            tables.read_table(tmp_path / f"{name}.parquet", columns)
    with pytest.raises(UserError, match=r"no column z\. Columns there: a\. If another .* delete it and run again"):
        tables.read_table(tmp_path / "a.parquet", ["a", "z"])


def test_a_flipped_byte_in_the_rows_of_a_table_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    tables.write_table(path, pa.table({"a": [f"video {i}" for i in range(200)]}))
    whole = path.read_bytes()
    end_of_rows = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    n_noticed = 0
    positions = range(4, end_of_rows, 5)
    for position in positions:
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            assert tables.read_table(path).column("a").to_pylist() == [f"video {i}" for i in range(200)]
        except UserError:
            n_noticed += 1
    assert n_noticed > 0.9 * len(positions)


def test_digests(tmp_path):
    assert digest.digest_json({"b": [1, "ü"], "a": None}) == digest.digest_bytes('{"a":null,"b":[1,"ü"]}'.encode())
    with pytest.raises(ValueError):
        digest.digest_json(float("nan"))
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert digest.file_sha256(path) == hashlib.sha256(b"abc").hexdigest()
    assert digest.content_digest(path, whole=True) == digest.file_sha256(path)


@pytest.mark.parametrize("size", [0, 10, 2**20, 2**20 + 1, 3 * 2**20])
def test_the_content_digest_sees_size_head_and_tail(tmp_path, size):
    path = tmp_path / "a"
    seen = set()
    for change in (None, 0, size - 1):
        data = bytearray(size)
        if change is not None and 0 <= change < size:
            data[change] = 1
        path.write_bytes(data)
        seen.add(digest.content_digest(path))
    path.write_bytes(bytes(size + 1))
    seen.add(digest.content_digest(path))
    assert len(seen) == (2 if size == 0 else 4)


@given(ids, st.integers(1, 500))
def test_a_video_stays_in_its_shard(video_id, n_shards):
    shard = shards.shard_of(video_id, n_shards)
    assert 0 <= shard < n_shards
    assert shard == int(hashlib.sha256(video_id.encode()).hexdigest()[:8], 16) % n_shards
    assert shards.shard_name(shard, n_shards) == shards.all_shards(n_shards)[shard]


@given(st.dictionaries(ids, ids, min_size=1), ids, ids, st.integers(1, 9))
def test_a_new_video_touches_one_shard_only(entries, video_id, content, n_shards):
    before = shards.split_into_shards(entries, n_shards)
    after = shards.split_into_shards({**entries, video_id: content}, n_shards)
    name = shards.all_shards(n_shards)[shards.shard_of(video_id, n_shards)]
    assert {shard for shard in after if after[shard] != before[shard]} <= {name}
    assert {key: value for part in before.values() for key, value in part.items()} == entries


@given(st.dictionaries(ids, ids, max_size=8))
def test_shard_lists_come_back_sorted(entries):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        atomic.write_text(f"{folder}/0.tsv", shards.shard_list_text(entries))
        back = shards.read_shard_list(f"{folder}/0.tsv")
    assert list(back.items()) == sorted(entries.items())


def test_what_belongs_to_a_video_lies_in_the_same_subfolders_under_a_name_that_every_disk_takes(tmp_path):
    assert file_of(tmp_path, "a b/it's.c", ".srt") == tmp_path / "a b" / "it's.c.srt"
    long = ["視" * 84 + end for end in "ab"]
    files = [file_of(tmp_path, f"{name}/{name}", ".srt") for name in long]
    assert len({*files, *(file.parent for file in files)}) == 4
    for file in files:
        atomic.write_text(file, "x")
        assert file.name.startswith("視" * 46)


def test_bad_shard_lists_are_named(tmp_path):
    with pytest.raises(UserError, match=r"2 cannot be used: 'a\\tb', ''; .* tab or line break"):
        shards.shard_list_text({"a": "x", "a\tb": "x", "": "x"})
    (tmp_path / "a.tsv").write_text("a\tb\nc\n")
    with pytest.raises(UserError, match=r"a\.tsv:2: expected"):
        shards.read_shard_list(tmp_path / "a.tsv")
    with pytest.raises(UserError, match="no such shard list"):
        shards.read_shard_list(tmp_path / "b.tsv")


def test_the_number_of_shards_is_counted_once(tmp_path):
    record = tmp_path / "ds" / "shards.json"
    assert shards.frozen_shard_count(record, lambda: 700) == 11
    assert shards.frozen_shard_count(record, lambda: pytest.fail("counted again")) == 11
    assert json.loads(record.read_text())["n_shards"] == 11
    assert shards.frozen_shard_count(tmp_path / "few.json", lambda: 3) == 1
    assert shards.frozen_shard_count(tmp_path / "million.json", lambda: 1_000_000) == shards.MOST_SHARDS


def test_a_folder_that_cannot_be_written_still_gives_a_number(tmp_path):
    (tmp_path / "file").write_text("")
    assert shards.frozen_shard_count(tmp_path / "file" / "shards.json", lambda: 128) == 2


@pytest.mark.parametrize("text", ["{}", "[]", "no", '{"n_shards": 0}', '{"n_shards": "8"}'])
def test_a_damaged_shard_record_is_never_overwritten(tmp_path, text):
    record = tmp_path / "shards.json"
    record.write_text(text)
    with pytest.raises(UserError, match="expected"):
        shards.frozen_shard_count(record, lambda: 700)
    assert record.read_text() == text
