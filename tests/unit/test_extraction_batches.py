"""Batches span videos; one broken video never touches the rows of another."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_scripts.errors import UserError
from workflow_scripts.extraction.batching import Stalls, encode_videos, prefetch


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
