"""Training of QUAG: losses, packing, optimiser, order of tasks, published weights."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.systems.quag import optimisation
from models.systems.quag.checkpoint import start_from_clip4caption, trained_state
from models.systems.quag.config import CLIP4CAPTION, Config, LossConfig, TrainConfig, base_weights
from models.systems.quag.losses import contrast, loss_terms
from models.systems.quag.packing import Chosen, normalised_times, pack
from tests.unit.made_quag import FORMS, made_batch, made_config, made_network

PUBLISHED = LossConfig()


def valid(*lengths: int, n_rows: int = 6) -> torch.Tensor:
    return torch.arange(n_rows) < torch.tensor(lengths)[:, None]


def test_padding_is_kept_merged_or_left_out():
    mask = valid(6, 3, 5)
    assert pack(mask, "rows").counts == (6, 6, 6)
    none, merged = pack(mask, "none"), pack(mask, "merged")
    assert (none.counts, none.repeats) == ((6, 3, 5), None)
    assert merged.counts == (6, 5, 6)
    assert merged.repeats.tolist() == [1] * 6 + [1, 1, 1, 1, 2] + [1] * 6
    assert merged.places.tolist() == [*range(6), 6, 7, 8, 9, 10, *range(12, 18)]
    assert pack(valid(6, 6), "merged").repeats is None


@pytest.mark.parametrize("padding", ["rows", "merged", "none"])
def test_means_and_totals_count_the_rows_that_each_row_stands_for(padding):
    mask = valid(6, 3, 5)
    values = torch.randn(3, 6, 4) * mask[:, :, None] + 2.0 * ~mask[:, :, None]
    packing = pack(mask, padding)
    rows = packing.take(values)
    counted = mask.float() if padding == "none" else torch.ones(3, 6)
    expected = (values * counted[:, :, None]).sum(1)
    torch.testing.assert_close(packing.totals(rows), expected)
    torch.testing.assert_close(packing.means(rows), expected / counted.sum(1, keepdim=True))


def test_rows_of_some_samples_are_those_of_a_batch_of_them():
    mask = valid(6, 3, 5, 1)
    for padding in ("rows", "merged", "none"):
        whole = pack(mask, padding)
        found, kept = whole.only([1, 3])
        expected = pack(mask[[1, 3]], padding)
        assert found.counts == expected.counts
        assert torch.equal(found.places, expected.places)
        assert torch.equal(found.take(torch.arange(12).view(2, 6)), expected.take(torch.arange(12).view(2, 6)))
        values = torch.arange(24.0).view(4, 6)
        assert torch.equal(whole.take(values)[kept], expected.take(values[[1, 3]]))
        assert (found.repeats is None) == (expected.repeats is None)


def test_values_go_back_to_their_places():
    mask = valid(4, 2, n_rows=4)
    packing = pack(mask, "none")
    chosen = Chosen.of(packing, packing.take(torch.tensor([[True, False, True, False], [False, True, False, True]])))
    assert chosen.counts == (2, 1)
    found = packing.put(torch.tensor([1.0, 2.0, 3.0]), chosen.places, -9.0)
    assert found.tolist() == [[1, -9, 2, -9], [-9, 3, -9, -9]]


def test_times_run_over_the_video_and_stand_still_after_it():
    mask = valid(5, 1, n_rows=5)
    times = normalised_times([5, 1], pack(mask, "rows"))[:, 0]
    torch.testing.assert_close(times, torch.tensor([-1, -0.5, 0, 0.5, 1, -1, 0, 0, 0, 0]))
    assert normalised_times([5, 1], pack(mask, "merged")).shape == (8, 1)


def outputs_of(batch: dict) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = batch["valid_mask"].shape
    return {name: torch.randn(shape, generator=generator) for name in ("start", "end", "boundary")} | {
        "words": torch.randn(shape[0], 8, 15, generator=generator)
    }


def test_the_loss_of_moments_is_the_mean_over_all_rows_of_the_batch():
    batch = made_batch("moments", made_config())
    outputs, losses = outputs_of(batch), []
    for name in ("start", "end"):
        for video, length in enumerate(batch["valid_mask"].sum(1).tolist()):
            for row in range(length):
                chance = torch.sigmoid(outputs[name][video, row])
                is_it = row == batch[f"{name}_row"][video]
                losses.append(-(chance if is_it else 1 - chance).log())
    found = loss_terms(outputs, batch, PUBLISHED)["total"]
    torch.testing.assert_close(found, torch.stack(losses).mean(), atol=1e-6, rtol=1e-5)


def test_the_loss_of_steps_is_that_of_the_rows_left():
    batch = made_batch("steps", made_config())
    outputs, losses = outputs_of(batch), []
    for logits, mask, target in zip(outputs["boundary"], batch["moment_mask"], batch["next_row"], strict=True):
        losses.append(logits[mask].logsumexp(0) - logits[target])
    found = loss_terms(outputs, batch, PUBLISHED)["total"]
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_the_loss_of_captions_counts_padding_unless_asked_otherwise():
    batch = made_batch("captions", made_config())
    outputs = outputs_of(batch)
    each = F.cross_entropy(outputs["words"].flatten(0, 1), batch["next_words"].flatten(), reduction="none").view(3, 8)
    torch.testing.assert_close(loss_terms(outputs, batch, PUBLISHED)["total"], each.mean())
    found = loss_terms(outputs, batch, LossConfig(ignore_pad=True))["total"]
    torch.testing.assert_close(found, each[batch["words_mask"]].mean())


def test_the_contrast_looks_from_both_sides():
    similarity = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    rows = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-2))]
    columns = [math.log(1 + math.exp(-1)), math.log(1 + math.exp(-3))]
    assert float(contrast(similarity)) == pytest.approx((sum(rows) / 2 + sum(columns) / 2) / 2)
    assert contrast(torch.tensor([[5.0]])) == 0


def test_items_of_one_video_are_negatives_unless_asked_otherwise():
    similarity = torch.randn(3, 3)
    same = torch.tensor([0, 0, 1])
    assert contrast(similarity, same) < contrast(similarity)
    torch.testing.assert_close(contrast(similarity, torch.arange(3)), contrast(similarity))
    batch = made_batch("moments", made_config())
    batch["video_numbers"] = same
    outputs = outputs_of(batch) | {"similarity": similarity}
    for asked in (True, False):
        found = loss_terms(outputs, batch, LossConfig(same_video_negatives=asked))["contrast"]
        torch.testing.assert_close(found, contrast(similarity, None if asked else same))


def test_the_contrast_counts_little():
    batch = made_batch("moments", made_config())
    terms = loss_terms(outputs_of(batch) | {"similarity": torch.randn(3, 3)}, batch, PUBLISHED)
    torch.testing.assert_close(terms["total"], terms["moments"] + 3e-4 * terms["contrast"])


def test_everything_is_decayed_but_what_a_task_does_not_use():
    config = made_config(train={"learning_rate": 0.1, "weight_decay": 0.5})
    network = made_network(config)
    optimiser = optimisation.optimiser(optimisation.parameter_groups(network, config.train), config.train)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    batch = made_batch("moments", config)
    loss_terms(network(batch), batch, config.loss)["total"].backward()
    optimiser.step()
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert {"temp", "start_predictor.0.bias", "align.0.norm1.weight"} <= moved
    unused = ("moment_conv", "clip4cap_model.visual", "clip4cap_model.decoder", "segment_predictor", "boundary_embed")
    assert not any(name.startswith(unused) for name in moved)
    assert len(moved) == sum(p.grad is not None for p in network.parameters())


def test_the_rate_rises_from_nothing_and_falls_to_nothing():
    factors = [optimisation.rate_factor(step, 3, 9) for step in range(11)]
    assert factors == pytest.approx([0, 1 / 3, 2 / 3, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0, 0])
    assert optimisation.rate_factor(0, 0, 5) == 1
    parameter = torch.nn.Parameter(torch.zeros(1))
    train = TrainConfig(learning_rate=0.5, warmup_proportion=0.29)
    optimiser = optimisation.optimiser([{"params": [parameter]}], train)
    schedule = optimisation.schedule(optimiser, 10, train)
    rates = []
    for _ in range(4):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0, 0.25, 0.5, 0.5 * 7 / 8])


def test_every_batch_of_every_task_has_its_turn_in_an_order_of_the_epoch():
    counts = {"moments": 3, "steps": 5, "captions": 4}
    orders = [optimisation.task_order(counts, epoch) for epoch in range(3)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert orders[1] == optimisation.task_order(counts, 1)


@pytest.mark.parametrize("form", FORMS)
def test_published_checkpoints_are_imported_strictly(form):
    config = made_config(form)
    network = made_network(config)
    state = network.state_dict() | {"clip_model.text.positional_embedding": torch.zeros(2)}
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    for given in (state, wrapped):
        found = trained_state(network, config.network, given)
        assert found.keys() == network.state_dict().keys()
    changed = {name.replace("mask_embed.weight", "mask_embed.wait"): tensor for name, tensor in state.items()}
    with pytest.raises(ValueError, match=r"missing \['mask_embed.weight'\], unknown \['mask_embed.wait'\]"):
        trained_state(network, config.network, changed)
    with pytest.raises(ValueError, match=r"mask_embed\.weight"):
        trained_state(network, config.network, state | {"mask_embed.weight": torch.zeros(3, 3)})


def test_a_checkpoint_of_the_other_network_says_so():
    networks = {form: made_network(made_config(form)) for form in FORMS}
    for form, other in (FORMS, FORMS[::-1]):
        with pytest.raises(ValueError, match=f"set network.form: {other}"):
            trained_state(networks[form], networks[form].config, networks[other].state_dict())


def clip4caption_state(seed: int = 1) -> dict[str, torch.Tensor]:
    """Return weights as CLIP4Caption has them: fewer positions, older names, and a text encoder."""
    network = made_network(made_config("hirest"), seed)
    state = dict(network.clip4cap_model.state_dict())
    position = "visual.embeddings.position_embeddings.weight"
    state[position] = state[position][:12]
    state["decoder.embeddings.LayerNorm.gamma"] = state.pop("decoder.embeddings.LayerNorm.weight")
    state["decoder.embeddings.LayerNorm.beta"] = state.pop("decoder.embeddings.LayerNorm.bias")
    del state["visual.pooler.dense.bias"]
    return state | {"bert.pooler.dense.weight": torch.zeros(2, 2)}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_taken_from_clip4caption_is_reported(form):
    config = made_config(form)
    network, state = made_network(config), clip4caption_state()
    norm, positions = (
        network.clip4cap_model.state_dict()[name].clone()
        for name in ("normalize_video.visual_norm2d.weight", "visual.embeddings.position_embeddings.weight")
    )
    start = start_from_clip4caption(network, config.network, state)
    ours = network.clip4cap_model.state_dict()
    assert torch.equal(ours["decoder.embeddings.LayerNorm.weight"], state["decoder.embeddings.LayerNorm.gamma"])
    assert torch.equal(ours["decoder.embeddings.LayerNorm.bias"], state["decoder.embeddings.LayerNorm.beta"])
    assert start.unknown == ["bert.pooler.dense.weight"]
    assert start.missing == ["visual.pooler.dense.bias"]
    assert torch.equal(ours["visual.embeddings.position_embeddings.weight"], positions)
    assert start.other_shape["visual.embeddings.position_embeddings.weight"] == ((12, 24), (2048, 24))
    is_quag = form == "quag"
    assert ("normalize_video.visual_norm2d.weight" in start.other_shape) == is_quag
    assert torch.equal(ours["normalize_video.visual_norm2d.weight"], norm) == is_quag
    assert ("visual.encoder.layer.0.output.dense.weight" in start.idle) == is_quag
    assert ("visual.encoder.layer.0.output.dense.weight" in start.used) != is_quag
    assert "decoder.classifier.cls.predictions.bias" in start.used
    assert f"{len(start.used)} tensors used, {len(start.idle)} copied and never called" in str(start)
    assert "(12, 24) instead of (2048, 24)" in str(start)


def test_words_stay_tied_after_the_start():
    config = made_config()
    network = made_network(config)
    start_from_clip4caption(network, config.network, clip4caption_state())
    decoder = network.clip4cap_model.decoder
    assert decoder.predictions.decoder.weight is decoder.embeddings.word_embeddings.weight


def test_another_file_than_clip4caption_is_refused():
    config = made_config()
    with pytest.raises(ValueError, match=r"clip4caption_vit-b-32_model.bin"):
        start_from_clip4caption(made_network(config), config.network, {"visual.conv1.weight": torch.zeros(1)})


def test_the_weights_that_are_needed_are_named():
    assert base_weights(Config()) == (CLIP4CAPTION,)
    assert base_weights(made_config()) == ()


@pytest.mark.parametrize("form", FORMS)
def test_training_on_a_few_videos_lowers_every_loss(form):
    config = made_config(form, train={"learning_rate": 3e-3})
    network = made_network(config).train()
    optimiser = optimisation.optimiser(optimisation.parameter_groups(network, config.train), config.train)
    batches = [made_batch(task, config) for task in ("moments", "steps", "captions")]
    history = []
    for _ in range(40):
        losses = []
        for batch in batches:
            loss = loss_terms(network(batch), batch, config.loss)["total"]
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
        history.append(losses)
    first, last = history[0], history[-1]
    assert all(after < 0.7 * before for before, after in zip(first, last, strict=True)), (first, last)
