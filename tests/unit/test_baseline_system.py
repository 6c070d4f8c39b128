"""The baseline: what it learns by counting, and that it answers every task within its bounds."""

import numpy as np
import pytest

from models.systems.baseline.config import Config
from models.systems.baseline.constants import constant_span, mean_saliency, most_frequent, usual_number
from models.systems.baseline.system import System
from models.systems.interface import Annotated, AnnotatedStep, Item, Told


def item(name, *moments, duration_s=10.0, **annotated):
    spans = np.array(moments, dtype=np.float64).reshape(-1, 2)
    return Item(name, f"v{name}", f"text {name}", duration_s, {}, Annotated(moments=spans, **annotated))


def test_the_constant_span_hits_most_queries_whatever_their_duration():
    items = [item("a", (2.0, 4.0)), item("b", (20.0, 40.0), duration_s=100.0), item("c", (9.0, 10.0))]
    start, end = constant_span(items, 0.9)
    assert 0.18 <= start <= 0.22
    assert 0.38 <= end <= 0.42


def test_any_of_several_moments_is_a_hit_and_an_iou_at_the_bound_is_one():
    several = [item("a", (0.0, 1.0), (5.0, 10.0)), item("b", (5.0, 10.0))]
    assert constant_span(several, 1.0) == (0.5, 1.0)
    # The earliest of those that overlap by exactly a half.
    assert constant_span([item("a", (0.0, 10.0))], 0.5) == (0.0, 0.5)


def test_without_a_moment_the_whole_video_is_answered():
    assert constant_span([item("a")], 0.5) == (0.0, 1.0)


def test_saliency_is_the_mean_by_place_in_the_video():
    points = np.array([[0, 0], [0, 0], [4, 2]])
    first, *_, last = mean_saliency([item("a", duration_s=8.0, saliency=points)])
    assert (first, last) == (0.0, 0.0)
    assert max(mean_saliency([item("a", duration_s=8.0, saliency=points)])) == 3.0
    assert set(mean_saliency([item("a")])) == {0.0}


def test_numbers_and_texts_are_the_usual_ones():
    assert usual_number([3, 0, 4, 5]) == 4
    assert usual_number([0, 0]) == 1
    assert most_frequent(["b", "a", "b", "c", "a"]) == "a"
    assert most_frequent([]) == ""


@pytest.fixture
def system() -> System:
    steps = tuple(AnnotatedStep(float(i), i + 1.0, text) for i, text in enumerate(("cut", "boil", "cut")))
    train = [item("a", (0.0, 5.0), steps=steps), item("b", (0.0, 5.0), captions=("a dog", "a dog", "a cat"))]
    return System(Config(), System.fit(Config(), train), {})


def answers(system, items, task):
    units = system.units(items, task)
    batch = system.collate([system.sample(unit, None) for unit in units])
    return system.predict(system.network(), batch, None, task)


def test_every_task_is_answered_from_what_was_learnt(system):
    asked = Item("q", "v", "what", 20.0, {}, told=Told(moment=(4.0, 10.0), steps=((4.0, 6.0), (6.0, 10.0))))
    video = Item("v", "v", "", 20.0, {}, is_video=True)
    [span] = answers(system, [asked], "moments")
    # The earliest of those that overlap the training moments, the first half of their videos, by a half.
    assert (span.start_s, span.end_s) == (0.0, 5.0)
    steps = answers(system, [asked], "steps")
    assert [(step.step_index, step.start_s, step.end_s) for step in steps] == [(0, 4, 6), (1, 6, 8), (2, 8, 10)]
    found = answers(system, [asked, video], "captions")
    assert [(c.query_id, c.step_index, c.text) for c in found] == [
        ("q", 0, "cut"),
        ("q", 1, "cut"),
        ("", None, "a dog"),
    ]
    [saliency] = answers(system, [asked], "highlights")
    assert len(saliency.scores) == 10


def test_videos_are_ranked_in_an_order_of_each_prompt_that_is_always_the_same(system):
    corpus = [Item(f"v{i}", f"v{i}", "", 5.0, {}, is_video=True) for i in range(20)]
    prompts = [Item(f"q{i}", "v0", f"prompt {i}", 5.0, {}) for i in range(2)]
    found = answers(system, [*prompts, *corpus], "videos")
    orders = [[r.video_id for r in found if r.query_id == q.id] for q in prompts]
    assert all(sorted(order) == sorted(v.video_id for v in corpus) for order in orders)
    assert orders[0] != orders[1]
    assert found == answers(system, [*prompts, *corpus], "videos")
    assert [r.rank for r in found[:20]] == list(range(20))
