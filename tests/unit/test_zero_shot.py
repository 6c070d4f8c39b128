"""Answers without training: the ranking is exact, in the published order, and needs little memory."""

import tracemalloc

import numpy as np
import pytest

from models.systems.interface import FeatureRows, Item
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.ranking import best_videos, directions, mean_row
from models.systems.zero_shot.system import System

DIM = 6


def made(name, values, stream, is_video=False, text=""):
    values = np.atleast_2d(np.asarray(values, dtype=np.float32))
    rows = FeatureRows(values, np.zeros((len(values), 2), np.float32))
    return Item(name, name, text, 5.0, {stream: [rows]}, is_video=is_video)


def test_rows_are_taken_at_even_places_rounded_down_and_averaged_as_they_are():
    rows = np.arange(32, dtype=np.float32)[:, None] * [1.0, 0.0] + [0.0, 1.0]
    taken = [int(31 * i / 19) for i in range(20)]
    expected = rows[taken].mean(axis=0)
    np.testing.assert_allclose(mean_row(rows, 20), expected / np.linalg.norm(expected), rtol=1e-6)
    np.testing.assert_allclose(mean_row(rows, None), mean_row(rows, 32), rtol=1e-6)
    np.testing.assert_allclose(mean_row(rows[:3], 20), directions(rows[:3].mean(axis=0)[None])[0], rtol=1e-6)
    assert not directions(np.zeros((1, 3))).any()


def plain_ranking(query, videos, names, keep):
    scores = (videos.astype(np.float64) * query).sum(axis=1)
    return sorted(zip(scores.tolist(), names, strict=True), reverse=True)[:keep]


@pytest.mark.parametrize("keep", [1, 3, 40, 1000])
@pytest.mark.parametrize("block", [1, 2, 256])
def test_the_ranking_is_that_of_a_sort_of_everything(keep, block):
    rng = np.random.default_rng(keep)
    # Few different rows, so that many scores are equal.
    videos = directions(rng.integers(0, 2, (40, DIM)) + 0.5)
    queries = directions(rng.normal(size=(5, DIM)))
    names = [f"v{number}" for number in rng.permutation(40)]
    found = list(best_videos(queries, videos, names, keep, block))
    assert len(found) == 5
    for query, (best, scores) in zip(queries, found, strict=True):
        expected = plain_ranking(query, videos, names, keep)
        assert [names[number] for number in best] == [name for _, name in expected]
        np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=1e-6)


def test_a_large_corpus_needs_little_beside_its_rows():
    n_videos, queries = 200_000, directions(np.random.default_rng(0).normal(size=(64, DIM)))
    videos = directions(np.random.default_rng(1).normal(size=(n_videos, DIM)))
    names = [f"{number:07d}" for number in range(n_videos)]
    tracemalloc.start()
    for _ in best_videos(queries, videos, names, keep=50, block=16):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * 16 * n_videos * 4


@pytest.fixture
def system():
    return System(Config(frames=2, keep=2), {}, {"visual": [2], "text": [2]})


def test_queries_are_answered_with_the_best_videos(system):
    corpus = [made("a", [[1, 0], [1, 0]], "visual", True), made("b", [[1, 1]], "visual", True)]
    corpus.append(made("c", [[0, 1]], "visual", True))
    queries = [made("q0", [1, 0.1], "text"), made("q1", [0, 3], "text")]
    [unit] = system.units([*queries, *corpus], "videos")
    found = list(system.predict(system.network(), system.collate([system.sample(unit, None)]), None, "videos"))
    assert [(r.query_id, r.rank, r.video_id) for r in found] == [
        ("q0", 0, "a"),
        ("q0", 1, "b"),
        ("q1", 0, "c"),
        ("q1", 1, "b"),
    ]
    assert found[2].score == pytest.approx(1.0)
    assert system.tasks == ("videos",)


def test_what_has_no_rows_is_left_out(system):
    empty = np.zeros((0, 2))
    assert system.skip_reason(made("a", [[1, 0]], "visual", True), training=False) is None
    assert system.skip_reason(made("a", empty.reshape(0, 2), "visual", True), False) == "no visual rows"
    assert system.skip_reason(made("q", empty.reshape(0, 2), "text"), False) == "no text rows"


@pytest.mark.parametrize("dims", [{"visual": [2], "text": [3]}, {"visual": [2]}])
def test_rows_of_different_encoders_are_refused(dims):
    with pytest.raises(ValueError, match="both by the same encoder"):
        System(Config(), {}, dims)
