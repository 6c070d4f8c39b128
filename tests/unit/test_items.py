"""Items from tables and stores, their digest, and the standardisation of their rows."""

import json
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from models.systems.interface import FeatureRows, Item
from tests.unit.made_results import SPLIT_ENDS, make_results
from tests.unit.made_training import N_TRAIN, made_item
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.tables import read_table, write_table
from workflow_scripts.lib.training.reader import Reader, Split
from workflow_scripts.lib.training.standardiser import DEAD_STD, LIMIT_STD, Standardiser


def reader(tmp_path, name="made", **given) -> Reader:
    path = make_results(tmp_path / name, **given)
    settings = json.loads(path.read_text())
    return Reader(tmp_path / name, settings["config"], settings["recipes"])


def changed(table: str, **values):
    """Return a change of the first row of a table."""
    return lambda name, row: row | values if name == table and row["video_id"] == "v0" else row


def test_a_split_holds_its_queries_with_rows_moments_and_durations(tmp_path):
    found = reader(tmp_path).read("train")
    assert [item.id for item in found.items] == [f"q{number}" for number in range(N_TRAIN)]
    assert not found.skipped
    item, wanted = found.items[4], made_item(4)
    assert (item.video_id, item.text, item.duration_s) == (wanted.video_id, wanted.text, wanted.duration_s)
    assert np.array_equal(item.annotated.moments, wanted.annotated.moments)
    for stream, [rows] in item.streams.items():
        values = wanted.streams[stream][0].values.astype(np.float16).astype(np.float32)
        assert rows.values.dtype == np.float32
        assert np.array_equal(rows.values, values)
        assert np.array_equal(rows.times, wanted.streams[stream][0].times)


def test_the_videos_of_a_corpus_follow_the_queries_under_ids_of_their_own(tmp_path):
    path = make_results(tmp_path / "made")
    settings = json.loads(path.read_text())
    config = settings["config"] | {"streams": {"visual": settings["config"]["streams"]["visual"]}}
    found = Reader(tmp_path / "made", config, settings["recipes"], tasks=["videos"]).read("val")
    numbers = range(N_TRAIN, SPLIT_ENDS["val"])
    assert [item.id for item in found.items] == [f"{kind}{number}" for kind in "qv" for number in numbers]
    assert [item.is_video for item in found.items] == [False] * len(numbers) + [True] * len(numbers)


def test_the_width_of_every_feature_is_told(tmp_path):
    assert reader(tmp_path).stream_dims() == {"visual": [6], "audio": [4], "text": [5]}


def test_bad_videos_and_failed_features_are_counted_by_reason(tmp_path):
    def change(table, row):
        return row | {"status": "unreadable"} if table == "manifest" and row["video_id"] in ("v0", "v3") else row

    found = reader(tmp_path, change=change, status_of={("sounds", "v1"): "failed", ("sounds", "v2"): "no_audio"})
    split = found.read("train")
    assert split.skipped == {"video unreadable": 2, "sounds failed": 1}
    assert [item.id for item in split.items][:2] == ["q2", "q4"]
    silent = split.items[0].streams["audio"][0]
    assert (silent.status, silent.values.shape) == ("no_audio", (0, 4))


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ({"start_s": 1001.0, "end_s": 1004.0}, "moment outside its video"),
        ({"start_s": -4.0, "end_s": -1.0}, "moment outside its video"),
        ({"start_s": 1001.0, "end_s": 1001.0}, "moment outside its video"),
        ({"start_s": 3.0, "end_s": 2.0}, "moment ends before it starts"),
    ],
)
@pytest.mark.parametrize("view", ["clip", "raw", "calce_round"])
def test_a_moment_of_which_nothing_lies_in_its_video_is_never_taught_and_its_query_still_asked(
    tmp_path, span, why, view
):
    queries = {"kinds": None, "moments": view}
    found = reader(tmp_path, change=changed("moments", **span), config__queries=queries)
    taught = found.read("train", teaches=True)
    assert taught.skipped == {why: 1}
    assert [item.id for item in taught.items] == [f"q{number}" for number in range(1, N_TRAIN)]
    asked = found.read("train")
    assert (len(asked.items), dict(asked.skipped)) == (N_TRAIN, {})
    assert not len(asked.items[0].annotated.moments)


def test_of_several_moments_only_the_empty_ones_are_left_out(tmp_path):
    path = make_results(tmp_path / "made")
    moments = tmp_path / "made" / "annotations" / "moments.parquet"
    table = read_table(moments)
    first = table.to_pylist()[0]
    late = first | {"window_index": 1, "start_s": 1000.0, "end_s": 1001.0}
    write_table(moments, pa.Table.from_pylist([late, *table.to_pylist()], table.schema))
    settings = json.loads(path.read_text())
    taught = Reader(tmp_path / "made", settings["config"], settings["recipes"]).read("train", teaches=True)
    assert not taught.skipped
    assert np.array_equal(taught.items[0].annotated.moments, [[first["start_s"], first["end_s"]]])


def test_only_queries_of_the_wanted_kinds_are_read(tmp_path):
    found = reader(tmp_path, config__queries={"kinds": ["sound"], "moments": "clip"}).read("val")
    assert {item.source["kind"] for item in found.items} == {"sound"}
    assert len(found.items) == 3


def test_an_unknown_split_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(UserError, match=r"no queries in split 'valid'; splits there: \['test', 'train', 'val'\]"):
        reader(tmp_path).read("valid")


def test_rows_of_another_recipe_are_refused(tmp_path):
    path = make_results(tmp_path / "made")
    settings = json.loads(path.read_text())
    with pytest.raises(UserError, match="sounds: rows of another recipe"):
        Reader(tmp_path / "made", settings["config"], settings["recipes"] | {"sounds": "other"})


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path):
    split = reader(tmp_path).read("val")
    split.skipped["video missing"] = 2
    kept = split.usable(lambda item: "too long" if item.duration_s > 10 else None)
    assert len(kept.items) + kept.skipped["too long"] == len(split.items) == SPLIT_ENDS["val"] - N_TRAIN
    assert kept.skipped["video missing"] == 2
    assert "too long" not in split.skipped


@pytest.mark.parametrize(
    "change",
    [
        changed("queries", text="another sentence"),
        changed("moments", start_s=0.5),
        changed("videos", duration_s=5.0),
        changed("manifest", status="missing"),
    ],
    ids=["text", "moment", "duration", "video"],
)
def test_the_digest_changes_with_everything_an_item_holds(tmp_path, change):
    before = reader(tmp_path).read("train").digest
    assert reader(tmp_path, "other", change=change).read("train").digest != before


def test_the_digest_of_a_split_does_not_change_with_other_splits_paths_or_media_notes(tmp_path):
    before = reader(tmp_path).read("val").digest
    assert reader(tmp_path, "other", change=changed("queries", text="another sentence")).read("val").digest == before


def test_durations_belong_to_the_view_of_the_moments(tmp_path):
    change = changed("videos", duration_s=8.6)
    plain = reader(tmp_path, change=change).read("train").items[0]
    rounded = reader(
        tmp_path, "rounded", change=change, config__queries={"kinds": None, "moments": "calce_round"}
    ).read("train")
    assert (plain.duration_s, rounded.items[0].duration_s) == (8.6, 9.0)


def item_of(values) -> Item:
    values = np.asarray(values, dtype=np.float32)
    rows = FeatureRows(values, np.zeros((len(values), 2), np.float32))
    return Item("q", "v", "", 1.0, {"visual": [rows], "audio": [rows]})


def test_standardised_training_rows_have_mean_zero_and_deviation_one():
    rng = np.random.default_rng(0)
    items = [item_of(rng.normal([3, -100], [2, 50], (n, 2))) for n in (40, 7, 90)]
    fitted = Standardiser.fit(items, ["visual"])
    rows = np.concatenate([fitted.apply(item).streams["visual"][0].values for item in items])
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(rows.std(0), 1, rtol=1e-4)
    assert np.array_equal(fitted.apply(items[0]).streams["audio"][0].values, items[0].streams["audio"][0].values)


@pytest.mark.parametrize("width", [1, 2, 3, 40])
def test_what_is_fitted_video_by_video_is_that_of_all_rows_at_once_to_the_last_bit(width):
    # Of values so far apart that their sum is mostly rounding, which another order would change.
    rng = np.random.default_rng(width)
    parts = [rng.normal(size=(n, width)) * 10 ** rng.uniform(-8, 8, (n, width)) for n in (200, 1, 999, 0, 301)]
    parts = [part.astype(np.float32) for part in (*parts, *(-part for part in parts[::-1]))]
    values = np.concatenate(parts).astype(np.float64)
    std = values.std(axis=0)
    alive = std > DEAD_STD * std.max()
    scale = np.where(alive, 1 / np.where(alive, std, 1), 0)
    [(mean, found)] = Standardiser.fit([item_of(part) for part in parts], ["visual"]).moments["visual"]
    assert mean.tobytes() == values.mean(axis=0).astype(np.float32).tobytes()
    assert found.tobytes() == scale.astype(np.float32).tobytes()


def test_fitting_holds_the_rows_of_one_video():
    items = [item_of(np.full((400, 50), number)) for number in range(60)]
    tracemalloc.start()
    Standardiser.fit(items, ["visual"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    one_video = 400 * 50 * np.dtype(np.float64).itemsize
    assert peak < 5 * one_video


def test_a_video_with_many_queries_counts_once():
    a, b = item_of(np.zeros((5, 1))), item_of(np.ones((5, 1)))
    [(mean, _)] = Standardiser.fit([a, a, a, b], ["visual"]).moments["visual"]
    assert mean.tolist() == [0.5]


def test_a_dimension_that_hardly_varies_is_set_to_zero():
    rng = np.random.default_rng(0)
    values = np.column_stack([rng.normal(0, 1, 50), np.full(50, 7.0), rng.normal(0, 1e-5, 50)])
    fitted = Standardiser.fit([item_of(values)], ["visual"])
    elsewhere = fitted.apply(item_of([[0.5, 8.0, 3.0]])).streams["visual"][0].values
    assert elsewhere[0, 0] != 0
    assert elsewhere[0, 1:].tolist() == [0, 0]


def test_outliers_are_cut():
    fitted = Standardiser.fit([item_of([[0.0], [1.0]])], ["visual"])
    assert fitted.apply(item_of([[1e6], [-1e6]])).streams["visual"][0].values.ravel().tolist() == [
        LIMIT_STD,
        -LIMIT_STD,
    ]


def test_a_stream_without_a_single_row_stays_finite():
    """No training video has sound; one that is predicted later does."""
    fitted = Standardiser.fit([item_of(np.zeros((0, 3)))], ["audio"])
    assert fitted.apply(item_of(np.ones((2, 3)))).streams["audio"][0].values.tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("standardised", [[], ["visual", "audio"]])
def test_a_zeroed_stream_is_zero_and_the_others_are_as_ever(standardised):
    item = item_of([[1.0, 2.0], [3.0, 5.0]])
    fitted = Standardiser.fit([item], standardised)
    zeroed, plain = fitted.apply(item, zeroed="audio"), fitted.apply(item)
    assert not zeroed.streams["audio"][0].values.any()
    assert zeroed.streams["audio"][0].values.shape == (2, 2)
    assert np.array_equal(zeroed.streams["visual"][0].values, plain.streams["visual"][0].values)
    assert item.streams["audio"][0].values.all()


def test_a_share_of_the_videos_is_held_out_with_all_their_queries(tmp_path):
    def change(table, row):
        return row | {"video_id": "v0"} if table in ("queries", "moments") and row["video_id"] in ("v1", "v2") else row

    whole = reader(tmp_path, change=change).read("train")
    kept, held = whole.hold_out(0.4)
    again = reader(tmp_path, "again", change=change).read("train").hold_out(0.4)
    assert kept.items
    assert held.items
    assert not {item.video_id for item in kept.items} & {item.video_id for item in held.items}
    assert len(kept.items) + len(held.items) == len(whole.items)
    assert [item.id for item in held.items] == [item.id for item in again[1].items]
    assert [key[0] for key in held.keys] == [item.id for item in held.items]
    assert kept.digest != whole.digest


def test_the_share_that_is_held_out_is_the_one_asked_for_and_a_larger_one_holds_out_the_same_and_more():
    numbers = range(400)
    whole = Split([Item(f"q{i}", f"v{i}", "", 1.0, {}) for i in numbers], keys=list(numbers))
    few, many = (whole.hold_out(share)[1] for share in (0.1, 0.8))
    assert len(few.items) == pytest.approx(0.1 * 400, abs=20)
    assert len(many.items) == pytest.approx(0.8 * 400, abs=30)
    assert set(few.keys) < set(many.keys)


def test_queries_without_rows_are_those_of_the_splits_that_play_a_role(tmp_path):
    def change(table, row):
        return row | {"status": "unreadable"} if table == "manifest" and row["video_id"] == "v0" else row

    found = reader(tmp_path, change=change).queries_of_roles(("train", "test"))
    numbers = [*range(1, N_TRAIN), *range(SPLIT_ENDS["val"], SPLIT_ENDS["test"])]
    assert [item.id for item in found] == [f"q{number}" for number in numbers]
    assert all(item.text and not item.streams for item in found)
