"""Rows read by us are those that zarr-python reads, and whatever we do not know is left to it."""

import json
import tempfile
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numcodecs.zstd import Zstd
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec

from workflow_scripts.lib.store.halves import as_float32, copy_rows
from workflow_scripts.lib.store.zarr_rows import _ByUs, _ByZarr, open_rows

CHECKED = ZstdCodec(level=-5, checksum=True)


def write(folder: Path, data: np.ndarray, chunk_rows: int, file_chunks: int | None, **changed) -> Path:
    """Write an array as our stores hold it, or with settings that are changed."""
    width = tuple(max(1, size) for size in data.shape[1:])
    form = {
        "chunks": (chunk_rows, *width),
        "shards": (chunk_rows * file_chunks, *width) if file_chunks else None,
        "compressors": [CHECKED],
        "config": {"write_empty_chunks": True},
    }
    array = zarr.create_array(folder, shape=data.shape, dtype=data.dtype, zarr_format=3, **form | changed)
    if data.size:
        array[:] = data
    return folder


def made(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return (1000 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("file_chunks", [None, 1, 3, 100])
@pytest.mark.parametrize("shape", [(0, 4), (1, 4), (8, 4), (23, 4), (24, 1), (50,), (17, 3, 2), (5, 0)])
def test_rows_are_those_that_zarr_reads(tmp_path, shape, file_chunks, dtype):
    data = made(shape, dtype)
    write(tmp_path, data, 8, file_chunks)
    rows = open_rows(tmp_path)
    assert isinstance(rows, _ByUs)
    assert (rows.shape, rows.dtype) == (shape, np.dtype(dtype))
    assert np.array_equal(rows.read(), data)
    assert rows.read().dtype == dtype


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_some_rows_are_those_of_the_whole(tmp_path, data):
    n_rows, chunk_rows, file_chunks = (data.draw(st.integers(1, most)) for most in (70, 12, 5))
    index_at = data.draw(st.sampled_from(["start", "end"]))
    form = {"chunk_shape": (chunk_rows, 2), "codecs": [BytesCodec(), CHECKED], "index_location": index_at}
    sharding = {"chunks": (chunk_rows * file_chunks, 2), "serializer": ShardingCodec(**form), "compressors": None}
    whole, folder = made((n_rows, 2), "float16"), Path(tempfile.mkdtemp(dir=tmp_path))
    rows = open_rows(write(folder, whole, chunk_rows, None, **sharding))
    assert isinstance(rows, _ByUs)
    ends = st.integers(0, n_rows)
    for _ in range(4):
        some = slice(data.draw(ends), data.draw(ends))
        assert np.array_equal(rows.read(some), whole[some])
        assert np.array_equal(rows.read(some, np.float32), whole[some].astype(np.float32))
        places = np.array(data.draw(st.lists(st.integers(0, n_rows - 1), max_size=9)), np.int64)
        assert np.array_equal(rows.read(places), whole[places])
        assert rows.read(places, np.float32).dtype == np.float32


FOREIGN = {
    "another compressor": {"compressors": [GzipCodec()]},
    "two compressors": {"compressors": [CHECKED, GzipCodec()]},
    "no compressor": {"compressors": None},
    "a compressor with threads": {"compressors": [BloscCodec(cname="zstd")]},
    "no checksum": {"compressors": [ZstdCodec(level=1, checksum=False)]},
    "the other byte order": {"serializer": BytesCodec(endian="big")},
    "chunks of some channels": {"chunks": (8, 2), "shards": (24, 2)},
    "files of some channels": {"chunks": (8, 2), "shards": (24, 4)},
    "other names of files": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "an index without checksum": {
        "chunks": (24, 4),
        "shards": None,
        "compressors": None,
        "serializer": ShardingCodec(chunk_shape=(8, 4), codecs=[BytesCodec(), CHECKED], index_codecs=[BytesCodec()]),
    },
    "chunks in chunks": {
        "chunks": (24, 4),
        "shards": None,
        "compressors": None,
        "serializer": ShardingCodec(
            chunk_shape=(8, 4),
            codecs=[ShardingCodec(chunk_shape=(4, 4), codecs=[BytesCodec(), CHECKED])],
            index_codecs=[BytesCodec(), Crc32cCodec()],
        ),
    },
}


@pytest.mark.parametrize("change", FOREIGN)
def test_what_is_stored_in_another_way_is_read_by_zarr(tmp_path, change):
    data = made((50, 4), "float16")
    rows = open_rows(write(tmp_path, data, 8, 3, **FOREIGN[change]))
    assert isinstance(rows, _ByZarr)
    assert (rows.shape, rows.dtype) == (data.shape, data.dtype)
    assert np.array_equal(rows.read(slice(5, 41)), data[5:41])
    assert np.array_equal(rows.read(np.array([49, 3]), np.float32), data[[49, 3]].astype(np.float32))


def test_a_number_format_that_is_not_ours_is_read_by_zarr(tmp_path):
    data = np.arange(50).astype("uint16")
    rows = open_rows(write(tmp_path, data, 8, 3))
    assert isinstance(rows, _ByZarr)
    assert np.array_equal(rows.read(), data)


@pytest.mark.parametrize("metadata", [{}, {"shape": 3}, {"zarr_format": 2, "node_type": "array"}])
def test_metadata_of_no_array_is_an_error_and_no_row(tmp_path, metadata):
    (tmp_path / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises((ValueError, KeyError, TypeError)):
        open_rows(tmp_path).read()


# Faults


@pytest.fixture
def features(tmp_path) -> Path:
    return write(tmp_path, made((50, 4), "float16"), 8, 3)


def index_of(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes()[-52:-4], "<u8").reshape(3, 2).copy()


def with_index(path: Path, entries: np.ndarray) -> None:
    table = entries.tobytes()
    path.write_bytes(path.read_bytes()[:-52] + table + google_crc32c.value(table).to_bytes(4, "little"))


def test_a_table_of_chunks_that_differs_from_its_checksum_is_refused(features):
    file = features / "c/1/0"
    data = bytearray(file.read_bytes())
    data[-30] ^= 1
    file.write_bytes(data)
    rows = open_rows(features)
    assert len(rows.read(slice(0, 24))) == 24
    with pytest.raises(ValueError, match="checksum of a table of chunks differs"):
        rows.read(slice(20, 30))


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ((2**64 - 1, 2**64 - 1), "a chunk is missing"),
        ((0, 2**40), "behind the end of its file"),
        ((60, 2**8), "ends too early|behind the end"),
        ((3, 40), "no checksum"),
        ((0, 0), "no checksum"),
    ],
)
def test_a_chunk_that_is_not_where_the_table_says_is_refused(features, entry, message):
    file = features / "c/0/0"
    entries = index_of(file)
    entries[1] = entry
    with_index(file, entries)
    with pytest.raises(ValueError, match=message):
        open_rows(features).read(slice(9, 10))


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (Zstd(level=1, checksum=False).encode(made((8, 4), "float16")), "no checksum"),
        (Zstd(level=1, checksum=True).encode(made((7, 4), "float16")), "reshape"),
        (Zstd(level=1, checksum=True).encode(made((9, 4), "float16")), "reshape"),
        (b"", "no checksum"),
    ],
)
def test_a_chunk_without_checksum_or_of_another_size_is_refused(tmp_path, frame, error):
    features = write(tmp_path, made((8, 4), "float16"), 8, None)
    (features / "c/0/0").write_bytes(frame)
    with pytest.raises(ValueError, match=error):
        open_rows(features).read()


def test_a_file_that_is_shorter_than_its_table_is_refused(features):
    (features / "c/2/0").write_bytes(b"12345")
    with pytest.raises(ValueError, match="shorter than the table"):
        open_rows(features).read(slice(48, 50))


def test_no_file_stays_open(features):
    rows = open_rows(features)
    before = len(list(Path("/proc/self/fd").iterdir()))
    rows.read()
    (features / "c/0/0").write_bytes(b"")
    with pytest.raises(ValueError, match="shorter"):
        open_rows(features).read()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Number formats


def test_every_float16_becomes_the_float32_that_numpy_makes_of_it():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    for some in (halves, halves[np.isfinite(halves)], halves[::2], halves.reshape(256, 256)[3:9, 1:7], halves[:0]):
        assert np.array_equal(as_float32(some).view(np.uint32), some.astype(np.float32).view(np.uint32))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_other_formats_are_copied_as_numpy_does_it(dtype):
    rows, out = made((5, 3), dtype), np.zeros((5, 3), np.float32)
    copy_rows(rows, out)
    assert np.array_equal(out, rows.astype(np.float32))
    assert np.array_equal(as_float32(rows), out)
