"""Answers without training: rankings, moments and highlights, worked by hand."""

import tracemalloc

import numpy as np
import pytest

from models.systems.interface import FeatureRows, Item
from models.systems.zero_shot.config import Config, ThresholdMerge
from models.systems.zero_shot.ranking import best_videos, directions, mean_row
from models.systems.zero_shot.system import System
from models.systems.zero_shot.timed_scores import TimedScores, usable_rows

DIM = 6
UP, ACROSS = [0, 1], [1, 0]
MERGE = ThresholdMerge(min_clips=1)


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


@pytest.mark.parametrize(
    ("dims", "text_of"),
    [
        ({"visual": [2], "text": [3]}, {}),
        ({"visual": [2]}, {}),
        ({"text": [2]}, {}),
        ({"visual": [1, 1], "text": [2]}, {}),
        ({"visual": [2], "speech": [3], "text": [2]}, {}),
        ({"visual": [2], "speech": [3], "text": [2, 3]}, {}),
        ({"visual": [2], "speech": [3], "text": [2, 3]}, {"visual": 1}),
        ({"visual": [2], "text": [2, 2]}, {}),
        ({"visual": [2], "text": [2]}, {"speech": 0}),
        ({"visual": [2], "text": [2]}, {"visual": 1}),
    ],
)
def test_rows_of_different_encoders_are_refused(dims, text_of):
    with pytest.raises(ValueError, match="both by the same encoder"):
        System(Config(text_of=text_of), {}, dims)


# Several sources


def of_sources(texts, sources, task, text_of=None, duration_s=8.0, **settings):
    """Ask for one query: `texts` are those of each feature, `sources` rows of 2 s."""
    config = Config(tasks=["moments", "highlights"], text_of=text_of or {}, **settings)
    dims = {name: [len(rows[0])] for name, rows in sources.items()} | {"text": [len(rows[0]) for rows in texts]}
    system = System(config, {}, dims)
    rows = {name: [timed(values)] for name, values in sources.items()} | {"text": [timed(values) for values in texts]}
    item = Item("q", "v", "", duration_s, rows)
    assert system.skip_reason(item, False) is None
    return list(system.predict(system.network(), {"items": [item]}, None, task))


def timed(values):
    values = np.array(values, np.float32)
    starts = 2.0 * np.arange(len(values))
    return FeatureRows(values, np.stack([starts, starts + 2], axis=1))


def test_what_two_sources_find_is_put_into_one_order_by_rank():
    seen, said = [ACROSS, UP, ACROSS, ACROSS], [ACROSS, UP, ACROSS, UP]
    merge = ThresholdMerge(min_clips=1, gap=1)
    spans = of_sources([[UP]], {"visual": seen, "speech": said}, "moments", threshold_merge=merge)
    assert [(span.rank, span.start_s, span.end_s) for span in spans] == [(0, 2, 4), (1, 6, 8)]
    assert [span.score for span in spans] == pytest.approx([2 / 61, 1 / 62])
    [highlights] = of_sources([[UP]], {"visual": seen, "speech": said}, "highlights")
    # Ranks of the pictures: 3, 1, 3, 3 (the mean of 2 to 4); of the speech: 3.5, 1.5, 3.5, 1.5.
    expected = [1 / 63 + 1 / 63.5, 1 / 61 + 1 / 61.5, 1 / 63 + 1 / 63.5, 1 / 63 + 1 / 61.5]
    np.testing.assert_allclose(highlights.scores, expected)


def test_sources_of_other_encoders_have_a_text_of_their_own():
    texts, text_of = [[[1, 0]], [[0, 0, 1]]], {"speech": 1}
    sources = {"visual": [UP, UP, ACROSS, UP], "speech": [[0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0]]}
    [span] = of_sources(texts, sources, "moments", text_of, threshold_merge=MERGE)
    assert (span.start_s, span.end_s, span.score) == (4, 6, pytest.approx(2 / 61))


@pytest.mark.parametrize("silent", [np.zeros((0, 2)), np.zeros((4, 2)), [UP] * 4])
def test_a_source_that_tells_nothing_leaves_the_answer_to_the_others(silent):
    sources = {"visual": [ACROSS, ACROSS, UP, ACROSS], "captions": np.reshape(silent, (-1, 2))}
    rows = {name: [timed(np.reshape(values, (-1, 2)))] for name, values in sources.items()}
    system = System(
        Config(tasks=["moments", "highlights"], threshold_merge=MERGE),
        {},
        {"visual": [2], "captions": [2], "text": [2]},
    )
    item = Item("q", "v", "", 8.0, {**rows, "text": [timed([UP])]})
    [span] = system.predict(system.network(), {"items": [item]}, None, "moments")
    assert (span.start_s, span.end_s, span.score) == (4, 6, pytest.approx(1 / 61))
    [highlights] = system.predict(system.network(), {"items": [item]}, None, "highlights")
    assert np.argmax(highlights.scores) == 2


def test_a_video_of_which_no_source_tells_anything_is_one_moment_or_left_out():
    sources = {"visual": [UP] * 4, "captions": [ACROSS] * 4}
    [span] = of_sources([[UP]], sources, "moments")
    assert (span.start_s, span.end_s) == (0, 8)
    system = System(Config(tasks=["moments"]), {}, {"visual": [2], "captions": [2], "text": [2]})
    none = timed(np.zeros((0, 2)))
    item = Item("q", "v", "", 8.0, {"visual": [none], "captions": [none], "text": [timed([UP])]})
    assert system.skip_reason(item, False) == "no captions or visual rows"


def test_videos_are_ranked_by_several_sources_and_one_may_miss_some():
    def video(name, seen, said):
        return Item(name, name, "", 5.0, {"visual": [timed([seen])], "speech": [timed(said)]}, is_video=True)

    system = System(Config(keep=2), {}, {"visual": [2], "speech": [2], "text": [2]})
    corpus = [video("a", [1, 0.1], np.zeros((0, 2))), video("b", [1, 1], [[1, 0]]), video("c", [0, 1], [[0, 1]])]
    assert all(system.skip_reason(item, False) is None for item in corpus)
    query = Item("q", "", "", 5.0, {"text": [timed([ACROSS])]})
    [unit] = system.units([query, *corpus], "videos")
    found = list(system.predict(system.network(), system.collate([system.sample(unit, None)]), None, "videos"))
    # Pictures: a, b, c, of which two are kept; speech: b, c.
    assert [(r.rank, r.video_id) for r in found] == [(0, "b"), (1, "a")]
    assert [r.score for r in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61])


def scored(scores, times):
    return TimedScores(np.atleast_2d(np.array(scores, np.float32)), np.array(times, np.float64))


def test_scores_are_laid_on_clips_by_time():
    rows = scored([[1.0, 0.0, 0.5], [-1.0, -3.0, -2.0]], [[0, 2], [2, 3], [3, 5]])
    laid = rows.on_clips(2.0, 3)
    np.testing.assert_allclose(laid.scores, [[1.0, 0.25, 0.5], [-1.0, -2.5, -2.0]])
    assert laid.times.tolist() == [[0, 2], [2, 4], [4, 6]]


def test_a_clip_without_a_row_gets_the_worst_score_of_the_text():
    laid = scored([[-0.2, -0.1]], [[0, 1], [6, 9]]).on_clips(2.0, 4)
    np.testing.assert_allclose(laid.scores, [[-0.2, -0.2, -0.2, -0.1]])


def test_long_rows_reach_over_many_clips_and_overlapping_ones_are_averaged():
    laid = scored([[1.0, 0.0]], [[0, 8], [3, 4]]).on_clips(2.0, 3)
    np.testing.assert_allclose(laid.scores, [[1.0, 2 / 3, 1.0]])


def test_rows_past_the_end_and_of_zeros_say_nothing_and_the_rest_is_put_in_order():
    values = np.array([[0, 0], [3, 0], [2, 0], [1, 0]], np.float32)
    rows = usable_rows(FeatureRows(values, np.array([[0, 2], [8, 10], [2, 4], [4, 9.5]])), 8.0)
    assert rows.values[:, 0].tolist() == [2, 1]
    assert rows.times.tolist() == [[2, 4], [4, 8]]
    nothing = usable_rows(FeatureRows(values[:1], np.array([[0, 2]])), 8.0)
    assert nothing.times.tolist() == [[0, 8]]
    assert not nothing.values.any()


def asked(texts, rows, times, duration_s=8.0, stream="captions", task="moments", **settings):
    config = Config(tasks=["moments", "highlights"], **settings)
    system = System(config, {}, {stream: [2], "text": [2]})
    streams = {
        "text": [FeatureRows(np.array(texts, np.float32), np.zeros((len(texts), 2)))],
        stream: [FeatureRows(np.array(rows, np.float32), np.array(times, np.float64))],
    }
    item = Item("q", "v", "", duration_s, streams)
    assert system.skip_reason(item, False) is None
    [unit] = system.units([item], task)
    return list(system.predict(system.network(), system.collate([system.sample(unit, None)]), None, task))


@pytest.mark.parametrize("stream", ["visual", "captions", "labels", "speech"])
def test_a_moment_is_where_the_rows_are_like_the_query(stream):
    rows, times = [ACROSS, UP, UP, ACROSS], [[0, 2], [2, 4], [4, 6], [6, 8]]
    [span] = asked([UP], rows, times, stream=stream, threshold_merge=MERGE)
    assert (span.query_id, span.video_id, span.rank, span.start_s, span.end_s, span.score) == ("q", "v", 0, 2, 6, 1)
    [highlights] = asked([UP], rows, times, stream=stream, task="highlights")
    assert highlights.scores == (0, 1, 1, 0)


def test_rows_are_brought_to_clips_unless_they_are_the_clips():
    rows, times = [ACROSS, ACROSS, UP, ACROSS, ACROSS, ACROSS, ACROSS], [[i, i + 1] for i in range(7)]
    [span] = asked([UP], rows, times, 7.0, threshold_merge=MERGE)
    assert (span.start_s, span.end_s) == (2, 4)
    [span] = asked([UP], rows, times, 7.0, threshold_merge=MERGE, clip_s=None)
    assert (span.start_s, span.end_s) == (2, 3)
    [highlights] = asked([UP], rows, times, 7.0, task="highlights", clip_s=None)
    assert highlights.scores == (0, 1, 0)


def test_saliency_may_be_the_mean_over_neighbouring_clips():
    rows, times = [UP, ACROSS, ACROSS, UP, ACROSS, ACROSS], [[2 * i, 2 * i + 2] for i in range(6)]
    [highlights] = asked([UP], rows, times, 12.0, task="highlights", saliency_clips=3)
    # The first and the last clip stand for those beyond.
    np.testing.assert_allclose(highlights.scores, [2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 3, 0], atol=1e-7)


def test_a_moment_ends_with_its_video():
    [span] = asked([UP], [ACROSS, UP], [[0, 2], [2, 4]], 3.5, threshold_merge=MERGE)
    assert (span.start_s, span.end_s) == (2, 3.5)


def test_other_wordings_add_their_moments_and_share_the_saliency():
    rows, times = [[1, 0], [0, 0.1], [0, 1], [-1, 0]], [[0, 2], [2, 4], [4, 6], [6, 8]]
    spans = asked([ACROSS, UP], rows, times, threshold_merge=MERGE)
    assert [(span.start_s, span.end_s) for span in spans] == [(0, 2), (2, 6)]
    assert len(asked([ACROSS, UP], rows, times, threshold_merge=MERGE, max_spans=1)) == 1
    [highlights] = asked([ACROSS, UP], rows, times, task="highlights")
    np.testing.assert_allclose(highlights.scores, [0.5, 0.75, 0.75, 0])


def test_equal_scores_give_the_whole_video():
    for rows in ([UP] * 4, np.zeros((4, 2))):
        [span] = asked([UP], rows, [[0, 2], [2, 4], [4, 6], [6, 8]])
        assert (span.start_s, span.end_s, span.score) == (0, 8, 0.5)
        [highlights] = asked([UP], rows, [[0, 2], [2, 4], [4, 6], [6, 8]], task="highlights")
        assert highlights.scores == (0, 0, 0, 0)


def test_segments_are_in_the_seconds_of_the_rows():
    rows = [[1, 0.1]] * 8 + [[0.1, 1]] * 6 + [[1, 0.1]] * 10
    times = [[i / 2, i / 2 + 0.5] for i in range(24)]
    spans = asked([UP], rows, times, 12.0, localiser="segments", segments={"smoothing": 1, "window": 1, "stride": 2})
    # The rise to row 8 begins after row 6.
    assert (spans[0].start_s, spans[0].end_s) == (3.0, 7.0)
    assert [span.rank for span in spans] == list(range(len(spans)))


def test_watersheds_are_in_the_seconds_of_the_rows_and_ranked():
    rows = [ACROSS] * 3 + [UP] * 4 + [ACROSS] * 2
    times = [[i / 2, i / 2 + 0.5] for i in range(9)]
    spans = asked([UP], rows, times, 4.5, localiser="watershed")
    assert [(span.rank, span.start_s, span.end_s, span.score) for span in spans] == [
        (0, 1.5, 3.5, 1.0),
        (1, 0.0, 1.5, 0.0),
        (2, 3.5, 4.5, 0.0),
    ]


def test_segments_of_a_stream_of_zeros_are_answered():
    assert asked([UP], np.zeros((9, 2)), [[i, i + 1] for i in range(9)], 9.0, localiser="segments")


def test_a_video_without_rows_is_left_out_of_moments_but_not_of_queries_to_the_corpus():
    none = FeatureRows(np.zeros((0, 2), np.float32), np.zeros((0, 2)))
    item = Item(
        "q", "v", "", 8.0, {"text": [FeatureRows(np.ones((1, 2), np.float32), np.zeros((1, 2)))], "speech": [none]}
    )
    dims = {"speech": [2], "text": [2]}
    assert System(Config(tasks=["highlights"]), {}, dims).skip_reason(item, False) == "no speech rows"
    assert System(Config(tasks=["videos"]), {}, dims).skip_reason(item, False) is None
