"""Several features from one pass over a video: each gets its frames, its rows, and only its own faults."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from models.encoders.interface import Encoder
from tests.decoded import decoded, decoded_rows, found
from tests.unit.made_clips import make_clip
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction import frames_seen
from workflow_scripts.lib.extraction.frames_seen import Pictures
from workflow_scripts.lib.extraction.one_pass import Member, make_together
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media import decode_pyav
from workflow_scripts.lib.media.decode import Rows, Taker, decode_together
from workflow_scripts.lib.media.media_error import DecodeError
from workflow_scripts.lib.media.plan_table import plan_row
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.store.aside import Aside
from workflow_scripts.lib.store.claims import Claims
from workflow_scripts.lib.store.shard_job import Computed, Wanted, row_key, update_shard
from workflow_scripts.lib.store.shard_store import read_whole_shard

RECIPE = {"encoder": "made", "store_dtype": "float32"}
SQUASH, HERO = {"rule": "squash", "size": 96}, {"rule": "hero", "size": 32}
N_FRAMES = 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", n_frames=N_FRAMES)


def together(path, *asked: tuple[list[int], dict | None]) -> list[list[np.ndarray]]:
    """Decode a video once for several takers, each of these positions and resize rule."""
    takers = [Taker(found(path, positions)[1], np.array(positions), resize) for positions, resize in asked]
    frames = [[] for _ in asked]
    for number, frame in decode_together(found(path, [0])[0], takers):
        frames[number].append(frame)
    return frames


def test_every_taker_gets_the_frames_of_a_pass_of_its_own(clip):
    asked = [(list(range(0, N_FRAMES, 7)), SQUASH), (list(range(N_FRAMES)), HERO), ([3], None), ([0, 14, 39], SQUASH)]
    for frames, (positions, resize) in zip(together(clip, *asked), asked, strict=True):
        np.testing.assert_array_equal(frames, list(decoded(clip, positions, resize)))


def test_a_video_is_opened_once_and_read_up_to_the_last_frame_that_anybody_wants(clip, monkeypatch):
    n_opened, n_decoded = [], []
    opened, all_of = decode_pyav.open_video, decode_pyav._decoded
    monkeypatch.setattr(decode_pyav, "open_video", lambda path: n_opened.append(1) or opened(path))
    monkeypatch.setattr(
        decode_pyav, "_decoded", lambda *stream: (n_decoded.append(1) or frame for frame in all_of(*stream))
    )
    together(clip, ([0, 5], SQUASH), ([2, 19], HERO))
    assert (len(n_opened), len(n_decoded)) == (1, 20)


def test_frames_that_one_taker_misses_are_told_after_the_others_have_theirs(clip):
    short, whole = [1, 2, N_FRAMES], [0, 30]
    arrived = []

    def decode(*asked):
        takers = [Taker(found(clip, positions)[1], np.array(positions), SQUASH) for positions in asked]
        for number, _ in decode_together(found(clip, [0])[0], takers):
            arrived.append(number)

    with pytest.raises(DecodeError, match="1 of the frames"):
        decode(short, whole)
    assert arrived == [1, 0, 0, 1]
    with pytest.raises(DecodeError, match="1 of the frames"):
        decode([N_FRAMES])


@pytest.mark.parametrize("per_row", [None, [1, 3, 2], [2, 2, 2]])
def test_rows_come_as_soon_as_their_last_frame(clip, per_row):
    positions = [4, 4, 5, 9, 5, 12]
    rows, complete = Rows(positions, per_row), []
    for position, frame in zip(rows.positions, decoded(clip, rows.positions, SQUASH), strict=True):
        complete += [(position, row) for row in rows.add(frame)]
    if per_row is None:
        assert [position for position, _ in complete] == [4, 4, 5, 9, 9, 12]
        return
    expected = list(decoded_rows(clip, positions, per_row, SQUASH))
    assert len(complete) == len(expected) == len(per_row)
    for (position, row), whole in zip(complete, expected, strict=True):
        np.testing.assert_array_equal(row, whole)
        assert position >= positions[0]


# Rows put aside

VIDEOS = [Wanted("a", "1"), Wanted("b", "2"), Wanted("same as a", "1")]


def computed(video, value=1.0, status="ok"):
    return Computed(video, np.full((2, 3), value), np.zeros((2, 2)), status, "" if status == "ok" else "broken")


@pytest.mark.parametrize("has_cache", [False, True])
def test_rows_put_aside_are_published_by_the_job_of_the_shard(tmp_path, has_cache):
    store, cache = tmp_path / "0000.zarr", tmp_path / "cache" if has_cache else None
    with Aside(store, VIDEOS, RECIPE, "float32", cache) as aside:
        assert not aside.is_complete
        assert aside.takes("a")
        aside.add(computed("a", 7.0))
        assert not aside.takes("a")
        assert not aside.takes("same as a")
        assert not aside.takes("of another shard")
        assert aside.takes("b")
        aside.add(computed("b", status="failed"))
        assert aside.takes("b")
    asked = []

    def compute(missing):
        for video in missing:
            asked.append(video)
            yield computed(video, 9.0)

    summary = update_shard(store, VIDEOS, RECIPE, "float32", None, compute, cache)
    assert asked == ["b"]
    assert (summary.cached, summary.computed) == (2, 1)
    _, content = read_whole_shard(store)
    rows = {row.id: content.values[row.start : row.stop] for row in content.videos}
    assert {video: float(values.mean()) for video, values in rows.items()} == {"a": 7, "b": 9, "same as a": 7}
    with Aside(store, VIDEOS, RECIPE, "float32", cache) as aside:
        assert aside.is_complete
        assert not aside.takes("a")


def test_what_another_job_computes_or_has_computed_is_not_taken(tmp_path):
    store, cache = tmp_path / "0000.zarr", tmp_path / "cache"
    key = row_key("1", RECIPE, "float32")
    with Claims(cache) as other, Aside(store, VIDEOS, RECIPE, "float32", cache) as aside:
        assert other.take(key)
        assert not aside.takes("a")
        with Aside(tmp_path / "0001.zarr", VIDEOS, RECIPE, "float32", cache) as finisher:
            finisher.add(computed("a"))
        other.release(key)
        assert not aside.takes("a")
        # It was given back: whoever needs it can have it.
        assert other.take(key)
        aside.give_up("a")
        with Claims(cache) as third:
            assert not third.take(key)
            assert aside.takes("b")
            assert not third.take(row_key("2", RECIPE, "float32"))
            aside.give_up("b")
            assert third.take(row_key("2", RECIPE, "float32"))


def test_a_value_that_does_not_fit_the_store_is_refused(tmp_path):
    with Aside(tmp_path / "0000.zarr", VIDEOS, RECIPE, "float16", None) as aside:
        assert aside.takes("a")
        with pytest.raises(UserError, match="does not fit float16"):
            aside.add(computed("a", 1e6))


# The job


class Mean(Encoder):
    """Mean colour of a frame, times a number."""

    dim = 3

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def encode(self, batch: np.ndarray) -> np.ndarray:
        return batch.mean(axis=(1, 2)).astype(np.float32) * self._factor


def member(folder: Path, name: str, videos: dict[str, Path], rate: float, dtype: str = "float32") -> Member:
    """Return a feature that samples so many frames of each second."""
    plan, media = {}, {}
    for video_id, path in videos.items():
        row = plan_row(lambda path=path: frame_times(path), {"rule": "ffmpeg_fps", "rate": rate})
        plan[video_id] = {"video_id": video_id, "frames_per_row": None, **row}
        video, _ = found(path, [0])
        size = {"width": video.width, "height": video.height, "rotation": 0}
        media[video_id] = {"path": path.name, "stream_index": video.stream_index, **size}
    settings = {
        "feature": name,
        "recipe": {"encoder": name, "store_dtype": dtype, "resize": SQUASH, "rate": rate},
        "runtime": {"batch_size": 4, "decode_workers": 1, "decoder": "auto"},
        "feature_cache": None,
        "folder": str(folder),
        "ffmpeg": None,
    }
    wanted = {"0000": [Wanted(video_id, video_id) for video_id in videos]}
    return Member(settings, folder / "features" / name, Pictures(settings, plan, media), wanted)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Three features of two videos; which networks can be loaded, and how often each was."""
    videos = {name: make_clip(tmp_path / f"{name}.mp4", n_frames=30 + ord(name)) for name in "ab"}
    factors, loaded = {"first": 1.0, "second": 10.0, "third": 100.0}, []

    def loaded_once(settings):
        def load():
            loaded.append(settings["feature"])
            factor = factors[settings["feature"]]
            if isinstance(factor, Exception):
                raise factor
            return Mean(factor)

        return load

    monkeypatch.setattr(frames_seen, "loaded_once", loaded_once)
    return tmp_path, videos, factors, loaded


def values(folder: Path, name: str) -> np.ndarray:
    return read_whole_shard(folder / "features" / name / "0000.zarr")[1].values


def test_all_features_come_from_one_decoding(made, monkeypatch):
    folder, videos, _, _ = made
    n_opened, opened = [], decode_pyav.open_video
    monkeypatch.setattr(decode_pyav, "open_video", lambda path: n_opened.append(path) or opened(path))
    members = [member(folder, name, videos, rate) for name, rate in (("first", 2), ("second", 5), ("third", 2))]
    looked_up = []
    entered = Aside.__enter__
    monkeypatch.setattr(Aside, "__enter__", lambda aside: looked_up.append(1) or entered(aside))
    make_together(members, ["0000"], Stalls())
    assert len(n_opened) == len(videos)
    # Only while the first has its turn: later ones lack nothing, and finished rows are not read for each of them.
    assert len(looked_up) == len(members) - 1
    np.testing.assert_array_equal(values(folder, "third"), 100 * values(folder, "first"))
    assert len(values(folder, "second")) > 2 * len(values(folder, "first"))
    assert not list((folder / "features").glob("*/*.journal"))
    # What is there is not looked at again; one that is gone is made alone.
    make_together(members, ["0000"], Stalls())
    assert len(n_opened) == len(videos)
    shutil.rmtree(folder / "features/second/0000.zarr")
    make_together(members, ["0000"], Stalls())
    assert len(n_opened) == 2 * len(videos)


def test_as_many_videos_are_decoded_at_a_time_as_any_feature_asks_for(made, monkeypatch):
    folder, videos, _, _ = made
    members = [member(folder, name, videos, 2) for name in ("first", "second")]
    members[1].settings["runtime"] |= {"decode_workers": 2, "batch_size": 1}
    both, met = threading.Barrier(2, timeout=30), []

    def meets(video, takers):
        met.append(both.wait())
        return decode_together(video, takers)

    monkeypatch.setattr("workflow_scripts.lib.extraction.one_pass.decode_together", meets)
    make_together(members, ["0000"], Stalls())
    assert sorted(met) == [0, 1]
    assert len(values(folder, "second")) == len(values(folder, "first")) > 0


@pytest.mark.parametrize("fault", [UserError("no weights"), RuntimeError("out of memory")])
def test_a_network_that_cannot_be_loaded_costs_its_own_feature_only(made, fault):
    folder, videos, factors, _ = made
    factors["second"] = fault
    members = [member(folder, name, videos, 2) for name in factors]
    with pytest.raises(type(fault), match=str(fault)):
        make_together(members, ["0000"], Stalls())
    assert len(values(folder, "first"))
    if isinstance(fault, UserError):
        assert len(values(folder, "third"))
    factors["second"] = 10.0
    make_together([member(folder, name, videos, 2) for name in factors], ["0000"], Stalls())
    np.testing.assert_array_equal(values(folder, "second"), 10 * values(folder, "first"))


def test_rows_that_do_not_fit_cost_their_own_feature_only(made):
    folder, videos, factors, _ = made
    factors["second"] = 1e7
    members = [member(folder, name, videos, 2, "float16" if name == "second" else "float32") for name in factors]
    with pytest.raises(UserError, match=r"second: .*does not fit float16") as caught:
        make_together(members, ["0000"], Stalls())
    assert "first:" not in str(caught.value)
    np.testing.assert_array_equal(values(folder, "third"), 100 * values(folder, "first"))


def test_a_fault_while_several_are_served_is_met_again_by_each_alone(made, monkeypatch):
    folder, videos, _, _ = made
    calls = []

    def breaks_off(video, takers):
        calls.append(Path(video.path).name)
        frames = decode_together(video, takers)
        if calls[-1] == "a.mp4":
            yield next(frames)
            raise DecodeError("broken off")
        yield from frames

    monkeypatch.setattr("workflow_scripts.lib.extraction.one_pass.decode_together", breaks_off)
    members = [member(folder, name, videos, 2) for name in ("first", "second", "third")]
    make_together(members, ["0000"], Stalls())
    for each, factor in (("first", 1), ("second", 10), ("third", 100)):
        _, content = read_whole_shard(folder / "features" / each / "0000.zarr")
        assert [row.status for row in content.videos] == ["ok", "ok"]
        np.testing.assert_array_equal(content.values, factor * values(folder, "first"))
    # Of the second feature only the broken one was left, which the third still lacked, too.
    assert calls == ["a.mp4", "b.mp4", "a.mp4"]


def test_a_stopped_job_has_lost_one_video(made, monkeypatch):
    folder, videos, _, _ = made
    members = [member(folder, name, videos, 2) for name in ("first", "second")]
    for each in members:
        each.settings["runtime"]["batch_size"] = 1

    def stops(video, takers):
        if Path(video.path).name == "b.mp4":
            raise KeyboardInterrupt
        return decode_together(video, takers)

    with monkeypatch.context() as patched:
        patched.setattr("workflow_scripts.lib.extraction.one_pass.decode_together", stops)
        with pytest.raises(KeyboardInterrupt):
            make_together(members, ["0000"], Stalls())
    seen = []

    def notes(video, takers):
        seen.append(Path(video.path).name)
        return decode_together(video, takers)

    monkeypatch.setattr("workflow_scripts.lib.extraction.one_pass.decode_together", notes)
    make_together(members, ["0000"], Stalls())
    assert len(values(folder, "second")) == len(values(folder, "first")) > 0
    assert seen == ["b.mp4"]
