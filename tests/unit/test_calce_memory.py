"""CALCE's encoder with one position bias for all layers: the same numbers, less memory, no silent fallback."""

import pytest
import torch

from models.systems.calce import attention, memory
from models.systems.calce.attention import ALIGNMENT, encode, one_for_all
from models.systems.calce.config import Config
from models.systems.calce.system import System
from tests.benchmarks.calce_memory import GIB, fixed_bytes, made_network, saved_bytes
from tests.unit.made_calce import TOKENS, WIDTH, made_config


def made_t5(**network):
    torch.manual_seed(0)
    return System(made_config(network=network), {}, {"visual": [TOKENS * WIDTH]}).network().t5_model


def by_transformers(t5, embedded, mask):
    """Return the encoder's rows as transformers computes them, with its own attention."""
    t5.encoder.config._attn_implementation = "sdpa"
    try:
        return t5.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
    finally:
        attention.name_attention(t5, "fused")


@pytest.mark.parametrize("n_padded", [0, 5])
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("learns", ["published", "language_model"])
def test_rows_and_gradients_are_those_of_transformers_bit_for_bit(learns, n_padded, is_training):
    t5 = made_t5(learns=learns).train(is_training)
    embedded = torch.randn(2, 21, 32)
    mask = torch.ones(2, 21, dtype=torch.int64)
    mask[1, 21 - n_padded :] = 0
    found = []
    for run in (by_transformers, encode):
        torch.manual_seed(1)
        t5.zero_grad()
        rows = run(t5, embedded, mask)
        rows.square().sum().backward()
        found.append([rows.detach(), *(p.grad.clone() for p in t5.encoder.parameters() if p.grad is not None)])
    assert len(found[0]) > 10
    assert all(torch.equal(ours, theirs) for theirs, ours in zip(*found, strict=True))


def test_transformers_own_pass_sees_the_padding_too():
    t5, embedded, mask = made_t5().eval(), torch.randn(1, 21, 32), torch.ones(1, 21, dtype=torch.int64)
    mask[0, 15:] = 0
    with torch.no_grad():
        found = t5.encoder(inputs_embeds=embedded, attention_mask=mask).last_hidden_state
        assert torch.equal(found, encode(t5, embedded, mask))


def test_a_bias_is_made_once_and_lies_where_the_fused_kernel_takes_it_without_a_copy():
    t5 = made_t5()
    seen = []
    hooks = [
        block.layer[0].SelfAttention.register_forward_pre_hook(
            lambda _, __, how: seen.append(how["position_bias"]), with_kwargs=True
        )
        for block in t5.encoder.block
    ]
    encode(t5, torch.randn(1, 21, 32), torch.ones(1, 21, dtype=torch.int64))
    for hook in hooks:
        hook.remove()
    assert len(seen) == 2
    assert len({bias.data_ptr() for bias in seen}) == 1
    assert all(stride % ALIGNMENT == 0 for stride in seen[0].stride()[:-1])


def test_a_bias_has_the_format_of_the_products():
    plain, valid = torch.randn(1, 2, 8, 8), torch.tensor([True] * 6 + [False] * 2)[None, None, None]
    with torch.autocast("cpu", torch.bfloat16):
        bias = one_for_all(plain, valid)
    assert bias.dtype == torch.bfloat16
    assert (bias[..., 6:] == torch.finfo(torch.bfloat16).min).all()
    assert one_for_all(plain, valid).dtype == torch.float32


def test_plain_attention_gives_the_same_up_to_rounding():
    t5, embedded, mask = made_t5().eval(), torch.randn(1, 30, 32), torch.ones(1, 30, dtype=torch.int64)
    with torch.no_grad():
        rows = encode(t5, embedded, mask)
        attention.name_attention(t5, "plain")
        torch.testing.assert_close(encode(t5, embedded, mask), rows)


def test_a_gpu_without_a_fused_kernel_is_refused(monkeypatch):
    # A CPU has none with that name.
    monkeypatch.setattr(attention, "on_gpu", lambda tensor: True)
    with pytest.raises(ValueError, match=r"network\.attention fused: torch has no kernel .* network\.attention plain"):
        encode(made_t5(), torch.randn(1, 21, 32), torch.ones(1, 21, dtype=torch.int64))


@pytest.mark.parametrize(
    ("asked", "there", "saves"), [(None, 80, False), (None, 24, True), (True, 80, True), (False, 24, False)]
)
def test_blocks_are_computed_again_where_memory_is_short(asked, there, saves, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, there * GIB))
    config = Config.model_validate({"network": {"gradient_checkpointing": asked}})
    assert memory.has_to_save(config, made_network(config)) == saves


def test_a_step_of_2625_vectors_keeps_less_than_20_gib_and_what_is_said_of_it_is_true():
    config = Config.model_validate({"network": {"gradient_checkpointing": False}})
    saved = saved_bytes(config)
    assert saved < 20 * GIB
    assert memory.step_bytes(config, made_network(config)) == pytest.approx(saved + fixed_bytes(config), rel=0.05)
