"""IMG network: gradients, independence of the batch in the clean options, and its faster building blocks."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models.layers.dropout import Dropout
from models.systems.img.blocks import depthwise_conv, sinusoid_table
from models.systems.img.config import LossConfig, NetworkConfig
from models.systems.img.losses import loss_terms
from models.systems.img.network import ImgNetwork
from models.systems.img.recurrence import run_packed, run_side_by_side

VISUAL_DIM, AUDIO_DIM, TEXT_DIM, VOCABULARY = 10, 6, 7, (9, 5)
LENGTHS, QUERY_LENGTHS = [9, 4, 6, 1], [2, 5, 1, 3]
CLEAN = {"slot_noise": "zero", "mask_padding": True}


def build_network(kind: str, **options) -> ImgNetwork:
    torch.manual_seed(0)
    query = {"kind": kind, "word_dim": 8, "char_dim": 4}
    config = NetworkConfig(dim=16, heads=2, gru_layers=2, max_steps=24, query=query, **options)
    return ImgNetwork(config, VISUAL_DIM, AUDIO_DIM, TEXT_DIM, VOCABULARY)


def build_batch(kind: str, extra_padding: int = 0) -> dict:
    generator = torch.Generator().manual_seed(1)
    n, n_steps, n_tokens = len(LENGTHS), max(LENGTHS) + extra_padding, max(QUERY_LENGTHS) + extra_padding
    video_mask = (torch.arange(n_steps) < torch.tensor(LENGTHS)[:, None]).float()
    query_mask = (torch.arange(n_tokens) < torch.tensor(QUERY_LENGTHS)[:, None]).float()

    def draw(mask: torch.Tensor, dim: int) -> torch.Tensor:
        values = torch.zeros(*mask.shape, dim)
        for b, length in enumerate(mask.sum(1).int().tolist()):
            values[b, :length] = torch.randn(length, dim, generator=generator)
        return values

    batch = {"visual": draw(video_mask, VISUAL_DIM), "audio": draw(video_mask, AUDIO_DIM), "n_steps": list(LENGTHS)}
    batch |= {"video_mask": video_mask, "query_mask": query_mask}
    if kind == "tokens":
        return batch | {"tokens": draw(query_mask, TEXT_DIM)}
    word_ids, char_ids = query_mask.long(), torch.zeros(n, n_tokens, 4 + extra_padding, dtype=torch.int64)
    for b, length in enumerate(QUERY_LENGTHS):
        word_ids[b, :length] = torch.randint(1, VOCABULARY[0] + 2, (length,), generator=generator)
        for i in range(length):
            width = 1 + (b + i) % 4
            char_ids[b, i, :width] = torch.randint(1, VOCABULARY[1] + 2, (width,), generator=generator)
    return batch | {"word_ids": word_ids, "char_ids": char_ids}


def take(batch: dict, rows: list[int]) -> dict:
    """Return some samples of a batch, in this order, without cutting the padding."""
    return {
        name: values[rows] if isinstance(values, torch.Tensor) else [values[row] for row in rows]
        for name, values in batch.items()
    }


def draw_noise(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(n, 3, 16, generator=generator), torch.randn(n, 3, 16, generator=generator)


def zero_noise(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(n, 3, 16), torch.zeros(n, 3, 16)


@pytest.mark.parametrize("kind", ["glove", "tokens"])
@pytest.mark.parametrize("options", [{}, {"pos_mode": "time", **CLEAN}], ids=["published", "clean"])
def test_every_parameter_gets_a_gradient(kind, options):
    network, batch = build_network(kind, **options), build_batch(kind)
    batch |= {"first": torch.tensor([1, 0, 2, 0]), "last": torch.tensor([5, 3, 2, 0])}
    batch |= {"positives": torch.tensor([[1, 2]] * 4), "negatives": torch.tensor([[0, 8]] * 4)}
    terms = loss_terms(network(batch, draw_noise(4), 0.5), batch, LossConfig(theta=0.0), 1.0)
    terms["total"].backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not torch.any(p.grad != 0)]
    # A constant added to all keys or to all logits cancels in a softmax, one added to all scores in the ranking.
    cancels = re.compile(r"(key\.conv1d|to_k\.conv1d|_block\.2\.conv1d|saliency_proj_\w+)\.bias$")
    assert [name for name in without if not cancels.search(name)] == []


@pytest.mark.parametrize("kind", ["glove", "tokens"])
@pytest.mark.parametrize("pos_mode", ["time", "none"])
def test_clean_options_make_a_sample_independent_of_its_batch(kind, pos_mode):
    network = build_network(kind, pos_mode=pos_mode, **CLEAN).eval()
    reference = network(build_batch(kind), zero_noise(4))
    order = [2, 0, 3, 1]
    variants = [
        (network(take(build_batch(kind), order), zero_noise(4)), order),
        (network(build_batch(kind, extra_padding=5), zero_noise(4)), list(range(4))),
        *((network(take(build_batch(kind), [row]), zero_noise(1)), [row]) for row in range(4)),
    ]
    for outputs, rows in variants:
        for name, values in outputs.items():
            for place, row in enumerate(rows):
                n_valid = LENGTHS[row] if values.ndim == 2 else 1
                ours, expected = values[place].reshape(-1)[:n_valid], reference[name][row].reshape(-1)[:n_valid]
                torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_published_options_depend_on_the_place_in_the_batch():
    network, batch, order = build_network("tokens").eval(), build_batch("tokens"), [1, 0, 2, 3]
    straight, swapped = network(batch, zero_noise(4)), network(take(batch, order), zero_noise(4))
    assert (straight["start_av"][0] - swapped["start_av"][1]).abs().max() > 1e-2


def test_single_branch_outputs_equal_those_of_a_full_pass():
    network, batch = build_network("tokens").eval(), build_batch("tokens")
    full = network(batch, draw_noise(4))
    for branch in ("av", "v", "a"):
        alone = network(batch, draw_noise(4), branches=(branch,))
        assert torch.equal(alone[f"start_{branch}"], full[f"start_{branch}"])
        assert not any(name.endswith("_v") for name in alone if branch == "a")


def test_too_many_positions_are_refused_with_the_remedy():
    network = build_network("tokens", pos_mode="time")
    batch = build_batch("tokens", extra_padding=20)
    with pytest.raises(ValueError, match="raise max_steps or use pos_mode none"):
        network(batch, zero_noise(4))


def test_time_positions_are_the_usual_sinusoids():
    table = sinusoid_table(8, 4, "time")[:, 0]
    row = torch.arange(8.0)
    expected = torch.stack([row.sin(), row.cos(), (row / 100).sin(), (row / 100).cos()], dim=1)
    torch.testing.assert_close(table, expected)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 3), st.integers(1, 2))
def test_gru_side_by_side_equals_torch(lengths, n_grus, n_layers):
    torch.manual_seed(0)
    grus = [nn.GRU(4, 3, n_layers, batch_first=True, bidirectional=True) for _ in range(n_grus)]
    x = torch.randn(n_grus, len(lengths), max(lengths), 4)
    weight = torch.randn(n_grus, len(lengths), max(lengths), 6)
    results = []
    for run in (run_packed, run_side_by_side):
        inputs = x.clone().requires_grad_()
        output = run(grus, inputs, torch.tensor(lengths))
        parameters = [parameter for gru in grus for parameter in gru.parameters()]
        results.append([output, *torch.autograd.grad((output * weight).sum(), [inputs, *parameters])])
    for ours, expected in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_depthwise_convolution_equals_torch():
    conv = nn.Conv1d(6, 6, 5, padding=2, groups=6)
    x = torch.randn(3, 8, 6)
    expected = conv(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(depthwise_conv(x, conv.weight, conv.bias), expected)


def test_dropout_keeps_the_expectation_and_is_off_in_evaluation():
    torch.manual_seed(0)
    drop, x = Dropout(0.2), torch.ones(401, 1001)
    y = drop(x)
    assert (y == 0).float().mean().item() == pytest.approx(0.2, abs=4e-3)
    assert y.mean().item() == pytest.approx(1.0, abs=5e-3)
    assert len(torch.unique(y)) == 2
    assert drop.eval()(x) is x


def test_dropout_zeroes_the_gradient_where_it_zeroed_the_value():
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("shape", [(), (7,), (3, 5, 2)])
def test_dropout_is_that_of_a_mask_of_truths(dtype, shape):
    x = torch.randn(shape).to(dtype)
    torch.manual_seed(3)
    y = Dropout(0.3)(x)
    torch.manual_seed(3)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    n_dropped = round(0.3 * 2**16)
    keep = bits[: x.numel()].view(shape).int() + 2**15 >= n_dropped
    assert torch.equal(y, x * keep.to(dtype).mul_(2**16 / (2**16 - n_dropped)))
