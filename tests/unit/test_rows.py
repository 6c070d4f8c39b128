"""Rows are read when they are asked for, once per sample, and only those that are wanted."""

import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from models.systems.interface import FeatureRows, Item, at_hand
from tests.unit.made_results import make_results
from tests.unit.made_stored import CALCE_FRAMES, CALCE_ROWS, SYSTEMS, counted, in_store, write_store
from tests.unit.made_training import N_TRAIN, SPLIT_ENDS
from workflow_scripts.lib.store import feature_store
from workflow_scripts.lib.store.feature_store import FeatureStore
from workflow_scripts.lib.training.reader import Reader
from workflow_scripts.lib.training.rows import RowsInStore


def alike(one, two) -> bool:
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(alike(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(alike, one, two))
    if isinstance(one, np.ndarray | torch.Tensor):
        return one.dtype == two.dtype and np.array_equal(one, two)
    return alike(vars(one), vars(two)) if hasattr(one, "__dict__") else one == two


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_sample_reads_each_of_its_rows_once_and_is_that_of_rows_at_hand(tmp_path, name, learns):
    system, items = SYSTEMS[name]()
    stored = in_store(items, tmp_path)
    for task in (None,) if learns else system.tasks:
        rng = (lambda: random.Random(0)) if learns else (lambda: None)
        for unit, lazy in zip(system.units(items, task), system.units(stored, task), strict=True):
            with counted() as reads:
                sample = system.sample(lazy, rng())
            assert reads.rows
            assert {len(own) for own in reads.rows.values()} == {1}
            assert alike(sample, system.sample(unit, rng()))


def test_of_many_frames_those_are_read_that_are_looked_at(tmp_path):
    system, items = SYSTEMS["calce"]()
    [item] = in_store(items, tmp_path)
    with counted() as reads:
        system.sample(item, random.Random(0))
    assert list(reads.rows.values()) == [[CALCE_FRAMES]]
    assert item.streams["visual"][0].n_rows == CALCE_ROWS


@pytest.mark.parametrize("name", ["calce", "quag", "uniq4cap"])
def test_whether_an_item_is_usable_is_told_without_reading(tmp_path, name):
    system, items = SYSTEMS[name]()
    with counted() as reads:
        assert system.skip_reason(in_store(items, tmp_path)[0], training=True) is None
    assert not reads.rows


ROWS = np.arange(200, dtype=np.float32).reshape(100, 2)
TIMES = np.stack([np.arange(100), np.arange(1, 101)], axis=1).astype(np.float32)


@pytest.fixture(params=[False, True], ids=["files", "kept"])
def lazy(tmp_path, request) -> RowsInStore:
    """The second of two videos."""
    store = write_store(tmp_path / "frames", {"a": FeatureRows(ROWS[:7], TIMES[:7]), "b": FeatureRows(ROWS, TIMES)})
    if request.param:
        store.keep(["b"])
    return RowsInStore(store, "b", "ok")


@pytest.mark.parametrize("places", [slice(None), slice(3, 40), slice(95, 300), slice(5, 2), np.array([2, 33, 34, 99])])
def test_rows_of_a_store_are_sliced_like_those_at_hand(lazy, places):
    for one, two in ((lazy, FeatureRows(ROWS, TIMES)), (lazy.part(1, 99), FeatureRows(ROWS[1:99], TIMES[1:99]))):
        wanted = places[places < two.n_rows] if isinstance(places, np.ndarray) else places
        assert np.array_equal(one.read(wanted), two.read(wanted))
        assert one.read(wanted).dtype == np.float32
        assert (one.n_rows, one.times.tolist()) == (two.n_rows, two.times.tolist())


def test_a_part_of_a_part_is_counted_from_its_own_start(lazy):
    assert np.array_equal(lazy.part(10, 50).part(5, 8).read(), ROWS[15:18])
    assert lazy.part(10, 50).part(5, 8).times.tolist() == TIMES[15:18].tolist()


def test_how_many_rows_there_are_is_known_without_opening_a_shard(lazy, monkeypatch):
    monkeypatch.setattr(feature_store, "_Shard", None)
    assert (lazy.n_rows, lazy.part(1, 4).n_rows) == (100, 3)


def test_shared_rows_are_brought_to_hand_once(lazy):
    items = [Item(name, "v", "", 1.0, {"visual": [lazy]}) for name in "ab"]
    with counted() as reads:
        one, two = at_hand(items)
    assert list(reads.rows.values()) == [[100]]
    assert one.streams["visual"][0] is two.streams["visual"][0]
    assert (one.id, two.id, one.streams["visual"][0].status) == ("a", "b", "ok")


# What a reader keeps


def reader(folder: Path) -> Reader:
    settings = json.loads(make_results(folder).read_text())
    return Reader(folder, settings["config"], settings["recipes"])


def kept(store: FeatureStore) -> set[str]:
    return set(store._kept)


def test_a_reader_keeps_the_rows_of_the_splits_that_it_was_asked_for(tmp_path):
    made = reader(tmp_path / "made")
    assert not any(map(kept, made.stores.values()))
    made.read("val")
    numbers = range(N_TRAIN, SPLIT_ENDS["val"])
    assert kept(made.stores["frames"]) == {f"v{number}" for number in numbers}
    assert kept(made.stores["words"]) == {f"q{number}" for number in numbers}
    made.queries_of_roles(("train", "test"))
    assert len(kept(made.stores["frames"])) == len(numbers)
    made.read("train")
    assert kept(made.stores["frames"]) == {f"v{number}" for number in range(SPLIT_ENDS["val"])}


def test_rows_are_kept_in_the_number_format_of_the_store_and_read_from_files_once(tmp_path, monkeypatch):
    read, many = [], feature_store._Shard.read_many
    monkeypatch.setattr(
        feature_store._Shard, "read_many", lambda shard, keys, dim: read.extend(keys) or many(shard, keys, dim)
    )
    made = reader(tmp_path / "made")
    items = [item for split in ("train", "val", "train") for item in made.read(split).items]
    monkeypatch.setattr(feature_store, "_Shard", None)
    assert all(rows.values.dtype == np.float32 for item in items for [rows] in item.streams.values())
    assert len(read) == len(set(read)) + SPLIT_ENDS["val"]  # frames and sounds have the same ids
    assert {rows.values.dtype for store in made.stores.values() for rows in store._kept.values()} == {
        np.dtype(np.float16)
    }


def test_what_is_kept_is_no_part_of_what_was_read_with_it(tmp_path, monkeypatch):
    rows = {name: FeatureRows(ROWS, TIMES) for name in "abcde"}
    monkeypatch.setattr(feature_store, "BLOCK_BYTES", 2 * ROWS.nbytes)
    store, places = write_store(tmp_path / "frames", rows), []
    values = feature_store._Shard._values
    monkeypatch.setattr(
        feature_store._Shard,
        "_values",
        lambda shard, wanted, dim: places.append((wanted.start, wanted.stop)) or values(shard, wanted, dim),
    )
    store.keep(["e", "a", "b", "d"])
    assert places == [(0, 200), (300, 500)]
    store.keep("ac")
    assert places[2:] == [(200, 300)]
    assert all(own.values.base is None and np.array_equal(own.values, ROWS) for own in store._kept.values())


@pytest.mark.parametrize("ids", list(itertools.permutations(["full", "none", "last", "also"])))
def test_videos_without_rows_cost_no_other_its_rows(tmp_path, ids):
    none = FeatureRows(ROWS[:0], TIMES[:0], "no_audio")
    rows = {"none": none, "full": FeatureRows(ROWS, TIMES), "also": none, "last": FeatureRows(ROWS, TIMES)}
    store = write_store(tmp_path / "frames", rows)
    with store._shard("0000") as shard:
        found = dict(shard.read_many({name: store.key_of(name) for name in ids}, ROWS.shape[1]))
    assert {name: len(own.values) for name, own in found.items()} == {
        "full": len(ROWS),
        "last": len(ROWS),
        "none": 0,
        "also": 0,
    }
    assert all(np.array_equal(found[name].values, ROWS) for name in ("full", "last"))
