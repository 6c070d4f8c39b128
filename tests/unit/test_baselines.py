"""The answers that look at nothing: chosen and scored by the rule set that they stand beside."""

import numpy as np
import pytest

from tests.unit.made_predictions import moments, spans
from tests.unit.plain_metrics import plain_constant_span, plain_order_only
from workflow_scripts.lib.metrics.baselines import THRESHOLD, ConstantSpan, _grid, constant_span, order_only
from workflow_scripts.lib.metrics.questions import Moments
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.windows import list_windows

OF_MOMENTS = [name for name, rules in RULE_SETS.items() if rules.task == "moments"]


def made(n_queries: int, n_moments: int, seed: int = 0, *, on_grid: bool = False) -> Moments:
    """Return queries, three in each video, with one up to `n_moments` moments each."""
    rng = np.random.default_rng(seed)
    durations_s = np.repeat(rng.uniform(20, 150, -(-n_queries // 3)), 3)[:n_queries]
    annotated = []
    for duration_s in durations_s.round() if on_grid else durations_s:
        n = int(rng.integers(1, n_moments + 1))
        edges = np.sort(rng.uniform(0, duration_s, 2 * n))
        annotated.append((edges.round(0) if on_grid else edges).reshape(n, 2).tolist())
    ids = [f"q{i}" for i in range(n_queries)]
    return Moments(ids, [f"v{i // 3}" for i in range(n_queries)], durations_s, list_windows(ids, annotated))


@pytest.mark.parametrize("rules", OF_MOMENTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_fast_search_finds_what_the_plain_one_through_the_rule_set_does(rules, seed):
    question, options = made(40, 3, seed, on_grid=bool(seed)), Options()
    found, answers = constant_span(rules, question, options, n_intervals=8)
    metric = "R1@0.5" if "R1@0.5" in RULE_SETS[rules].names(options) else "R@0.5"
    best = None
    for candidate in _grid(float(question.targets.spans[..., 1].max()), 8):
        windows = [[[start, end, 1.0]] for start, end in candidate.spans(question.durations_s)]
        recall = apply_rules(rules, question, spans(windows), options).metrics[metric]
        if best is None or recall > best[0]:
            best = (recall, candidate.unit, candidate.start, candidate.end)
    assert (found.recall, found.unit, found.start, found.end) == best
    assert apply_rules(rules, question, answers, options).metrics[metric] == found.recall


def test_with_one_moment_per_query_the_constant_span_of_span_index_is_that_of_a_plain_loop():
    question = made(60, 1)
    found, answers = constant_span("span_index", question, Options())
    wanted = plain_constant_span(question.targets.spans[:, 0].tolist(), question.durations_s.tolist(), THRESHOLD, 40)
    assert (found.unit, found.start, found.end, found.recall) == pytest.approx(wanted)
    assert answers.windows.spans[:, 0] == pytest.approx(found.spans(question.durations_s))


def test_the_constant_span_may_hit_any_of_several_moments_where_the_rule_set_allows_it():
    question = moments([[[100, 120], [0, 10]], [[0, 10]]])
    assert constant_span("qvhighlights", question, Options())[0].recall == 100.0
    assert constant_span("span_index", question, Options())[0].recall == 50.0


def test_the_grid_in_seconds_goes_to_the_latest_end_of_any_moment():
    question = moments([[[0, 1], [100, 120]], [[5, 6], [100, 120]]])
    found, _ = constant_span("qvhighlights", question, Options())
    assert (found.unit, found.recall) == ("seconds", 100.0)
    assert found.end <= 120.0


def test_the_thresholds_that_are_reported_do_not_change_the_choice():
    question = made(40, 1, 3)
    assert (
        constant_span("mmn_float32", question, Options())[0]
        == (constant_span("mmn_float32", question, Options(thresholds=(0.9,)))[0])
    )


def test_a_span_in_seconds_is_found():
    durations_s = np.array([10.0, 50.0, 80.0, 33.0, 21.0, 44.0, 100.0, 12.0, 60.0, 40.0])
    question = moments([[[2.0, 6.0]]] * 9 + [[[20.0, 40.0]]], durations_s)
    best, _ = constant_span("span_index", question, Options())
    # The earliest of those with an IoU of 0.5 or more: 3 of 6 s.
    assert best == ConstantSpan("seconds", 0.0, 5.0, 90.0)


def test_a_share_of_the_duration_is_found():
    durations_s = np.array([10.0, 100.0, 1000.0, 7.0])
    question = moments((durations_s[:, None] * [0.6, 0.95])[:, None], durations_s)
    best, _ = constant_span("span_index", question, Options())
    assert (best.unit, best.recall) == ("duration", 100.0)
    # From here on the overlap is at least half: 0.35 of 0.675.
    assert (best.start, best.end) == pytest.approx((0.275, 0.95))


def test_constant_spans_are_cut_at_the_end_of_the_video():
    question = moments([[[0.0, 8.0]], [[0.0, 4.0]]], [8.0, 4.0])
    best, answers = constant_span("span_index", question, Options(), n_intervals=1)
    assert best == ConstantSpan("seconds", 0.0, 8.0, 100.0)
    assert answers.windows.spans[:, 0].tolist() == [[0.0, 8.0], [0.0, 4.0]]


# The order alone


def videos(*starts_of_videos, length=0.2) -> Moments:
    """Return videos of 10 s, each with moments that start at shares of the duration."""
    named = [(f"v{v}", start) for v, starts in enumerate(starts_of_videos) for start in starts]
    ids = [f"q{i}" for i in range(len(named))]
    windows = list_windows(ids, [[[10 * start, 10 * (start + length)]] for _, start in named])
    return Moments(ids, [video for video, _ in named], np.full(len(ids), 10.0), windows)


def test_ranks_that_tell_the_place_are_answered_and_those_that_do_not_are_not():
    ordered = videos(*[(0.0, 0.4, 0.8)] * 5)
    assert order_only("span_index", ordered, ordered, Options())["R1@0.7"] == 100.0
    single = videos((0.0,), (0.25,), (0.5,), (0.75,))
    assert order_only("span_index", single, single, Options())["R1@0.7"] == 25.0


def test_the_rank_is_that_of_the_start_whatever_the_order_of_the_queries():
    split = videos(*[(0.8, 0.0, 0.4)] * 3)
    assert order_only("span_index", split, split.rows(np.arange(9)[::-1]), Options())["R1@0.7"] == 100.0


def test_ranks_without_training_get_the_best_constant_span_of_training():
    train = videos((0.5,), (0.5,), (0.0,))
    assert order_only("span_index", train, videos((0.1, 0.5)), Options())["R1@0.7"] == 50.0


def test_videos_of_many_queries_share_bins_of_ranks():
    train, test = (videos(np.linspace(0, 0.8, n)) for n in (100, 99))
    assert order_only("span_index", train, test, Options())["R1@0.5"] > 90


@pytest.mark.parametrize("seed", [0, 1])
def test_with_one_moment_per_query_the_order_under_span_index_is_worth_what_a_plain_loop_finds(seed):
    train, test = made(90, 1, seed), made(60, 1, seed + 10)
    # The last video has two queries: no such rank was seen in training.
    test = test.rows(np.arange(59))
    found = order_only("span_index", train, test, Options())
    assert set(found) == {"R1@0.3", "R1@0.5", "R1@0.7"}
    for metric, value in found.items():
        wanted = plain_order_only(*(by_video(question) for question in (train, test)), float(metric.partition("@")[2]))
        assert value == pytest.approx(wanted), metric


def by_video(question: Moments) -> list[list[tuple[float, float]]]:
    """Return the moments of every video in shares of its duration, in the order of their starts."""
    found: dict[str, list] = {}
    for video, (start, end), duration_s in zip(
        question.video_ids, question.targets.spans[:, 0], question.durations_s, strict=True
    ):
        found.setdefault(video, []).append((start / duration_s, end / duration_s))
    return [sorted(spans) for spans in found.values()]


@pytest.mark.parametrize("rules", OF_MOMENTS)
def test_the_order_is_scored_by_the_rule_set_that_it_stands_beside(rules):
    ordered = videos(*[(0.0, 0.4, 0.8)] * 5)
    found = order_only(rules, ordered, ordered, Options())
    recalls = [name for name in RULE_SETS[rules].names(Options()) if name.startswith(("R1@", "R@"))]
    assert list(found) == recalls
    assert set(found.values()) == {100.0}
