"""CALCE as the training loop sees it: samples, batches, answers, checkpoints, and where its weights come from."""

import random
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.systems.calce.checkpoint import (
    LEFTOVERS,
    fill_from_state,
    fill_network,
    published_name,
    published_shapes,
    trained_state,
)
from models.systems.calce.config import Config, base_weights
from models.systems.calce.frames import AREA, ASPECT, crop_box, resized_crop
from models.systems.calce.generation import packs
from models.systems.calce.grounding import hint
from models.systems.calce.network import CalceNetwork
from models.systems.calce.random_weights import HEAD_GAIN
from models.systems.calce.schedule import Schedule, learning_rate
from models.systems.calce.system import System
from models.systems.calce.tokens import t5
from models.weights import seeded_state
from tests.unit.made_calce import TOKENS, WIDTH, made_config, made_item
from tests.unit.made_stored import write_store
from workflow_scripts.lib.training.rows import RowsInStore

DIMS = {"visual": [TOKENS * WIDTH]}
N_TRAINED = 80
"""Tensors that learn: two of each of 37 adapted maps, and two of each of two projections and a norm."""

ASKED = "moments"


def made_system(**changes) -> System:
    config = made_config(**changes)
    return System(config, System.fit(config, []), DIMS)


def made_network(system: System, seed: int = 0) -> CalceNetwork:
    """Return a network whose adapters are not zero."""
    torch.manual_seed(seed)
    network = system.network()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return network.eval()


def batch_of(system: System, numbers, training: bool = False, **changes):
    samples = [
        system.sample(made_item(number, **changes), random.Random(number) if training else None) for number in numbers
    ]
    return system.collate(samples)


def test_the_settings_do_not_need_torch():
    code = "import sys, models.systems.calce.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"weights": "random"}}, "pattern"),
        ({"network": {"weights": "published", "learns": "language_model"}}, "learns"),
        ({"train": {"contrast": {"epochs": 1}}}, "weight above 0"),
        ({"train": {"contrast": {"epochs": 2, "weight": 1.0}}}, r"contrast\.epochs 2 must be below train\.epochs 2"),
        ({"train": {"contrast": {"epochs": 1, "weight": 1.0}, "hint_epochs": 2}}, "hint_epochs 2"),
        ({"network": {"qformer": {"heads": 3}}}, "heads"),
        ({"data": {"augment": "crop"}}, "rows frames"),
        ({"data": {"crop_answers": True}}, "crop_answers needs"),
    ],
)
def test_settings_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValidationError, match=message):
        made_config(**changes)


@pytest.mark.parametrize(("rows", "dim"), [("tokens", TOKENS * WIDTH + 1), ("frames", 28), ("qformer", 12)])
def test_a_feature_of_other_rows_is_refused(rows, dim):
    with pytest.raises(ValueError, match=rows):
        System(made_config(network={"rows": rows}), {}, {"visual": [dim]})


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("rows", ["tokens", "frames", "qformer"])
def test_every_learning_parameter_gets_a_gradient(stage, rows):
    width = {"tokens": TOKENS * WIDTH, "frames": 3 * 28 * 28, "qformer": 4 * 16}[rows]
    system = System(
        made_config(stage=stage, network={"rows": rows}, events={"reach": 0}, data={"n_frames": 20}),
        {},
        {"visual": [width]},
    )
    network = made_network(system).train()
    batch = batch_of(system, range(4), training=True, n_rows=20, width=width)
    loss = system.loss(network, batch, 0)["total"]
    assert loss.isfinite()
    assert loss.shape == ()
    loss.backward()
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name, p in network.named_parameters() if p.grad is not None} == learning
    assert len(learning) == N_TRAINED - (2 if rows == "qformer" else 0)


def test_a_projection_that_is_not_needed_has_a_gradient_on_several_gpus_only(tmp_path):
    network = made_network(made_system())
    rows, all_keys = torch.randn(3, 4, 16), torch.ones(3, dtype=torch.bool)
    alone = network.visual_vectors(rows, all_keys)
    alone.sum().backward()
    assert network.query_proj.weight.grad is None
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/peers", rank=0, world_size=1)
    try:
        joined = network.visual_vectors(rows, all_keys)
    finally:
        torch.distributed.destroy_process_group()
    joined.sum().backward()
    assert torch.equal(joined, alone)
    assert not network.query_proj.weight.grad.any()


def test_the_language_model_itself_may_learn_instead_of_its_adapters():
    system = made_system(network={"learns": "language_model"})
    network = made_network(system)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert {name.split(".")[0] for name in frozen if "lora_" not in name} == {
        "query_tokens",
        "qformer",
    }
    assert {"lora_" in name for name in frozen if name.startswith("t5_model")} == {True}
    batch = batch_of(system, range(4), training=True)
    before = system.loss(network, batch, 0)["total"]
    before.backward()
    assert {name for name, p in network.named_parameters() if p.grad is not None} == {
        name for name, p in network.named_parameters() if p.requires_grad
    }
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora_" in name:
                parameter.fill_(3.0)
    assert torch.equal(system.loss(network, batch, 0)["total"], before)


GROUNDED = {"epochs": 6, "contrast": {"weight": 0.5, "epochs": 2, "learning_rate": 0.02}, "hint_epochs": 2}


def test_the_contrast_comes_first_and_stays_beside_the_answers():
    system = made_system(train=GROUNDED, network={"learns": "language_model", "t5": {"dropout": 0.0}})
    network = made_network(system)
    batch = batch_of(system, range(4), training=True)
    first, later = (system.loss(network, batch, epoch) for epoch in (1, 4))
    assert first.keys() == {"total", "contrast"}
    assert later.keys() == {"total", "contrast", "answer"}
    torch.testing.assert_close(first["total"], 0.5 * first["contrast"])
    torch.testing.assert_close(later["total"], 0.5 * later["contrast"] + later["answer"])
    plain = made_system(network={"learns": "language_model", "t5": {"dropout": 0.0}})
    torch.testing.assert_close(later["answer"], plain.loss(network, batch, 4)["total"])
    first["total"].backward()
    assert {n for n, p in network.named_parameters() if p.grad is not None} == {
        "t5_proj.weight",
        "t5_proj.bias",
        "ln_vision.weight",
        "ln_vision.bias",
    }


def test_the_hint_is_added_to_frames_of_moments_fades_and_is_never_given_with_a_question():
    system = made_system(train=GROUNDED, network={"t5": {"dropout": 0.0}, "lora": {"dropout": 0.0}})
    assert [system.config.train.hint_in(epoch) for epoch in range(2, 6)] == [1.0, 0.5, 0.0, 0.0]
    network = made_network(system)
    batch = batch_of(system, range(4), training=True)
    rows, means = network.frame_rows(batch["rows"])
    plain = network.prompts(batch, system.select)
    hinted = network._prompts(rows, means, batch, system.select, 0.5)
    embeddings = network.t5_model.shared.weight.detach()
    for one, other, sample, own, mean in zip(
        plain, hinted, batch["samples"], rows.split(batch["n_frames"]), means.split(batch["n_frames"]), strict=True
    ):
        is_key = system.select(network, own, mean, sample).is_key
        added = (0.5 * hint(embeddings[sample["words"]], embeddings.mean(0))).expand(20, -1)
        expected = [added[: 4 if key else 2] * inside for key, inside in zip(is_key, sample["is_inside"], strict=True)]
        torch.testing.assert_close(other.vectors - one.vectors, torch.cat(expected), atol=1e-5, rtol=0)
        assert sample["is_inside"].any()
    with torch.no_grad():
        answers = [system.loss(network, batch, epoch)["answer"] for epoch in (2, 3, 4, 5)]
    assert len({value.item() for value in answers}) == 3
    assert answers[2] == answers[3]


def test_the_rate_of_the_contrast_comes_before_the_published_course():
    system, plain = made_system(train=GROUNDED), made_system(train={"epochs": 4})
    rates = []
    for one, n_steps in ((system, 30), (plain, 20)):
        optimiser = one.optimiser([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
        schedule = one.schedule(optimiser, n_steps)
        rates.append([])
        for _ in range(n_steps):
            rates[-1].append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            schedule.step()
    assert rates[0][:10] == pytest.approx([0.02] * 10)
    assert rates[0][10:] == pytest.approx(rates[1])


@pytest.mark.parametrize("stage", [1, 2])
def test_an_answer_does_not_depend_on_who_shares_the_batch(stage):
    system = made_system(stage=stage, data={"n_frames": 12})
    network = made_network(system)
    with torch.inference_mode():
        alone = [system.predict(network, batch_of(system, [n], n_rows=9 + n), None, ASKED)[0].text for n in range(4)]
        samples = [system.sample(made_item(n, n_rows=9 + n), None) for n in range(4)]
        together = {p.query_id: p.text for p in system.predict(network, system.collate(samples), None, ASKED)}
    assert [together[f"q{n}"] for n in range(4)] == alone
    assert len(set(alone)) > 1


def test_predictions_are_windows_in_the_order_of_their_starts():
    system = made_system()
    network = made_network(system)
    answers = iter(["[[4, 9], [1, 2]]", "no window"])
    network.answers = lambda prompts, options: [t5().ids(next(answers))[:-1] for _ in prompts]
    with torch.inference_mode():
        found = system.predict(network, batch_of(system, [0, 1]), None, ASKED)
    assert [(p.query_id, p.rank, p.start_s, p.end_s) for p in found] == [
        ("q0", 0, 1.0, 2.0),
        ("q0", 1, 4.0, 9.0),
        ("q1", 0, 0.0, 16.0),
    ]
    assert found[-1].text == "no window"


def test_rows_that_are_not_finite_cost_their_own_query_only():
    system = made_system()
    network = made_network(system)
    batch = batch_of(system, range(3))
    batch["rows"][9, 4] = float("nan")
    with torch.inference_mode():
        clean = system.predict(network, batch_of(system, range(3)), None, ASKED)
        found = system.predict(network, batch, None, ASKED)
    assert [p for p in found if p.query_id != "q1"] == [p for p in clean if p.query_id != "q1"]
    assert [p.start_s for p in found if p.query_id == "q1"] == [None]


def test_a_batch_loss_is_the_mean_over_its_tokens():
    system = made_system()
    network = made_network(system)
    with torch.no_grad():
        single = [system.loss(network, batch_of(system, [n], training=True), 0)["total"] for n in range(3)]
        batch = batch_of(system, range(3), training=True)
        joint = system.loss(network, batch, 0)["total"]
    counts = (batch["labels"] != -100).sum(1)
    torch.testing.assert_close(joint, (torch.stack(single) * counts).sum() / counts.sum())


def test_reduced_precision_and_checkpointing_give_nearly_the_same_gradients():
    def gradients(**network_settings):
        system = made_system(network=network_settings | {"t5": {"dropout": 0.0}, "lora": {"dropout": 0.0}})
        network = made_network(made_system())
        other = system.network()
        other.load_state_dict(network.state_dict())
        other.train()
        other.qformer.eval()
        system.loss(other, batch_of(system, range(2), training=True), 0)["total"].backward()
        return torch.cat([p.grad.flatten() for _, p in sorted(other.named_parameters()) if p.grad is not None])

    plain = gradients()
    torch.testing.assert_close(gradients(gradient_checkpointing=True), plain, atol=1e-6, rtol=1e-4)
    reduced = gradients(precision="bf16")
    assert torch.cosine_similarity(reduced, plain, dim=0) > 0.99
    assert not torch.equal(reduced, plain)


def test_reduced_precision_keeps_what_learns_in_float32():
    network = made_network(made_system(network={"precision": "bf16"}))
    kinds = {name: p.dtype for name, p in network.named_parameters()}
    assert {kinds[name] for name in network.learnt_names} == {torch.float32}
    halved = {name for name, kind in kinds.items() if kind == torch.bfloat16}
    assert halved == {name for name in kinds if "base_layer" in name}


def test_a_checkpoint_holds_what_learns_and_fits_another_network_of_the_same_seed():
    system = made_system()
    network = made_network(system)
    state = network.state_dict()
    assert len(state) == N_TRAINED
    other = system.network()
    other.load_state_dict(state, strict=True)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))
    with pytest.raises(RuntimeError, match=r"t5_proj\.bias"):
        other.load_state_dict({k: v for k, v in state.items() if k != "t5_proj.bias"}, strict=True)


def test_the_q_former_drops_nothing_where_its_dropout_is_not_wanted():
    network = made_network(made_system(network={"qformer": {"train_mode": False}})).train()
    assert network.t5_model.training
    assert not network.qformer.training
    assert made_network(made_system()).train().qformer.training


def test_published_weights_are_put_together_from_their_files():
    config = made_config(network={"weights": "published", "rows": "frames"})
    shapes = published_shapes(config.network)
    full = {name: torch.from_numpy(value) for name, value in seeded_state(shapes, 3, 1.0).items()}
    t5_prefix, text = "t5_model.base_model.model.", (".intermediate.", ".output.", "word_emb", "position_emb")
    is_text = {n for n in full if n.startswith("Qformer.bert") and any(part in n for part in text)}
    is_text -= {n for n in is_text if "attention.output" in n}
    base = {
        "flan_t5_xl": {
            n.removeprefix(t5_prefix): v for n, v in full.items() if n.startswith(t5_prefix) and "lora" not in n
        },
        "bert_base_uncased": {
            n.removeprefix("Qformer.")
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta"): v
            for n, v in full.items()
            if n.startswith("Qformer.")
        },
        "blip2_flan_t5_xl": {
            n: v
            for n, v in full.items()
            if n.startswith(("Qformer.bert", "query_tokens", "ln_vision", "t5_proj")) and n not in is_text
        },
        "blip2_eva_vit_g": {
            n.removeprefix("visual_encoder."): v for n, v in full.items() if n.startswith("visual_encoder.")
        },
    }
    # Attention and norms of BERT itself must not be taken.
    for name in base["bert_base_uncased"]:
        if f"Qformer.{name}".replace("gamma", "weight").replace("beta", "bias") not in is_text:
            base["bert_base_uncased"][name] = base["bert_base_uncased"][name] + 100
    assert set(base) == set(base_weights(config))
    network = System(config, {}, {"visual": [3 * 28 * 28]}).network(base)
    for name, parameter in network.named_parameters():
        if "lora_" not in name and not name.startswith("query_proj"):
            assert torch.equal(parameter, full[published_name(name)]), name

    with pytest.raises(ValueError, match="flan_t5_xl"):
        System(config, {}, {"visual": [3 * 28 * 28]}).network({n: v for n, v in base.items() if n != "flan_t5_xl"})
    del base["flan_t5_xl"]["lm_head.weight"]
    with pytest.raises(ValueError, match="lm_head"):
        System(config, {}, {"visual": [3 * 28 * 28]}).network(base)


def test_random_weights_need_no_files_and_repeat():
    assert base_weights(made_config()) == ()
    first, second = (dict(made_network(made_system(), seed).named_parameters()) for seed in (0, 1))
    assert all(
        torch.equal(first[name], second[name]) for name in first if "lora" not in name and "query_proj" not in name
    )
    embeddings, head = first["t5_model.shared.weight"], first["t5_model.lm_head.base_layer.weight"]
    apart = embeddings - head * 32**0.5 / HEAD_GAIN
    torch.testing.assert_close(apart, apart[:1].expand_as(apart), atol=1e-4, rtol=0)
    assert (embeddings - apart).std().item() == pytest.approx(1, abs=0.01)
    assert "blip2_eva_vit_g" not in base_weights(Config())


def test_random_weights_are_drawn_one_by_one_and_never_held_twice():
    sizes = {"width": 64, "head_width": 16, "heads": 4, "ffn_dim": 256, "layers": 6, "vocabulary": 400}
    network = CalceNetwork(made_config(network={"t5": sizes, "qformer": {"vocabulary": 400}}).network)
    t5()
    # numpy's memory is traced, the network's own, which is torch's, is not; the list of words was read above.
    tracemalloc.start()
    fill_network(network, None)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * sum(p.numel() for p in network.parameters()) / 2


def test_a_published_checkpoint_needs_its_trained_tensors_and_no_others(caplog):
    system = made_system()
    shapes = published_shapes(system.config.network)
    full = {name: torch.from_numpy(value) for name, value in seeded_state(shapes, 3, 1.0).items()}
    network = CalceNetwork(system.config.network)
    trained = {published_name(name) for name in network.learnt_names}
    file = {"model": {n: full[n] for n in trained | LEFTOVERS}, "epoch": 3}
    state = system.import_checkpoint(file)
    assert not caplog.records
    assert state.keys() == network.learnt_names
    assert all(torch.equal(state[n], full[published_name(n)]) for n in state)
    fill_from_state(network, full).load_state_dict(state, strict=True)

    system.import_checkpoint(full)
    assert "left out" in caplog.text
    with pytest.raises(ValueError, match=r"missing query_proj\.bias"):
        trained_state(network, {n: v for n, v in file["model"].items() if n != "query_proj.bias"})
    with pytest.raises(ValueError, match=r"query_proj\.weight"):
        trained_state(network, file["model"] | {"query_proj.weight": torch.zeros(3, 3)})


def test_stored_rows_give_the_frames_of_the_published_rule():
    system = made_system()
    item = made_item(0, n_rows=16)
    sample = system.sample(item, None)
    assert np.array_equal(sample["rows"].numpy(), item.streams["visual"][0].values[::2])
    assert sample["times_s"].tolist() == [0, 4, 8, 12, 16, 20, 24, 28]
    short = system.sample(made_item(0, n_rows=5), None)
    assert len(short["rows"]) == 5


def test_unusable_items_are_named():
    system = made_system(stage=2)
    assert system.skip_reason(made_item(0), training=True) is None
    assert system.skip_reason(made_item(0, n_rows=0), training=False) == "no_visual"
    assert system.skip_reason(made_item(0, prior_spans=None), training=False) == "no_prior_spans"
    with pytest.raises(ValueError, match="no_prior_spans"):
        system.sample(made_item(0, prior_spans=None), None)
    assert made_system().skip_reason(made_item(0, prior_spans=None), training=False) is None


@pytest.mark.parametrize("spans", [[], [[5, 5]], [[400, 500]], [[0, 16]]])
def test_whatever_the_first_stage_answered_there_is_an_answer(spans):
    system = made_system(stage=2)
    network = made_network(system)
    with torch.inference_mode():
        found = system.predict(network, batch_of(system, [0, 1], prior_spans=spans), None, ASKED)
    assert {p.query_id for p in found} == {"q0", "q1"}


def test_a_first_stage_that_answered_nothing_gives_no_windows():
    system = made_system(stage=2)
    assert system.sample(made_item(0, prior_spans=[]), None)["windows"] == []
    assert system.sample(made_item(0, prior_spans=[[2.0, 6.0]]), None)["windows"] == [[2, 6]]
    assert made_system().sample(made_item(0, prior_spans=[]), None)["windows"] is None


@pytest.mark.parametrize(("answer", "is_readable"), [("[[2, 5]]", True), ("two to five", False)])
def test_a_window_says_whether_it_stands_for_an_answer_that_could_not_be_read(answer, is_readable, monkeypatch):
    system = made_system()
    network = made_network(system)
    monkeypatch.setattr(network, "answers", lambda prompts, options: [t5().ids(answer) for _ in prompts])
    with torch.inference_mode():
        (found,) = system.predict(network, batch_of(system, [0]), None, ASKED)
    assert (found.text, found.is_readable) == (answer, is_readable)
    assert (found.start_s, found.end_s) == ((2, 5) if is_readable else (0, made_item(0).duration_s))


def test_a_video_of_one_frame_without_speech_is_answered():
    for stage in (1, 2):
        system = made_system(stage=stage)
        with torch.inference_mode():
            found = system.predict(
                made_network(system), batch_of(system, [0], n_rows=1, transcript=[]), None, "moments"
            )
        assert found[0].query_id == "q0"


def test_draws_of_training_differ_by_epoch_and_those_of_evaluation_do_not():
    system = made_system()
    item = made_item(0)
    seeds = [system.sample(item, random.Random(f"0/{epoch}/0"))["seed"] for epoch in (0, 0, 1)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert system.sample(item, None)["seed"] == system.sample(item, None)["seed"]


def test_matrices_are_decayed_and_the_norm_is_not():
    system = made_system()
    network = made_network(system)
    names = {id(p): name for name, p in network.named_parameters()}
    decayed, rest = ({names[id(p)] for p in group["params"]} for group in system.parameter_groups(network))
    assert rest == {"ln_vision.weight", "ln_vision.bias", "query_proj.bias", "t5_proj.bias"}
    assert decayed | rest == network.learnt_names


def test_the_rate_of_a_step_is_that_of_its_last_batch():
    system = made_system(train={"accumulation": 2, "epochs": 3, "warmup_queries": 14, "min_learning_rate": 1e-5})
    optimiser = system.optimiser([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    schedule = system.schedule(optimiser, 3 * 5)
    rate = Schedule(3e-4, 1e-5, 3, 7)
    for step in range(15):
        expected = learning_rate(rate, step // 5, 2 * (step % 5) + 1, 10)
        assert schedule.get_last_lr()[0] == pytest.approx(expected)
        optimiser.step()
        schedule.step()


def test_packs_hold_all_queries_under_their_bound():
    lengths = [5, 40, 7, 7, 39, 100]
    found = packs(lengths, 80)
    assert sorted(place for places in found for place in places) == list(range(6))
    assert found[0] == [5]
    assert all(len(p) * max(lengths[i] for i in p) <= 80 for p in found[1:])


def test_crops_lie_inside_and_have_the_published_shapes():
    rng = random.Random(0)
    for _ in range(200):
        top, left, h, w = crop_box(224, 224, rng)
        assert 0 <= top <= 224 - h
        assert 0 <= left <= 224 - w
        assert AREA[0] * 0.97 < h * w / 224**2 <= AREA[1]
        assert ASPECT[0] * 0.97 < w / h < ASPECT[1] * 1.03


@pytest.mark.parametrize(
    ("is_training", "crops", "differs"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_answers_about_training_videos_see_crops_only_where_asked(is_training, crops, differs):
    config = made_config(network={"rows": "frames"}, data={"augment": "crop", "crop_answers": crops})
    size = config.network.vision.image_size
    system = System(config, {}, {"visual": [3 * size**2]})
    item = made_item(0, width=3 * size**2, is_training=is_training)
    pixels = np.random.default_rng(0).integers(0, 256, item.streams["visual"][0].values.shape).astype(np.float32)
    item = replace(item, streams={"visual": [replace(item.streams["visual"][0], values=pixels)]})
    first, again = (system.sample(item, None)["rows"] for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(first, torch.from_numpy(pixels).to(torch.uint8)) != differs


@pytest.mark.parametrize("augment", ["none", "crop"])
def test_pixels_stored_in_a_byte_give_the_samples_of_those_in_float16(tmp_path, augment):
    config = made_config(network={"rows": "frames"}, data={"augment": augment, "clamp_after_bicubic": False})
    width = 3 * config.network.vision.image_size**2
    system = System(config, {}, {"visual": [width]})
    item = made_item(0, width=width)
    pixels = np.random.default_rng(0).integers(0, 256, (8, width)).astype(np.float32)
    rows, samples = replace(item.streams["visual"][0], values=pixels), []
    for dtype in ("float16", "uint8"):
        stored = RowsInStore(write_store(tmp_path / dtype, {"v0": rows}, dtype), "v0", "ok")
        samples.append(system.sample(replace(item, streams={"visual": [stored]}), random.Random(3)))
    assert torch.equal(*(sample["rows"] for sample in samples))
    assert torch.equal(samples[0]["rows"], torch.from_numpy(pixels).to(torch.uint8)) == (augment == "none")


def test_overshoot_of_a_crop_wraps_around_only_where_asked():
    frames = torch.zeros(1, 16, 16, 3, dtype=torch.uint8)
    frames[:, :, 8:] = 255
    clamped, wrapped = (resized_crop(frames, (2, 2, 12, 12), clamp) for clamp in (True, False))
    assert clamped.dtype == torch.uint8
    assert clamped.shape == frames.shape
    assert (clamped.int() - wrapped.int()).abs().max() > 200
    same = resized_crop(frames, (0, 0, 16, 16), True)
    assert torch.equal(same, frames)
