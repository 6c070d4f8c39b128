"""QUAG's networks: equal to a plain loop, and what their options change."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.layers.dropout import Dropout
from models.systems.quag import config as quag_config
from models.systems.quag import predicting
from models.systems.quag.attention import attend
from models.systems.quag.config import Config, NetworkConfig
from models.systems.quag.losses import loss_terms
from models.systems.quag.network import CLOSED, MomentNetwork
from models.systems.quag.packing import Runs
from tests.unit.made_quag import (
    CLEAN,
    DIMS,
    FORMS,
    QUERY,
    VISUAL,
    WORDS,
    made_batch,
    made_config,
    made_network,
    made_plain,
    part_of,
)
from tests.unit.plain_quag import plain_captions, plain_moments, plain_steps

TASKS = ("moments", "steps", "captions")
FULL = {"quag": (172, 88_549_440), "hirest": (127, 63_187_005)}
# The published -10000 leaves scores three decimals.
NEAR = {"atol": 3e-4, "rtol": 1e-3}


@pytest.mark.parametrize("form", FORMS)
def test_full_size_networks_have_the_published_tensors(form):
    with torch.device("meta"):
        network = MomentNetwork(NetworkConfig(form=form), 1024, 1024, 384)
    assert (len(network.state_dict()), sum(p.numel() for p in network.parameters())) == FULL[form]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("training", [False, True])
def test_losses_and_gradients_equal_the_plain_network(form, task, training):
    config = made_config(form, network={"dropout": 0.0})
    network, batch = made_network(config), made_batch(task, config)
    plain = made_plain(network).train(training)
    loss = loss_terms(network.train(training)(batch), batch, config.loss)["total"]
    expected = plain.loss(batch, config.loss.contrastive_weight)
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    loss.backward()
    expected.backward()
    gradients = {name: p.grad for name, p in plain.named_parameters()}
    for name, parameter in network.named_parameters():
        if gradients[name] is None:
            assert parameter.grad is None, name
        else:
            torch.testing.assert_close(parameter.grad, gradients[name], **NEAR, msg=lambda t, name=name: f"{name}: {t}")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_answers_equal_the_plain_network(form, seed):
    config = made_config(form, decoding={"min_gap": 5})
    network = made_network(config, seed)
    plain = made_plain(network)
    batch = made_batch("moments", config)
    assert predicting.find_moments(network, batch, config) == plain_moments(plain, batch)
    batch = made_batch("steps", config, is_asked=True)
    assert predicting.find_steps(network, batch, config) == plain_steps(plain, batch, config)
    batch = made_batch("captions", config)
    found = predicting.describe_steps(network, batch, config, WORDS)
    expected = plain_captions(plain, batch, 3, config.data.max_words, WORDS.start, WORDS.end)
    assert [caption.ids for caption in found] == [ids for ids, _ in expected]
    np.testing.assert_allclose([c.score for c in found], [score for _, score in expected], atol=1e-2)


def test_segmentation_takes_as_many_rounds_as_it_finds_steps(monkeypatch):
    """Otherwise the comparison with the plain loop would say little."""
    config = made_config("quag", decoding={"min_gap": 1})
    network, batch = made_network(config, spread=40.0), made_batch("steps", config, is_asked=True)
    sizes, logits = [], network.boundary_logits
    monkeypatch.setattr(
        network, "boundary_logits", lambda context, *masks: sizes.append(len(masks[0])) or logits(context, *masks)
    )
    found = predicting.find_steps(network, batch, config)
    assert max(map(len, found)) >= 4
    assert 3 <= len(sizes) < config.decoding.iterations
    assert sizes[0] == 3
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 3


@pytest.mark.parametrize("task", ["moments", "steps"])
def test_rows_that_no_loss_looks_at_are_closed_and_the_others_the_same(task):
    config = made_config()
    network, batch = made_network(config), made_batch(task, config)
    asked = batch["valid_mask"] if task == "moments" else batch["moment_mask"]
    quick, every = network(batch), network(batch, every_row=True)
    for name in ("start", "end") if task == "moments" else ("boundary",):
        assert (quick[name][~asked] == CLOSED).all()
        assert (every[name] > -1e6).all()
        torch.testing.assert_close(quick[name][asked], every[name][asked], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", ["moments", "steps"])
def test_with_masked_padding_no_logit_depends_on_the_other_videos(form, task):
    config = made_config(form, **CLEAN)
    network, lengths = made_network(config), (23, 14, 31)
    batch = made_batch(task, config, lengths)
    together = network(batch)
    for number, length in enumerate(lengths):
        alone = network(part_of(batch, number, length))
        for name in together.keys() - {"similarity"}:
            torch.testing.assert_close(together[name][number, :length], alone[name][0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_as_published_logits_depend_on_the_other_videos(form):
    config = made_config(form)
    network, batch = made_network(config), made_batch("moments", config)
    together, alone = network(batch)["start"][1, :14], network(part_of(batch, 1, 14))["start"][0]
    assert (together - alone).abs().max() > 0.01


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(4))
def test_clean_answers_do_not_depend_on_the_other_videos(form, seed):
    config = made_config(form, **CLEAN)
    network, lengths = made_network(config, seed, spread=20.0), (23, 14, 31, 1, 2)
    for task, answer in (("moments", predicting.find_moments), ("steps", predicting.find_steps)):
        batch = made_batch(task, config, lengths, is_asked=True)
        alone = [answer(network, part_of(batch, n, length), config)[0] for n, length in enumerate(lengths)]
        assert answer(network, batch, config) == alone
    batch = made_batch("captions", config, lengths)
    found = predicting.describe_steps(network, batch, config, WORDS)
    alone = [predicting.describe_steps(network, part_of(batch, n), config, WORDS)[0] for n in range(len(lengths))]
    assert [WORDS.text(caption.ids) for caption in found] == [WORDS.text(caption.ids) for caption in alone]


def test_masked_padding_leaves_no_trace_in_training():
    config = made_config(**CLEAN, **{"train": {}})
    network, batch = made_network(config).train(), made_batch("steps", config)
    batch["visual"][~batch["valid_mask"]] = torch.nan
    loss_terms(network(batch), batch, config.loss)["total"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changes", [{}, CLEAN])
def test_a_video_of_one_second_is_trained_with_and_answered(form, changes):
    config = made_config(form, **changes)
    network = made_network(config)
    for task in ("moments", "captions"):
        batch = made_batch(task, config, (1,))
        assert loss_terms(network(batch), batch, config.loss)["total"].isfinite()
    assert predicting.find_moments(network, made_batch("moments", config, (1,)), config) == [(0, 0)]
    assert predicting.find_steps(network, made_batch("steps", config, (1,), is_asked=True), config) == [[0]]
    assert len(predicting.describe_steps(network, made_batch("captions", config, (1,)), config, WORDS)) == 1


def test_a_batch_of_one_has_no_contrast():
    config = made_config()
    network, batch = made_network(config), made_batch("moments", config, (12,))
    terms = loss_terms(network(batch), batch, config.loss)
    assert terms["contrast"] == 0
    assert terms["total"] == terms["moments"]


def test_the_temperature_is_kept_within_its_limits():
    config = made_config()
    network, batch = made_network(config), made_batch("moments", config)
    for value, expected in ((3.0, 0.5), (-1.0, 0.001), (0.2, 0.2)):
        network.temp.data.fill_(value)
        network(batch)
        assert float(network.temp.detach()) == pytest.approx(expected)


def test_the_published_offset_costs_decimals_and_nothing_else():
    exact, clean = made_config("hirest"), made_config("hirest", network={"exact_mask_offset": False})
    first = made_network(exact)
    second = MomentNetwork(clean.network, *DIMS).eval()
    second.load_state_dict(first.state_dict())
    batch = made_batch("moments", exact)
    difference = (first(batch)["start"] - second(batch)["start"])[batch["valid_mask"]].abs().max()
    assert 1e-6 < difference < 1e-2


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", TASKS)
def test_reduced_precision_stays_near(form, task):
    config = made_config(form)
    network, batch = made_network(config), made_batch(task, config)
    expected = loss_terms(network(batch), batch, config.loss)["total"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss_terms(network(batch), batch, config.loss)["total"]
    found.backward()
    assert found.item() == pytest.approx(expected.item(), rel=0.1)


def test_the_baseline_does_without_speech_and_quag_does_not():
    config = made_config("hirest")
    network = MomentNetwork(config.network, VISUAL, QUERY, 0).eval()
    batch = made_batch("moments", config)
    del batch["speech"]
    assert loss_terms(network(batch), batch, config.loss)["total"].isfinite()
    assert not any(name.startswith("asr") for name in network.state_dict())
    with pytest.raises(ValueError, match="name a speech feature"):
        MomentNetwork(made_config("quag").network, VISUAL, QUERY, 0)


def test_a_video_beyond_the_positions_of_the_baseline_is_refused():
    config = made_config("hirest")
    with pytest.raises(ValueError, match="2049 rows is too long"):
        made_network(config)(made_batch("moments", config, (2049,)))


def test_equal_rows_in_a_row_are_computed_once():
    rows = torch.tensor([[0.0, 0], [0, 0], [1, 0], [1, 0], [0, 0], [0, 1]])
    runs = Runs.of(rows)
    assert runs.firsts.tolist() == [0, 2, 4, 5]
    assert torch.equal(runs.spread(runs.first(rows)), rows)


DROPOUTS = {
    "quag": {
        "moments": {"align.0.attention": 2, "align.0": 2, "val": 1, "transformer.0": 4, "transformer.1": 4},
        "captions": {"align.0.attention": 2, "align.0": 2, "val": 1, "transformer.0": 4, "transformer.1": 4}
        | {"clip4cap_model.decoder": 11},
    },
    "hirest": {
        "moments": {"clip4cap_model.visual": 7},
        "captions": {"clip4cap_model.visual": 7, "clip4cap_model.decoder": 11},
    },
}
"""Calls of dropout per part: of attention's weights and outputs, inside and after feed-forward parts, of embeddings."""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("task", ["moments", "captions"])
def test_dropout_is_where_it_is_published(form, task):
    config, calls = made_config(form), {}
    network = made_network(config).train()
    for name, module in network.named_modules():
        if isinstance(module, Dropout):
            module.register_forward_hook(lambda m, i, o, name=name: calls.update({name: calls.get(name, 0) + 1}))
    network(made_batch(task, config, lengths=(23, 23, 23)))  # attention of other lengths is computed apart
    expected, found = DROPOUTS[form][task], dict.fromkeys(DROPOUTS[form][task], 0)
    for name, count in calls.items():
        part = max((part for part in expected if name.startswith(part)), key=len)
        found[part] += count
    assert found == expected


def test_dropout_of_attention_takes_whole_weights_away():
    weights = Dropout(0.5)
    queries, values = torch.zeros(1, 1000, 4), torch.eye(4)[None]
    kept = attend(queries, values, values, dropout=weights)[0]
    assert set(kept.unique().tolist()) == {0.0, 0.5}
    assert torch.equal(attend(queries, values, values, dropout=weights.eval())[0], torch.full((1000, 4), 0.25))


def test_training_draws_dropout_anew():
    config = made_config()
    network, batch = made_network(config).train(), made_batch("steps", config)
    losses = {float(loss_terms(network(batch), batch, config.loss)["steps"].detach()) for _ in range(3)}
    assert len(losses) == 3


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"network": {"forms": "quag"}}, "forms"),
        ({"network": {"heads": 5}}, "multiple of network.heads"),
        ({"data": {"max_words": 600}}, "network.word_positions 512"),
        ({"data": {"n_rows": 0}}, "data.n_rows 0"),
        ({"decoding": {"beams": 40_000}}, "decoding.beams 40000"),
        ({"network": {"form": "hirest"}, "data": {"n_rows": 3000}}, "2048 positions"),
    ],
)
def test_config_refuses_impossible_settings(broken, message):
    with pytest.raises(ValidationError, match=message):
        Config.model_validate(broken)


def test_every_setting_is_described():
    for field in Config.model_fields.values():
        inner = getattr(field.annotation, "model_fields", {})
        assert all(part.description for part in (field, *inner.values()))


def test_clean_is_a_value_of_every_setting_it_names_and_not_the_default():
    for name, values in quag_config.CLEAN.items():
        section, key = name.split(".")
        assert getattr(getattr(Config(), section), key) not in values
        assert all(
            getattr(made_config(**{section: {key: value}}), section).model_dump()[key] == value for value in values
        )


def test_config_is_importable_without_torch():
    code = "import sys; import models.systems.quag.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
