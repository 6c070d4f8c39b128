"""Batches span videos; one broken video never touches the rows of another."""

import threading
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction import job
from workflow_scripts.lib.extraction.batching import Prefetch, VideoEnd, encode_videos
from workflow_scripts.lib.extraction.stalls import STATES, Stalls


def units_of(lengths):
    def make(video_id):
        number = int(video_id)
        return (np.array([number, i], dtype=np.float32) for i in range(lengths[number]))

    return make


def encode(batch):
    return batch * 10


@given(lengths=st.lists(st.integers(0, 7), max_size=8), batch_size=st.integers(1, 9))
def test_every_video_gets_its_own_rows_in_order(lengths, batch_size):
    ids = [str(number) for number in range(len(lengths))]
    found = {
        video: (rows, reason)
        for video, rows, reason in encode_videos(Prefetch(ids, units_of(lengths), 3), encode, batch_size, Stalls())
    }
    assert sorted(found) == sorted(ids)
    for number, length in enumerate(lengths):
        rows, reason = found[str(number)]
        assert reason is None
        assert [row.tolist() for row in rows] == [[number * 10, i * 10] for i in range(length)]


def test_batches_are_full_across_videos():
    sizes = []

    def encode_and_note(batch):
        sizes.append(len(batch))
        return batch

    list(encode_videos(Prefetch(["0", "1", "2"], units_of([3, 3, 3]), 4), encode_and_note, 4, Stalls()))
    assert sizes == [4, 4, 1]


def test_a_broken_video_gives_its_reason_and_the_others_go_on():
    def units(video_id):
        yield np.zeros(2, np.float32)
        if video_id == "bad":
            raise UserError("ends in the middle")
        yield np.ones(2, np.float32)

    stream = Prefetch(["a", "bad", "b"], units, 2)
    found = {video: (len(rows), reason) for video, rows, reason in encode_videos(stream, encode, 3, Stalls())}
    assert found == {"a": (2, None), "bad": (1, "ends in the middle"), "b": (2, None)}


def test_a_bug_is_raised_and_the_thread_ends():
    def units(video_id):
        yield np.zeros(2, np.float32)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(encode_videos(Prefetch(["a"], units, 2), encode, 3, Stalls()))
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_nobody_waits_for_a_video_longer_than_its_batch_takes():
    """A video is given back once its rows are there, while later ones are still being read."""
    read = []

    def units(video_id):
        read.append(video_id)
        return units_of([2, 2, 2])(video_id)

    given = encode_videos(((v, unit) for v in "012" for unit in [*units(v), VideoEnd()]), encode, 2, Stalls())
    assert next(given)[0] == "0"
    assert read == ["0"]


def test_units_of_another_shape_go_into_a_batch_of_their_own():
    units = [("a", np.zeros(2)), ("a", np.zeros(3)), ("a", np.zeros(3)), ("a", VideoEnd())]
    shapes = []

    def encode_and_note(batch):
        shapes.append(batch.shape)
        return batch

    [(video_id, rows, _)] = encode_videos(units, encode_and_note, 4, Stalls())
    assert shapes == [(1, 2), (2, 3)]
    assert (video_id, [len(row) for row in rows]) == ("a", [2, 3, 3])


def test_an_encoder_that_loses_a_row_is_a_bug():
    with pytest.raises(ValueError, match="zip"):
        list(encode_videos([("a", np.zeros(2)), ("a", VideoEnd())], lambda batch: [], 4, Stalls()))


def test_the_thread_ends_when_nobody_wants_the_rest():
    stream = Prefetch(["0"], units_of([1000]), 2)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_no_more_units_are_ready_than_the_depth():
    made = []

    def units(_):
        for i in range(50):
            made.append(i)
            yield np.zeros(1)

    stream = Prefetch(["0"], units, 3)
    next(stream)
    # One was given away, three are ready, and one waits for room.
    assert len(made) <= 5
    stream.close()


@given(lengths=st.lists(st.integers(0, 7), max_size=8), batch_size=st.integers(1, 9), workers=st.integers(2, 4))
def test_several_workers_change_no_row(lengths, batch_size, workers):
    ids = [str(number) for number in range(len(lengths))]
    with Prefetch(ids, units_of(lengths), 3, workers) as units:
        found = {video: rows for video, rows, _ in encode_videos(units, encode, batch_size, Stalls())}
    assert sorted(found) == sorted(ids)
    for number, length in enumerate(lengths):
        assert [row.tolist() for row in found[str(number)]] == [[number * 10, i * 10] for i in range(length)]


def test_several_videos_are_decoded_at_the_same_time():
    together = threading.Barrier(3, timeout=30)

    def units(video_id):
        together.wait()
        yield np.zeros(1)

    with Prefetch("abc", units, 3, workers=3) as stream:
        assert len(list(stream)) == 6


def test_a_bug_in_one_of_several_workers_ends_all_of_them():
    def units(video_id):
        yield np.zeros(1)
        if video_id == "b":
            raise ZeroDivisionError
        yield from (np.zeros(1) for _ in range(1000))

    with pytest.raises(ZeroDivisionError), Prefetch("abc", units, 2, workers=3) as stream:
        list(stream)
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_decoding_begins_before_anybody_asks():
    begun = threading.Event()

    def units(_):
        begun.set()
        yield np.zeros(1)

    with Prefetch("a", units, 2):
        assert begun.wait(30)


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_every_moment_of_a_job_belongs_to_one_state_and_they_add_up(tmp_path, monkeypatch):
    clock = Clock()
    stalls = Stalls(clock)
    passing = {"read": 1.0, "load": 16.0, "decode": 0.25, "compute": 2.0, "write": 128.0}

    def pass_time(state, result=None):
        clock.now += passing[state]
        return result

    class Network:
        dim = 2

        def encode(self, batch):
            return pass_time("compute", batch)

    class Ready:
        """Units that take time to wait for."""

        idle_s = 5.0

        def __init__(self, ids, units_of, depth, workers):
            units = [(v, unit) for v in ids for unit in [*units_of(v), VideoEnd()]]
            self.units = (pass_time("decode", unit) for unit in units)

        def __enter__(self):
            return self

        def __iter__(self):
            return self.units

        def __exit__(self, *_):
            pass

    def store(store_path, wanted, recipe, dtype, dim, compute, cache_dir):
        pass_time("read")
        for _ in compute([video.id for video in wanted]):
            pass_time("write")
        pass_time("write")

    monkeypatch.setattr(job, "Prefetch", Ready)
    monkeypatch.setattr(job, "update_shard", store)
    settings = {
        "feature_cache": None,
        "recipe": {"store_dtype": "float32"},
        "runtime": {"batch_size": 4, "decode_workers": 1},
    }
    lengths = [3, 3, 3]
    times = {str(i): np.zeros((length, 2)) for i, length in enumerate(lengths)}
    units = units_of(lengths)
    compute = partial(
        job.encode_missing,
        units_of=lambda v, network: units(v),
        load=lambda: pass_time("load", Network()),
        runtime=settings["runtime"],
        stalls=stalls,
        times_of=times.__getitem__,
    )
    job.run_job(settings, tmp_path / "0000.zarr", [job.Wanted(v, "digest") for v in times], compute, stalls)
    batches, waits, videos = 3, 9 + 3, 3
    assert stalls.seconds == {
        "read": 1.0,
        "load": 16.0,
        "decode": waits * 0.25,
        "compute": batches * 2.0,
        "write": (videos + 1) * 128.0,
    }
    assert stalls.total_s() == clock.now - 100.0
    assert stalls.decoders_idle_s == 5.0
    assert all(f"{state} " in stalls.summary() for state in STATES)
