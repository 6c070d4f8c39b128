"""IMG as the training loop sees it."""

import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.systems.img.config import CLEAN, Config
from models.systems.img.system import System
from models.systems.interface import Annotated, FeatureRows, Item

DIMS = {"visual": [6, 5], "audio": [4], "text": [7]}
SMALL = {"dim": 16, "heads": 2, "gru_layers": 1, "max_steps": 20, "query": {"kind": "tokens"}}


def make_config(**sections) -> Config:
    network = SMALL | sections.pop("network", {})
    return Config.model_validate({"network": network, **sections})


def make_rows(seed: int, n: int, dim: int) -> FeatureRows:
    values = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    bounds = np.arange(n + 1, dtype=np.float32)
    return FeatureRows(values, np.stack([bounds[:-1], bounds[1:]], axis=1), "ok" if n else "no_audio")


def make_item(seed: int, n_audio: int = 31, moments=((2.0, 5.0),), text: str = "a person opens the door.") -> Item:
    streams = {
        "visual": [make_rows(seed, 25, 6), make_rows(seed + 1, 9 + seed, 5)],
        "audio": [make_rows(seed + 2, n_audio, 4)],
        "text": [make_rows(seed + 3, 3 + seed % 4, 7)],
    }
    return Item(f"q{seed}", f"v{seed}", text, 10.0 + seed, streams, Annotated(np.array(moments).reshape(-1, 2)))


def make_batch(system: System, n: int = 4, training: bool = True) -> dict:
    rng = random.Random(0) if training else None
    return system.collate([system.sample(make_item(seed), rng) for seed in range(n)])


@pytest.mark.parametrize(
    "broken",
    [
        {"network": {"dims": 64}},
        {"features": []},
        {"network": {"dim": 30, "heads": 4}},
        {"network": {"max_steps": 8}, "train": {"batch_size": 16}},
        {"network": {"pos_mode": "batch"}},
    ],
)
def test_config_refuses_unknown_keys_and_impossible_values(broken):
    with pytest.raises(ValidationError):
        Config.model_validate(broken)


def test_every_setting_is_described():
    for section in Config.model_fields.values():
        assert all(field.description for field in section.annotation.model_fields.values())


def test_config_is_importable_without_torch():
    code = "import sys; import models.systems.img.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_visual_features_are_concatenated_on_the_length_of_the_reference():
    item = make_item(0)
    first, second = (rows.values for rows in item.streams["visual"])
    by_last = System(make_config(), {}, DIMS).sample(item, None)
    by_first = System(make_config(data={"reference_feature": 0}), {}, DIMS).sample(item, None)
    assert by_last["visual"].shape == (9, 11)
    assert np.array_equal(by_last["visual"][:, 6:], second)
    assert by_first["visual"].shape == (20, 11)
    assert by_first["audio"].shape == (20, 4)
    assert len(first) > 20


def test_audio_is_divided_by_its_scale():
    plain = System(make_config(), {}, DIMS).sample(make_item(1), None)
    scaled = System(make_config(data={"audio_scale": 255.0}), {}, DIMS).sample(make_item(1), None)
    np.testing.assert_allclose(scaled["audio"] * 255.0, plain["audio"], rtol=1e-5, atol=1e-6)


def test_a_silent_video_follows_the_rule_of_the_configuration():
    silent = make_item(0, n_audio=0)
    zeros, drop = (System(make_config(data={"no_audio": rule}), {}, DIMS) for rule in ("zeros", "drop"))
    assert not zeros.sample(silent, None)["audio"].any()
    assert zeros.skip_reason(silent, training=True) is None
    assert drop.skip_reason(silent, training=False) == "no_audio"
    with pytest.raises(ValueError, match="query q0 on video v0 cannot be used: no_audio"):
        drop.sample(silent, None)


def test_only_training_needs_a_moment():
    system, item = System(make_config(), {}, DIMS), make_item(0, moments=())
    assert system.skip_reason(item, training=True) == "no_moment"
    assert "first" not in system.sample(item, None)


def test_wrong_streams_are_refused():
    with pytest.raises(ValueError, match="at least one audio feature"):
        System(make_config(), {}, {"visual": [6], "text": [7]})
    with pytest.raises(ValueError, match="exactly one text feature"):
        System(make_config(), {}, {"visual": [6], "audio": [4]})
    with pytest.raises(ValueError, match=r"data\.reference_feature"):
        System(make_config(data={"reference_feature": 2}), {}, DIMS)


def test_training_on_a_few_samples_lowers_the_loss():
    torch.manual_seed(0)
    system = System(make_config(network={"dropout": 0.0}, train={"learning_rate": 3e-3}), {}, DIMS)
    network, batch = system.network(), make_batch(system)
    optimiser = system.optimiser(system.parameter_groups(network))
    schedule, losses = system.schedule(optimiser, 30), []
    for _ in range(30):
        terms = system.loss(network, batch, epoch=0)
        assert all(term.ndim == 0 for term in terms.values())
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        schedule.step()
        losses.append(terms["total"].item())
    assert losses[-1] < 0.6 * losses[0]
    assert optimiser.param_groups[0]["lr"] == 0.0


def test_the_optimiser_steps_as_plain_adamw():
    train = {"learning_rate": 3e-3, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}
    system, steps = System(make_config(network={"dropout": 0.0}, train=train), {}, DIMS), []
    plain = {"lr": 3e-3, "betas": (0.8, 0.99), "eps": 1e-6, "foreach": False, "fused": False}
    for make in (system.optimiser, lambda groups: torch.optim.AdamW(groups, **plain)):
        torch.manual_seed(0)
        network = system.network()
        optimiser = make(system.parameter_groups(network))
        gradients = torch.Generator().manual_seed(1)
        for _ in range(5):
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=gradients)
            optimiser.step()
        steps.append(network.state_dict())
    for name, expected in steps[1].items():
        torch.testing.assert_close(steps[0][name], expected, atol=1e-7, rtol=1e-5)


def loss_at(epoch: int, **warmup) -> dict[str, float]:
    """Return the loss terms of one network on one batch in an epoch."""
    torch.manual_seed(0)
    system = System(make_config(network={"dropout": 0.0, "slot_noise": "zero"}, loss=warmup), {}, DIMS)
    terms = system.loss(system.network(), make_batch(system), epoch)
    return {name: term.item() for name, term in terms.items()}


def test_the_distillation_counts_nothing_at_first_and_fully_after_its_warm_up():
    early, late = (loss_at(epoch, distillation_warmup_epochs=4, gate_warmup_epochs=0) for epoch in (0, 4))
    unweighted = loss_at(4, distillation_weight=0.0, gate_warmup_epochs=0)
    assert early["total"] == unweighted["total"]
    assert late["total"] > early["total"]
    assert late == early | {"total": late["total"]}
    assert late == loss_at(0, distillation_warmup_epochs=0, gate_warmup_epochs=0)


def test_the_audio_gate_follows_the_predicted_importance_after_its_warm_up():
    early, late = (loss_at(epoch, gate_warmup_epochs=3, distillation_warmup_epochs=0) for epoch in (0, 3))
    assert late["location_av"] != early["location_av"]
    assert late == loss_at(0, gate_warmup_epochs=0, distillation_warmup_epochs=0)
    assert {name: late[name] for name in ("location_v", "location_a", "importance")} == {
        name: early[name] for name in ("location_v", "location_a", "importance")
    }


def test_mixed_precision_gives_nearly_the_same_loss_and_finite_gradients():
    torch.manual_seed(0)
    system = System(make_config(network={"dropout": 0.0, "slot_noise": "zero"}), {}, DIMS)
    network, batch = system.network(), make_batch(system)
    full = system.loss(network, batch, epoch=5)["total"].item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = system.loss(network, batch, epoch=5)["total"]
    mixed.backward()
    assert mixed.item() == pytest.approx(full, rel=0.02)
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("branch", ["av", "v", "a"])
def test_predictions_lie_inside_the_video_and_follow_the_generator(branch):
    torch.manual_seed(0)
    system = System(make_config(decoding={"branch": branch}), {}, DIMS)
    network, batch = system.network().eval(), make_batch(system, training=False)
    with torch.inference_mode():
        once, again = (system.predict(network, batch, torch.Generator().manual_seed(3), "moments") for _ in range(2))
    assert once == again
    assert [prediction.query_id for prediction in once] == ["q0", "q1", "q2", "q3"]
    for prediction, duration_s in zip(once, batch["durations_s"], strict=True):
        assert 0 <= prediction.start_s < prediction.end_s <= duration_s + 1e-4
        assert 0 < prediction.score <= 1


def test_biases_and_layer_norms_are_not_decayed_but_slot_norms_are():
    system = System(make_config(), {}, DIMS)
    network = system.network()
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    decayed, spared = ({names[id(p)] for p in group["params"]} for group in system.parameter_groups(network))
    assert len(decayed) + len(spared) == len(names)
    assert "event_audio_fusion.slot_attentiona.norm_input.weight" in decayed
    assert "predictor_av.start_layer_norm.weight" in spared
    assert "down_sample.rnn1.bias_hh_l0" in spared


def test_warm_up_rises_then_falls_to_zero():
    system = System(make_config(train={"warmup_proportion": 0.2, "learning_rate": 1.0}), {}, DIMS)
    optimiser = system.optimiser(system.parameter_groups(system.network()))
    schedule, rates = system.schedule(optimiser, 10), []
    for _ in range(10):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])


def test_checkpoints_are_imported_strictly():
    system = System(make_config(), {}, DIMS)
    state = system.network().state_dict()
    assert system.import_checkpoint(state).keys() == state.keys()
    renamed = {name.replace("PPmodule", "pp"): tensor for name, tensor in state.items()}
    with pytest.raises(ValueError, match=r"missing \['PPmodule.*unknown \['pp\."):
        system.import_checkpoint(renamed)
    wider = System(make_config(), {}, DIMS | {"audio": [5]}).network().state_dict()
    with pytest.raises(ValueError, match=r"audio_affine\.linear\.conv1d\.weight: \(16, 5, 1\) instead of \(16, 4, 1\)"):
        system.import_checkpoint(wider)


def test_glove_vocabulary_is_fitted_and_its_vectors_reach_the_network(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 2 3\ndoor 4 5 6\nunused 7 8 9\n. 0 0 1\n")
    query = {"kind": "glove", "word_vectors": str(path), "word_dim": 3, "char_dim": 4, "min_char_count": 1}
    config = make_config(network={"query": query})
    items = [make_item(0), make_item(1, text="a door")]
    fitted = System.fit(config, items)
    assert fitted["words"] == ["a", "door", "."]
    path.unlink()
    system = System(config, fitted, DIMS)
    network = system.network()
    assert network.word_embeddinga.word_emb.glove_vec.tolist() == [[1, 2, 3], [4, 5, 6], [0, 0, 1]]
    batch = system.collate([system.sample(item, random.Random(0)) for item in items])
    assert batch["word_ids"].tolist() == [[2, 1, 1, 1, 3, 4], [2, 3, 0, 0, 0, 0]]
    assert batch["char_ids"].shape == (2, 6, 6)
    assert torch.isfinite(system.loss(network, batch, epoch=3)["total"])


def test_glove_without_a_vector_file_says_what_to_set():
    with pytest.raises(ValueError, match=r"network\.query\.word_vectors"):
        System.fit(Config(), [make_item(0)])


# The clean protocol

CLEAN_NETWORK = {"pos_mode": "time", "slot_noise": "fixed", "mask_padding": True}


def spans(system: System, network, items: list[Item]) -> dict[str, tuple[float, float]]:
    """Return what a system answers to items that share a batch, from a generator in some state."""
    with torch.inference_mode():
        batch = system.collate([system.sample(item, None) for item in items])
        found = system.predict(network, batch, torch.Generator().manual_seed(len(items)), "moments")
    return {prediction.query_id: (prediction.start_s, prediction.end_s) for prediction in found}


def test_these_are_the_settings_of_the_clean_protocol():
    assert {f"network.{key}": value for key, value in CLEAN_NETWORK.items()} == {
        key: admitted[0] for key, admitted in CLEAN.items() if key != "network.query.vocabulary"
    }


@pytest.mark.parametrize("kind", ["tokens", "glove"])
def test_clean_predictions_do_not_depend_on_who_shares_the_batch(kind, glove):
    torch.manual_seed(0)
    query = glove if kind == "glove" else {"kind": "tokens"}
    config = make_config(network={**CLEAN_NETWORK, "query": query})
    items = [make_item(seed, text=text) for seed, text in enumerate(["a door.", "a person opens the door.", "a", "."])]
    system = System(config, System.fit(config, items), DIMS)
    network = system.network().eval()
    together = spans(system, network, items)
    assert spans(system, network, items[::-1]) == together
    assert spans(system, network, items[1:3]) == {query: together[query] for query in ("q1", "q2")}
    for item in items:
        assert spans(system, network, [item]) == {item.id: together[item.id]}


def test_published_predictions_depend_on_it():
    torch.manual_seed(0)
    system = System(make_config(), {}, DIMS)
    network, items = system.network().eval(), [make_item(seed) for seed in range(8)]
    alone = {query: span for item in items for query, span in spans(system, network, [item]).items()}
    assert spans(system, network, items) != alone


def test_fixed_slots_differ_from_one_another_and_are_the_same_for_all():
    system = System(make_config(network=CLEAN_NETWORK), {}, DIMS)
    audio, visual = system._slot_noise(make_batch(system, training=False), None)
    assert torch.equal(audio[0], audio[3])
    assert not torch.equal(audio[0, 0], audio[0, 1])
    assert not torch.equal(audio[0], visual[0])


# What is reported beside the answers


def in_detail(system, network, batch):
    """Return the answers in detail by variant, and the scores."""
    found = system.predict(network, batch, torch.Generator().manual_seed(3), "moments", in_detail=True)
    by_variant = {}
    for answer in found:
        by_variant.setdefault(getattr(answer, "variant", "score"), []).append(answer)
    return by_variant, by_variant.pop("score")


def plain(answers):
    return [replace(answer, variant="") for answer in answers]


def test_all_predictors_and_the_importance_of_sound_are_told():
    torch.manual_seed(0)
    system = System(make_config(), {}, DIMS)
    network, batch = system.network().eval(), make_batch(system, training=False)
    with torch.inference_mode():
        found, scores = in_detail(system, network, batch)
        answers = system.predict(network, batch, torch.Generator().manual_seed(3), "moments")
        for branch in ("v", "a"):
            alone = System(make_config(decoding={"branch": branch}), {}, DIMS)
            wanted = alone.predict(network, batch, torch.Generator().manual_seed(3), "moments")
            assert plain(found[f"predictor:{branch}"]) == wanted
    assert list(found) == ["", "predictor:av", "predictor:v", "predictor:a"]
    assert found[""] == plain(found["predictor:av"]) == answers
    assert [(score.query_id, score.name) for score in scores] == [(f"q{i}", "audio_importance") for i in range(4)]
    assert all(0 < score.value < 1 for score in scores)


def test_the_visual_predictor_answers_for_a_silent_video_if_asked_to():
    torch.manual_seed(0)
    config = {rule: System(make_config(data={"no_audio": rule}), {}, DIMS) for rule in ("zeros", "visual")}
    network = config["zeros"].network().eval()
    items = [make_item(0), make_item(1, n_audio=0)]
    with torch.inference_mode():
        batch = config["zeros"].collate([config["zeros"].sample(item, None) for item in items])
        found, _ = in_detail(config["zeros"], network, batch)
        answers = config["visual"].predict(network, batch, torch.Generator().manual_seed(3), "moments")
        assert in_detail(config["visual"], network, batch)[0][""] == answers
    assert found[""] == plain(found["predictor:av"])
    assert answers == plain([found["predictor:av"][0], found["predictor:v"][1]])


# Bad input


def with_rows(item: Item, stream: str, rows: FeatureRows) -> Item:
    return replace(item, streams={**item.streams, stream: [rows, *item.streams[stream][1:]]})


@pytest.mark.parametrize("stream", ["visual", "audio", "text"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_not_finite_leaves_its_query_out_by_name(stream, value):
    item = make_item(0)
    rows = make_rows(5, 6, DIMS[stream][0])
    rows.values[3, 1] = value
    system = System(make_config(), {}, DIMS)
    assert system.skip_reason(with_rows(item, stream, rows), training=False) == f"not_finite_{stream}"
    with pytest.raises(ValueError, match=f"query q0 on video v0 cannot be used: not_finite_{stream}"):
        system.sample(with_rows(item, stream, rows), None)


def test_rows_are_spread_over_the_annotated_duration_however_many_there_are():
    system = System(make_config(network=CLEAN_NETWORK), {}, DIMS)
    for n_rows in (4, 12, 20):
        rows = [make_rows(1, n_rows, 6), make_rows(2, n_rows, 5)]
        item = replace(make_item(0, moments=((2.5, 5.0),)), streams=make_item(0).streams | {"visual": rows})
        sample = system.sample(item, random.Random(0))
        assert (sample["first"], sample["last"]) == (n_rows // 4, n_rows // 2 - 1)


@pytest.mark.parametrize("pos_mode", ["batch_index", "time"])
def test_a_query_over_the_limit(pos_mode, glove):
    long = replace(make_item(0), text="door " * 50)
    long = with_rows(long, "text", make_rows(3, 50, 7))
    tokens = System(make_config(network={"pos_mode": pos_mode}), {}, DIMS)
    assert len(tokens.sample(long, None)["tokens"]) == (20 if pos_mode == "time" else 50)
    network = tokens.network().eval()
    assert spans(tokens, network, [long, make_item(1)]).keys() == {"q0", "q1"}
    config = make_config(network={"pos_mode": pos_mode, "query": glove})
    words = System(config, System.fit(config, [long]), DIMS)
    assert len(words.sample(long, None)["word_ids"]) == 20


def test_a_video_of_one_step_and_a_batch_of_one_train_and_predict():
    torch.manual_seed(0)
    system = System(make_config(), {}, DIMS)
    network = system.network()
    short = make_item(0)
    short = replace(short, streams=short.streams | {"visual": [make_rows(1, 1, 6), make_rows(2, 1, 5)]})
    sample = system.sample(short, random.Random(0))
    assert (sample["first"], sample["last"]) == (0, 0)
    loss = system.loss(network, system.collate([sample]), epoch=1)["total"]
    loss.backward()
    assert torch.isfinite(loss)
    duration = short.duration_s
    assert spans(system, network.eval(), [short]) == {"q0": (0.0, duration)}


def test_a_sound_file_without_samples_is_a_silent_video():
    empty = with_rows(make_item(0), "audio", FeatureRows(np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32)))
    assert System(make_config(data={"no_audio": "drop"}), {}, DIMS).skip_reason(empty, training=True) == "no_audio"
    assert not System(make_config(), {}, DIMS).sample(empty, None)["audio"].any()


# Published checkpoints


def glove_system(glove: dict, items: list[Item]) -> System:
    config = make_config(network={"query": glove})
    return System(config, System.fit(config, items), DIMS)


def test_a_checkpoint_of_another_vocabulary_is_refused(glove):
    items = [make_item(0), make_item(1, text="a door")]
    system = glove_system(glove, items)
    state = system.network().state_dict()
    assert system.import_checkpoint(state).keys() == state.keys()
    other = glove_system(glove, [make_item(2, text="door . door . a")])
    assert other.vocabulary.words != system.vocabulary.words
    assert len(other.vocabulary.words) == len(system.vocabulary.words)
    with pytest.raises(ValueError, match=r"3 of 3 differ|2 of 3 differ"):
        other.import_checkpoint(
            {**state, **{k: v for k, v in other.network().state_dict().items() if v.shape != state[k].shape}}
        )


@pytest.fixture
def glove(tmp_path) -> dict:
    """Settings of a query encoder with three known words."""
    path = tmp_path / "vectors.txt"
    path.write_text("a 1 2 3\ndoor 4 5 6\nunused 7 8 9\n. 0 0 1\n")
    return {"kind": "glove", "word_vectors": str(path), "word_dim": 3, "char_dim": 4, "min_char_count": 1}
