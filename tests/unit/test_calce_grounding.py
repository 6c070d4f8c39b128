"""Contrast and hint for CALCE with random weights, and the start values that let it learn."""

import math

import numpy as np
import pytest
import torch

from models.systems.calce.grounding import contrast, distinct, hint
from models.systems.calce.system import System
from models.systems.calce.tokens import t5
from tests.unit.made_calce import TOKENS, WIDTH, made_config

GENERATOR = torch.Generator().manual_seed(0)
SHARED = torch.tensor([0.0, 0.0, 2.0, 0.0])


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR)


def plain_contrast(frames, words, inside, temperature):
    """Return the loss of one query, term by term."""
    weights = []
    for frame in frames.tolist():
        total = 0.0
        for word in words.tolist():
            a, b = ([v for place, v in enumerate(vector) if place != 2] for vector in (frame, word))
            cosine = sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)
            total += math.exp(cosine / temperature)
        weights.append(total)
    return -math.log(sum(w for w, is_inside in zip(weights, inside, strict=True) if is_inside) / sum(weights))


def test_the_contrast_equals_its_plain_form():
    frames, words = [drawn(5, 4), drawn(3, 4)], [drawn(2, 4), drawn(6, 4)]
    inside = [torch.tensor([False, True, True, False, False]), torch.tensor([True, False, False])]
    expected = [plain_contrast(*query, 0.3) for query in zip(frames, words, inside, strict=True)]
    found = contrast(frames, words, inside, SHARED, 0.3)
    assert found.item() == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("inside", [[False] * 3, [True] * 3])
def test_queries_without_a_choice_do_not_count(inside):
    frames, words = [drawn(3, 4), drawn(3, 4)], [drawn(2, 4), drawn(2, 4)]
    chosen = [torch.tensor([True, False, False]), torch.tensor(inside)]
    both = contrast(frames, words, chosen, SHARED, 0.1)
    assert torch.equal(both, contrast(frames[:1], words[:1], chosen[:1], SHARED, 0.1))
    none = contrast([frames[1].requires_grad_()], words[1:], chosen[1:], SHARED, 0.1)
    none.backward()
    assert none.item() == 0


def test_the_contrast_falls_when_the_right_frames_come_to_the_words():
    words, inside = [drawn(2, 4)], [torch.tensor([True, False])]
    away = torch.stack([-words[0][0], words[0][0]])
    assert contrast([away.flip(0)], words, inside, SHARED, 0.1) < contrast([away], words, inside, SHARED, 0.1)


def test_a_hint_is_as_long_as_a_word_and_without_what_words_share():
    words = drawn(3, 4)
    found = hint(words, SHARED)
    assert found.norm().item() == pytest.approx(2)
    assert found[2].item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(found / 2, torch.nn.functional.normalize(distinct(words, SHARED).mean(0), dim=0))


@pytest.fixture(scope="module")
def network():
    return System(made_config(), {}, {"visual": [TOKENS * WIDTH]}).network()


def unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.detach(), dim=-1)


def test_numbers_start_alike_by_value_however_they_are_written(network):
    embeddings = unit(network.t5_model.shared.weight - network.t5_model.shared.weight.mean(0))
    ids = [t5().number(number)[0] for number in range(20)]
    alike = embeddings[ids] @ embeddings[ids].T
    by_distance = [np.mean([alike[i, i + d].item() for i in range(20 - d)]) for d in range(4)]
    assert by_distance[0] > by_distance[1] > max(by_distance[2:])
    spaced, glued = t5().pieces("7")[0], t5().pieces("x7")[-1]
    assert spaced != glued
    assert embeddings[spaced] @ embeddings[glued] > 0.8
    words = embeddings[[t5().pieces(word)[0] for word in ("red", "dog", "door")]]
    assert (words @ embeddings[ids].T).abs().max() < 0.35


def test_words_and_frames_start_on_either_side_of_one_direction(network):
    shared = network.t5_model.shared.weight.mean(0)
    sides = unit(network.t5_model.shared.weight) @ unit(shared)
    assert (sides > 0).float().mean() > 0.95
    assert unit(network.t5_proj.bias) @ unit(shared) < -0.95


def test_attention_starts_by_giving_out_what_it_reads(network):
    blocks = network.t5_model.encoder.block
    for attention in (blocks[0].layer[0].SelfAttention, network.t5_model.decoder.block[1].layer[1].EncDecAttention):
        value, out = attention.v.base_layer.weight, attention.o.base_layer.weight
        both = (value @ out).detach()
        torch.testing.assert_close(both, torch.eye(len(both)), atol=1e-5, rtol=0)


def test_heads_start_by_looking_at_neighbours_or_at_what_is_alike(network):
    attention = network.t5_model.encoder.block[0].layer[0].SelfAttention
    bias = attention.compute_bias(9, 9)[0].detach()
    near = bias[0, 4]
    assert near.argmin() == 4
    assert near[3] == near[5] > near[2] == near[6]
    assert torch.equal(bias[1, 4] == bias[1, 4].min(), torch.arange(9) == 4)
    later = network.t5_model.encoder.block[1].layer[0].SelfAttention
    query, key = (getattr(later, part).base_layer.weight.detach()[8:] for part in "qk")
    torch.testing.assert_close(query[1:], key[1:])
    torch.testing.assert_close(query[0], -key[0])


def test_start_values_follow_the_seed_alone():
    def values(seed: int) -> list[torch.Tensor]:
        system = System(made_config(network={"weights": f"random({seed})"}), {}, {"visual": [TOKENS * WIDTH]})
        new = ("lora_", "query_proj.")
        return [p for name, p in system.network().named_parameters() if not any(part in name for part in new)]

    assert all(torch.equal(one, other) for one, other in zip(values(3), values(3), strict=True))
    same = [torch.equal(one, other) for one, other in zip(values(3), values(4), strict=True)]
    assert sum(same) < len(same) / 2
