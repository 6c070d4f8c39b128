"""IMG: resampling, targets, saliency pairs, decoding and vocabulary against their plain definitions."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.layers.resampling import limit_rows, rescale_rows
from models.layers.word_vectors import read_word_vectors, tokenise
from models.systems.img.decoding import best_spans
from models.systems.img.losses import quarter_cosine
from models.systems.img.targets import draw_saliency_pairs, span_to_steps, steps_to_seconds
from models.systems.img.vocabulary import build_vocabulary


def plain_targets(start_s: float, end_s: float, n_steps: int, duration_s: float) -> tuple[int, int]:
    """Every cell in turn, in row-major order; the first with the largest overlap."""
    best, best_iou = (0, 0), -1.0
    for first in range(n_steps):
        for last in range(n_steps):
            left = float(np.float32(first) / np.float32(n_steps) * np.float32(duration_s))
            right = float(np.float32(last + 1) / np.float32(n_steps) * np.float32(duration_s))
            hull = max(right, end_s) - min(left, start_s)
            iou = max(0.0, min(right, end_s) - max(left, start_s)) / max(1e-12, hull)
            if iou > best_iou:
                best, best_iou = (first, last), iou
    return best


def plain_rescale(rows: np.ndarray, n_steps: int) -> np.ndarray:
    """Mean of the rows between two edges, or the row at an edge."""
    edges = [min(round(i / n_steps * len(rows)), len(rows) - 1) for i in range(n_steps + 1)]
    pieces = [rows[a:b].mean(0) if a < b else rows[a] for a, b in pairwise(edges)]
    return np.stack(pieces)


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 20), st.floats(1, 300))
def test_targets_equal_the_plain_search(start, end, n_steps, duration_s):
    span = (start * duration_s, end * duration_s)
    assert span_to_steps(*span, n_steps, duration_s) == plain_targets(*span, n_steps, duration_s)


@given(st.integers(1, 128), st.data())
def test_seconds_of_a_cell_lead_back_to_the_cell(n_steps, data):
    first = data.draw(st.integers(0, n_steps - 1))
    last = data.draw(st.integers(first, n_steps - 1))
    start_s, end_s = steps_to_seconds(first, last, n_steps, 31.4)
    assert span_to_steps(float(start_s), float(end_s), n_steps, 31.4) == (first, last)


@given(st.integers(1, 60), st.integers(1, 60))
def test_resampling_equals_the_plain_definition(n_rows, n_steps):
    rows = np.random.default_rng(n_rows * 100 + n_steps).standard_normal((n_rows, 3)).astype(np.float32)
    np.testing.assert_allclose(rescale_rows(rows, n_steps), plain_rescale(rows, n_steps), atol=1e-6)


def test_resampling_leaves_the_last_row_out_of_the_last_mean():
    rows = np.arange(6, dtype=np.float32)[:, None]
    assert rescale_rows(rows, 2).ravel().tolist() == [1.0, 3.5]
    assert rescale_rows(rows, 6).ravel().tolist() == [0, 1, 2, 3, 4, 5]


def test_short_sequences_are_kept_and_long_ones_reduced():
    rows = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    assert np.array_equal(limit_rows(rows, 9), rows)
    assert limit_rows(rows, 4).shape == (4, 2)


def test_resampling_nothing_is_an_error():
    with pytest.raises(ValueError, match="cannot resample"):
        rescale_rows(np.zeros((0, 3), dtype=np.float32), 4)


@given(st.integers(1, 30), st.data())
def test_saliency_pairs_are_distinct_and_on_their_side(n_steps, data):
    first = data.draw(st.integers(0, n_steps - 1))
    last = data.draw(st.integers(first, n_steps - 1))
    positives, negatives = draw_saliency_pairs(first, last, n_steps, random.Random(0))
    assert all(first <= step <= last for step in positives)
    assert len(set(positives)) == 2 if last > first else positives == [first, first]
    n_outside = n_steps - (last - first + 1)
    if n_outside >= 2:
        assert len(set(negatives)) == 2
        assert all(0 <= step < first or last < step < n_steps for step in negatives)
    else:
        assert negatives == [0, 0]


def test_decoding_takes_the_best_ordered_pair():
    start = torch.tensor([[0.0, 3.0, 0.0, -1e30], [0.0, 0.0, 9.0, 0.0]])
    end = torch.tensor([[5.0, 0.0, 1.0, -1e30], [9.0, 0.0, 1.0, 0.0]])
    first, last, score = best_spans(start, end)
    # Sample 0: the unordered best (1, 0) is not allowed; (0, 0) beats (1, 2) by exp(0 + 5) against exp(3 + 1).
    assert first.tolist() == [0, 2]
    assert last.tolist() == [0, 2]
    assert score[0].item() == pytest.approx((start[0].softmax(0)[0] * end[0].softmax(0)[0]).item(), rel=1e-6)


def test_warm_up_is_a_quarter_cosine():
    assert [quarter_cosine(e, 4) for e in (0, 4, 9)] == [0.0, 1.0, 1.0]
    assert quarter_cosine(2, 4) == pytest.approx(1 - 2**-0.5)
    assert quarter_cosine(0, 0) == 1.0


@pytest.mark.parametrize(
    ("sentence", "tokens"),
    [
        (" Person opens the Door. ", ["person", "opens", "the", "door", "."]),
        ("They can't stop, it's fun", ["they", "ca", "n't", "stop", ",", "it", "'s", "fun"]),
        ("He sits. She stands.", ["he", "sits", ".", "she", "stands", "."]),
        ("Mr. Smith waits at 5 p.m. today.", ["mr.", "smith", "waits", "at", "5", "p.m.", "today", "."]),
        ("closes the doors.the person", ["closes", "the", "doors.the", "person"]),
        ("wait... what", ["wait", "...", "what"]),
        ("", []),
    ],
)
def test_sentences_are_split_like_treebank_text(sentence, tokens):
    assert tokenise(sentence) == tokens


def test_vocabulary_counts_words_with_vectors_and_frequent_characters():
    token_lists = [["b", "a", "zz"], ["a", "zz", "c"], ["zz"]]
    vocabulary = build_vocabulary(token_lists, {"a", "b", "zz"}, min_char_count=2)
    assert vocabulary.words == ("zz", "a", "b")
    assert vocabulary.chars == ("z", "a")
    assert vocabulary.word_ids(["b", "c", "zz"]) == [4, 1, 2]
    assert vocabulary.char_ids(["az", "cz"]) == [[3, 2], [1, 2]]


def test_word_vectors_skip_malformed_lines_and_keep_the_last_of_a_word(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 2\nb 3\na b 5 6\nc 7 8\na 9 10\n")
    vectors = read_word_vectors(path, 2, {"a", "b"})
    assert {word: values.tolist() for word, values in vectors.items()} == {"a": [9.0, 10.0]}
    with pytest.raises(ValueError, match="word_dim"):
        read_word_vectors(path, 7, {"a"})
