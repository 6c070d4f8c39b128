"""What a published source holds for the ids of one shard."""

import numpy as np
import pyarrow as pa
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.imported_shard import ImportedShard
from workflow_scripts.lib.store.shards import all_shards, is_in_shard
from workflow_scripts.lib.store.tables import write_table

RECIPE = {
    "kind": "visual",
    "layout": "npy",
    "key": None,
    "times": 2.0,
    "tolerance_s": None,
    "on_wrong_length": "keep",
    "store_dtype": "float16",
}


@pytest.fixture
def project(tmp_path):
    """A folder with rows of `a` and `b`, and a table with these and `c`, 6 s each."""
    rows = [{"video_id": v, "source_video_id": v, "youtube_id": None, "duration_s": 6.0} for v in "abc"]
    write_table(tmp_path / "videos.parquet", pa.Table.from_pylist(rows))
    (tmp_path / "files").mkdir()
    np.save(tmp_path / "files/a.npy", np.ones((3, 2), np.float32))
    np.save(tmp_path / "files/b.npy", np.ones((30, 2), np.float32))
    return tmp_path


def imported(folder, shard="0000", n_shards=1, pattern="{video_id}.npy", **recipe):
    settings = {"recipe": RECIPE | recipe, "source": {"path": str(folder / "files"), "id_pattern": pattern}}
    return ImportedShard(settings, folder / "videos.parquet", shard, n_shards)


def test_a_shard_wants_its_own_videos_only(project):
    for shard in ("0000", "0001"):
        wanted = [want.id for want in imported(project, shard, 2).wanted()]
        assert wanted == [video for video in "abc" if is_in_shard(video, shard, 2)]


def test_every_video_ends_in_rows_or_a_reason(project):
    found = {video.id: video for video in imported(project, on_wrong_length="fail").compute("abc")}
    assert {name: video.status for name, video in found.items()} == {"a": "ok", "b": "failed", "c": "failed"}
    assert found["a"].times.tolist() == [[0, 2], [2, 4], [4, 6]]
    assert found["b"].reason.startswith("wrong length: 30 rows of 2 s for 6.000 s")
    assert found["c"].reason == "missing: no c.npy"


def test_a_value_that_the_store_cannot_hold_costs_its_video_only(project):
    np.save(project / "files/b.npy", np.full((3, 2), 1e6, np.float32))
    found = {video.id: video for video in imported(project).compute("ab")}
    assert found["a"].status == "ok"
    assert found["b"].reason == "unreadable: its value 1e+06 does not fit float16; set `store_dtype: float32`"
    assert [video.status for video in imported(project, store_dtype="float32").compute("b")] == ["ok"]


def project_of(folder, lengths, duration_s=150.0):
    """Write rows of videos, so many each, and the table of their durations."""
    rows = [{"video_id": v, "source_video_id": v, "youtube_id": None, "duration_s": duration_s} for v in lengths]
    write_table(folder / "videos.parquet", pa.Table.from_pylist(rows))
    for name, n_rows in lengths.items():
        np.save(folder / f"files/{name}.npy", np.ones((n_rows, 2), np.float32))
    return folder


@pytest.mark.parametrize("on_wrong_length", ["report", "fail"])
def test_another_frame_rate_than_stated_is_told_from_single_wrong_lengths(project, on_wrong_length):
    def wrong_rate(**lengths):
        shard = imported(project_of(project, lengths), on_wrong_length=on_wrong_length)
        list(shard.compute(lengths))
        return shard.wrong_rate()

    assert wrong_rate(a=150, b=149, c=76) == (
        "the rows of 2 of 3 videos do not fit the durations: they imply 1 s per row, `times` says 2"
    )
    assert wrong_rate(a=150, b=150, c=75, d=75) is None
    assert wrong_rate(a=74, b=75, c=76) is None
    # Cut off at some number, or broken: no rate explains them.
    assert wrong_rate(a=20, b=35, c=50) is None
    assert wrong_rate(a=0, b=75) is None


def test_rows_that_are_spread_over_the_duration_have_no_rate_of_their_own(project):
    shard = imported(project, times="proportional")
    list(shard.compute("ab"))
    assert shard.wrong_rate() is None


def test_the_digest_follows_content_and_duration(project):
    def digests():
        return {want.id: want.digest for want in imported(project).wanted()}

    before = digests()
    np.save(project / "files/a.npy", np.zeros((4, 2), np.float32))
    changed = digests()
    assert [video for video in "abc" if before[video] != changed[video]] == ["a"]
    rows = [{"video_id": v, "source_video_id": v, "youtube_id": None, "duration_s": 7.0} for v in "abc"]
    write_table(project / "videos.parquet", pa.Table.from_pylist(rows))
    assert not set(digests().values()) & set(changed.values())


def test_a_shard_of_missing_files_is_fine_if_another_shard_has_some(project):
    shard, n_shards = next(
        (shard, n_shards)
        for n_shards in range(2, 20)
        for shard in all_shards(n_shards)
        if [video for video in "abc" if is_in_shard(video, shard, n_shards)] == ["c"]
    )
    (found,) = imported(project, shard, n_shards).compute("c")
    assert found.status == "failed"
    with pytest.raises(UserError, match=r"looked for 'v_a.npy' and 2 others, found e.g. '.\.npy'"):
        imported(project, shard, n_shards, pattern="v_{video_id}.npy")
