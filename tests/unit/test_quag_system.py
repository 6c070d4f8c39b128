"""QUAG as the workflow sees it: units of three tasks, batches of one task each, answers of every type."""

import random

import numpy as np
import pytest
import torch

from models.systems.interface import Annotated, AnnotatedStep, Caption, FeatureRows, Item, Span, Step, Told
from models.systems.quag.config import Config
from models.systems.quag.system import System

DIMS = {"visual": [6], "text": [5], "speech": [4]}
SIZES = {"width": 16, "fusion_width": 12, "heads": 2, "layers": 1, "decoder_layers": 1, "ffn_dim": 16}


def made_system(form="quag", dims=DIMS, **sections) -> System:
    network = {"form": form, "start": "random", **SIZES, **sections.pop("network", {})}
    decoding = {"beams": 1, **sections.pop("decoding", {})}
    return System(Config.model_validate({"network": network, "decoding": decoding, **sections}), {}, dims)


def rows(rng, n, dim) -> FeatureRows:
    edges = np.arange(n + 1, dtype=np.float32)
    return FeatureRows(rng.standard_normal((n, dim)).astype(np.float32), np.stack([edges[:-1], edges[1:]], axis=1))


def made_item(number: int, n_steps: int = 3, n_rows: int = 24, **changes) -> Item:
    rng = np.random.default_rng(number)
    bounds = [(4.0 + 4 * i, 8.0 + 4 * i) for i in range(n_steps)]
    steps = tuple(AnnotatedStep(start, end, f"cut it {i}") for i, (start, end) in enumerate(bounds))
    moment = (bounds[0][0], bounds[-1][1]) if bounds else (2.0, 5.0)
    streams = {"visual": [rows(rng, n_rows, 6)], "text": [rows(rng, 1, 5)], "speech": [rows(rng, 24, 4)]}
    given = {
        "annotated": Annotated(moments=np.array([moment]), steps=steps),
        "told": Told(moment=moment, steps=tuple(bounds)),
        **changes,
    }
    return Item(f"q{number}", f"v{number}", "make tea", 24.0, streams, **given)


def test_every_task_has_its_training_units_and_none_of_what_is_not_annotated():
    system = made_system()
    items = [made_item(0), made_item(1, n_steps=0), made_item(2, n_steps=1)]
    found = [(task, item.id, number) for task, item, number in system.units(items)]
    assert found == [
        *[("moments", f"q{i}", 0) for i in range(3)],
        *[("steps", "q0", i) for i in range(3)],
        *[("captions", "q0", i) for i in range(3)],
        ("captions", "q2", 0),
    ]
    alone = made_system(tasks=["captions"])
    assert {unit[0] for unit in alone.units(items)} == {"captions"}
    assert alone.tasks == ("captions",)


def test_a_boundary_behind_the_moment_is_not_trained_on():
    late = made_item(0)
    moved = Annotated(moments=np.array([[4.0, 12.0]]), steps=late.annotated.steps)
    units = made_system().units([Item(late.id, late.video_id, "", 24.0, late.streams, moved)])
    assert [number for task, _, number in units if task == "steps"] == [0, 1]


def test_a_batch_has_one_task_and_every_unit_is_in_one_batch():
    system = made_system()
    units = system.units([made_item(i) for i in range(5)])
    batches = system.batches(units, 4, random.Random(0), epoch=1)
    assert sorted(number for batch in batches for number in batch) == list(range(len(units)))
    assert all(len({units[number][0] for number in batch}) == 1 for batch in batches)
    assert max(map(len, batches)) == 4
    orders = [[units[b[0]][0] for b in system.batches(units, 4, random.Random(0), epoch)] for epoch in (1, 2, 1)]
    assert orders[0] == orders[2] != orders[1]


@pytest.mark.parametrize("form", ["quag", "hirest"])
@pytest.mark.parametrize("task", ["moments", "steps", "captions"])
def test_every_task_has_a_finite_loss_by_its_name_and_answers_of_its_type(form, task):
    torch.manual_seed(0)
    system = made_system(form)
    network, items = system.network(), [made_item(0), made_item(1)]
    trained = [unit for unit in system.units(items) if unit[0] == task][:3]
    batch = system.collate([system.sample(unit, random.Random(0)) for unit in trained])
    assert batch["task"] == task
    terms = system.loss(network, batch, 0)
    assert {"total", task} <= terms.keys()
    assert torch.isfinite(terms["total"])
    terms["total"].backward()
    asked = system.collate([system.sample(unit, None) for unit in system.units(items, task)])
    answers = system.predict(network.eval(), asked, None, task)
    assert {type(answer) for answer in answers} == {{"moments": Span, "steps": Step, "captions": Caption}[task]}
    assert {answer.query_id for answer in answers} == {"q0", "q1"}
    if task == "captions":
        assert [(c.query_id, c.step_index) for c in answers] == [(f"q{i}", k) for i in range(2) for k in range(3)]
    if task == "steps":
        assert next(a.step_index for a in answers if a.query_id == "q0") == 0
        assert all(a.start_s is None or a.start_s <= a.end_s for a in answers)


def test_a_moment_in_which_no_step_is_found_is_a_row_without_span():
    torch.manual_seed(0)
    system = made_system(decoding={"min_peak": 1.0})
    asked = system.collate([system.sample(unit, None) for unit in system.units([made_item(0)], "steps")])
    assert system.predict(system.network().eval(), asked, None, "steps") == [Step("q0", "v0", 0, None, None)]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (made_item(0), None),
        (made_item(0, n_rows=0), "no_visual"),
        (made_item(0, n_rows=23), "too_few_rows"),
        (made_item(0, annotated=Annotated()), "no_moment"),
    ],
)
def test_what_cannot_be_used_is_named(item, reason):
    assert made_system().skip_reason(item, training=True) == reason
    repeated = made_system(data={"missing_rows": "repeat_last"})
    assert repeated.skip_reason(item, training=False) == (reason if reason == "no_visual" else None)


def test_speech_may_be_missing_in_a_video_and_in_form_hirest_altogether():
    silent = made_item(0)
    silent.streams["speech"][0] = FeatureRows(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32), "no_speech")
    system = made_system()
    assert not system.sample(("moments", silent, 0), None)["speech"].any()
    mute = made_system("hirest", {"visual": [6], "text": [5]})
    streams = {name: silent.streams[name] for name in ("visual", "text")}
    item = Item("q", "v", "", 24.0, streams, silent.annotated, silent.told)
    batch = mute.collate([mute.sample(("moments", item, 0), None)])
    assert len(mute.predict(mute.network().eval(), batch, None, "moments")) == 1
    with pytest.raises(ValueError, match="one visual and one text feature"):
        System(Config(), {}, {"visual": [6, 6], "text": [5]})


def test_a_query_that_the_text_tower_cannot_read_is_refused_or_cut():
    item = made_item(0)
    long = Item(item.id, item.video_id, "how to make tea " * 30, 24.0, item.streams, item.annotated, item.told)
    with pytest.raises(ValueError, match=r"data\.long_prompt: cut"):
        made_system().sample(("moments", long, 0), None)
    cutting = made_system(data={"long_prompt": "cut"})
    assert cutting.sample(("moments", long, 0), None)["task"] == "moments"
