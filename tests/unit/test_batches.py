"""Which shards a job takes, what its marker says, and which shards it leaves alone."""

import json
from functools import partial

import numpy as np
import pytest

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.job import run_jobs
from workflow_scripts.lib.planning.batch_sizes import FEWEST_JOBS, recorded_size, shards_per_job
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.store.batches import (
    batches_of,
    marker_path,
    remove_markers,
    shards_in,
    stores_in,
    stores_named,
    write_marker,
)
from workflow_scripts.lib.store.shard_job import Computed, Wanted, is_current, update_shard

CONFIG = ROOT / "config"
RECIPE = {"encoder": "made"}


def test_batches_hold_all_shards_in_order():
    shards = [f"{number:04d}" for number in range(10)]
    assert batches_of(shards, 4) == ["0000-0003", "0004-0007", "0008-0009"]
    assert [shard for name in batches_of(shards, 4) for shard in shards_in(name)] == shards
    assert batches_of(shards, 3)[-1] == "0009-0009"
    assert shards_in("0009-0009") == shards_in("0009") == ["0009"]
    assert shards_in("manifest") == ["manifest"]
    assert shards_in("09998-10001") == ["09998", "09999", "10000", "10001"]


def made(store, values=None):
    """Make a shard of two videos; return what is wanted of it."""
    wanted = [Wanted("a", "1"), Wanted("b", "2")]

    def compute(missing):
        for video in missing:
            yield Computed(video, np.full((2, 3), 1.0 if values is None else values), np.zeros((2, 2)))

    update_shard(store, wanted, RECIPE, "float32", None, compute, None)
    return wanted


def test_a_shard_is_current_only_as_it_is_wanted_and_complete(tmp_path):
    store = tmp_path / "0000.zarr"
    assert not is_current(store, [], RECIPE, "float32")
    wanted = made(store)
    assert is_current(store, wanted, RECIPE, "float32")
    for other in (wanted[:1], [*wanted, Wanted("c", "3")], [Wanted("a", "changed"), wanted[1]]):
        assert not is_current(store, other, RECIPE, "float32")
    assert not is_current(store, wanted, {"encoder": "other"}, "float32")
    assert not is_current(store, wanted, RECIPE, "float16")
    metadata = (store / "zarr.json").read_text()
    (store / "zarr.json").write_text(metadata + " ")
    assert not is_current(store, wanted, RECIPE, "float32")
    (store / "zarr.json").unlink()
    assert not is_current(store, wanted, RECIPE, "float32")


def test_a_marker_names_its_stores_and_changes_with_their_rows(tmp_path):
    batch = tmp_path / "0000-0001.zarr"
    assert stores_in(batch) == [tmp_path / "0000.zarr", tmp_path / "0001.zarr"]
    for store in stores_in(batch):
        made(store)
    write_marker(batch)
    marker = marker_path(tmp_path, "0000-0001")
    before = marker.read_bytes()
    assert stores_named(marker, tmp_path) == stores_in(batch)
    write_marker(batch)
    assert marker.read_bytes() == before
    made(tmp_path / "0002.zarr")
    (tmp_path / "0001.zarr").rename(tmp_path / "old")
    made(tmp_path / "0001.zarr", 2.0)
    write_marker(batch)
    assert marker.read_bytes() != before
    assert (
        stores_named(tmp_path / "0002.zarr", tmp_path)
        == stores_named(tmp_path / "0002.zarr/zarr.json", tmp_path)
        == [tmp_path / "0002.zarr"]
    )
    for damaged in ("", "[]", "{}", '{"shards": 3}'):
        marker.write_text(damaged)
        with pytest.raises(UserError, match=r"0000-0001\.json: says of no shards"):
            stores_named(marker, tmp_path)
    assert remove_markers(tmp_path, ["0002"]) == []
    assert remove_markers(tmp_path, ["0001", "0002"]) == [marker]
    assert not marker.exists()


def test_a_marker_is_not_written_while_a_shard_is_missing(tmp_path):
    made(tmp_path / "0000.zarr")
    with pytest.raises(UserError):
        write_marker(tmp_path / "0000-0001.zarr")
    assert not marker_path(tmp_path, "0000-0001").exists()


def test_a_job_that_was_stopped_goes_on_with_the_shard_and_video_that_it_had_reached(tmp_path):
    settings = {"feature_cache": None, "recipe": RECIPE | {"store_dtype": "float32"}}
    wanted = [[Wanted(f"{shard}{video}", f"{shard}{video}") for video in "ab"] for shard in range(3)]
    asked, marker = [], marker_path(tmp_path, "0000-0002")

    def compute(missing, stops_at):
        for video in missing:
            if video == stops_at:
                raise KeyboardInterrupt
            asked.append(video)
            yield Computed(video, np.ones((2, 3)), np.zeros((2, 2)))

    with pytest.raises(KeyboardInterrupt):
        run_jobs(settings, tmp_path / "0000-0002.zarr", wanted, partial(compute, stops_at="1b"))
    assert asked == ["0a", "0b", "1a"]
    assert not marker.exists()
    run_jobs(settings, tmp_path / "0000-0002.zarr", wanted, partial(compute, stops_at=None))
    assert asked == ["0a", "0b", "1a", "1b", "2a", "2b"]
    assert list(json.loads(marker.read_text())["shards"]) == ["0000", "0001", "0002"]
    run_jobs(settings, tmp_path / "0000-0002.zarr", wanted, partial(compute, stops_at="0a"))


@pytest.mark.parametrize(
    ("feature", "n_shards", "hours", "size"),
    [
        # A shard of QVHighlights takes 141 s to decode by one core.
        ("clip_b32", 159, 422, 4),
        ("clip_b32", 159, 42_200, 1),
        ("slowfast_r50", 159, 422, 1),
        # A hundred shards of sound are ten minutes of work, of which sixteen GPUs want some.
        ("cnn14", 159, 422, 9),
        ("clip_b32", 31, 80, 1),
        ("clip_b32", 159, 0, 1),
        ("sound_level", 159, 422, 1),
        ("minilm", 159, 0, 39),
        ("minilm", 3, 8, 1),
    ],
)
def test_how_many_shards_a_job_takes(feature, n_shards, hours, size):
    described = Configuration({}, CONFIG).feature("qvh", feature)
    found = shards_per_job(described, n_shards, hours)
    assert found == size
    assert found <= max(1, n_shards // FEWEST_JOBS) or feature == "minilm"


@pytest.mark.parametrize("feature", ["whisper_tiny_en", "clip_b32_qvh_published", "captions_qvh_vtggpt"])
def test_imports_and_transcripts_have_a_job_per_shard_and_say_so(feature):
    given = {"features": {feature: {"runtime": {"shards_per_job": 2}}}}
    with pytest.raises(UserError, match="shards_per_job is not for imports and transcripts"):
        Configuration(given, CONFIG).feature("qvh", feature)


def test_the_number_is_decided_once(tmp_path, caplog):
    record = tmp_path / "feature" / "shards_per_job.json"
    assert recorded_size(record, lambda: 7) == 7
    assert recorded_size(record, lambda: 3) == 7
    record.write_text("{")
    assert recorded_size(record, lambda: 3) == 3
    assert json.loads(record.read_text()) == {"shards_per_job": 3}
    (tmp_path / "file").touch()
    assert recorded_size(tmp_path / "file" / "shards_per_job.json", lambda: 4) == 4
    assert "not recorded" in caplog.text


def test_an_index_waits_for_batches_or_for_shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def waits_for(feature, n_shards, size=None):
        runtime = {"runtime": {"shards_per_job": size}}
        demo = {"n_shards": n_shards, "features": {feature: runtime} if size else {}}
        plan = Plan({"datasets": {"demo": demo}}, CONFIG)
        return [path.partition(f"{feature}/")[2] for path in plan.features.row_shards("demo", feature)]

    assert waits_for("clip_tiny", 2) == ["0000.zarr/zarr.json", "0001.zarr/zarr.json"]
    assert waits_for("clip_tiny", 3, 2) == ["batches/0000-0001.json", "batches/0002-0002.json"]
    assert waits_for("clip_tiny", 2, 9) == ["batches/0000-0001.json"]
    assert waits_for("minilm", 8) == [f"batches/{first:04d}-{first + 1:04d}.json" for first in range(0, 8, 2)]
    assert not (tmp_path / "results/demo/features/clip_tiny/shards_per_job.json").exists()
    # Snakemake does not know with which settings a batch made its shards.
    (tmp_path / "results/demo/features/clip_tiny/batches").mkdir(parents=True)
    assert waits_for("clip_tiny", 2) == ["batches/0000-0000.json", "batches/0001-0001.json"]
