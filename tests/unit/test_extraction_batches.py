"""Batches span videos; one broken video never touches the rows of another."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.errors import UserError
from workflow_scripts.extraction.batching import Stalls, VideoEnd, encode_videos, prefetch


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
        for video, rows, reason in encode_videos(prefetch(ids, units_of(lengths), 3), encode, batch_size, Stalls())
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

    list(encode_videos(prefetch(["0", "1", "2"], units_of([3, 3, 3]), 4), encode_and_note, 4, Stalls()))
    assert sizes == [4, 4, 1]


def test_a_broken_video_gives_its_reason_and_the_others_go_on():
    def units(video_id):
        yield np.zeros(2, np.float32)
        if video_id == "bad":
            raise UserError("ends in the middle")
        yield np.ones(2, np.float32)

    stream = prefetch(["a", "bad", "b"], units, 2)
    found = {video: (len(rows), reason) for video, rows, reason in encode_videos(stream, encode, 3, Stalls())}
    assert found == {"a": (2, None), "bad": (1, "ends in the middle"), "b": (2, None)}


def test_a_bug_is_raised_and_the_thread_ends():
    def units(video_id):
        yield np.zeros(2, np.float32)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(encode_videos(prefetch(["a"], units, 2), encode, 3, Stalls()))
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
    stream = prefetch(["0"], units_of([1000]), 2)
    next(stream)
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "decode"]


def test_no_more_units_are_ready_than_the_depth():
    made = []

    def units(_):
        for i in range(50):
            made.append(i)
            yield np.zeros(1)

    stream = prefetch(["0"], units, 3)
    next(stream)
    # One was given away, three are ready, and one waits for room.
    assert len(made) <= 5
    stream.close()
