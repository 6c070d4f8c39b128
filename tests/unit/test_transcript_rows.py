"""Embeddings of lines become rows of a video."""

import numpy as np
import pytest

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.transcript_rows import align_lines, embed_lines

ROWS = np.eye(2, dtype=np.float32)
SPANS = [(0.0, 1.4), (2.0, 4.0)]


def test_segments_keep_rows_and_times():
    rows, times = align_lines(ROWS, SPANS, 9.0, {"align": "segments"})
    assert rows is ROWS
    assert times.tolist() == [[0.0, 1.4], [2.0, 4.0]]


def test_no_lines_have_times_of_two_columns():
    assert align_lines(ROWS[:0], [], 9.0, {"align": "segments"})[1].shape == (0, 2)


def test_seconds_cover_the_rounded_duration():
    rows, times = align_lines(ROWS, SPANS, 4.6, {"align": "seconds"})
    assert rows.shape == (5, 2)
    assert times.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]]
    assert rows[3].tolist() == ROWS[1].tolist()


def test_clips_cover_the_duration_to_its_end():
    rows, times = align_lines(ROWS, SPANS, 4.6, {"align": "clips", "clip_s": 1.5})
    assert rows.shape == (4, 2)
    assert times.tolist() == [[0.0, 1.5], [1.5, 3.0], [3.0, 4.5], [4.5, 6.0]]


def test_lines_are_encoded_in_batches_and_keep_their_order():
    batches = []

    def encode(texts):
        batches.append(texts)
        return [np.full((1, 3), len(text), np.float32) for text in texts]

    rows = embed_lines(encode, ["a", "bb", "ccc"], 2)
    assert batches == [["a", "bb"], ["ccc"]]
    assert rows[:, 0].tolist() == [1, 2, 3]


def test_equal_lines_are_encoded_once_and_lines_of_a_length_together():
    batches = []

    def encode(texts):
        batches.append(texts)
        return [np.full((1, 3), len(text), np.float32) for text in texts]

    rows = embed_lines(encode, ["ccc", "a", "ccc", "bb", "d"], 2)
    assert batches == [["a", "d"], ["bb", "ccc"]]
    assert rows[:, 0].tolist() == [3, 1, 3, 2, 1]


def test_rows_of_tokens_are_refused():
    with pytest.raises(UserError, match="one row per line"):
        embed_lines(lambda texts: [np.zeros((2, 3)) for _ in texts], ["a"], 2)
