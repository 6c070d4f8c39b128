"""Flan-T5 with low-rank adapters, as CALCE's training sees it."""

import peft
import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration

from models.systems.calce.config import LoraConfig, T5Sizes

ADAPTED = ("q", "k", "v", "o", "wi_0", "wi_1", "wo", "lm_head")
"""Names of all linear maps of T5."""
PAD, END = 0, 1
"""Token ids; the pad is also what a decoder starts with."""


def language_model(sizes: T5Sizes, lora: LoraConfig) -> T5ForConditionalGeneration:
    """Return T5 1.1 with adapters, on the device of the context; base weights are frozen.

    Notes
    -----
    As LAVIS builds it: the gates use the exact GELU where Flan-T5 names the tanh form, and `lm_head` has weights of its
    own. transformers ties them whatever the configuration says, which is undone here.
    """
    config = T5Config(
        vocab_size=sizes.vocabulary,
        d_model=sizes.width,
        d_kv=sizes.head_width,
        d_ff=sizes.ffn_dim,
        num_layers=sizes.layers,
        num_heads=sizes.heads,
        dropout_rate=sizes.dropout,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
        decoder_start_token_id=PAD,
    )
    config.dense_act_fn = "gelu"
    config._attn_implementation = "sdpa"
    t5 = T5ForConditionalGeneration(config)
    for part in (t5, t5.encoder, t5.decoder):
        part.config.tie_word_embeddings = False
    t5.lm_head.weight = nn.Parameter(torch.empty_like(t5.lm_head.weight))
    t5.encoder.embed_tokens = t5.decoder.embed_tokens = t5.shared
    t5.requires_grad_(False)
    adapters = peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, bias="none", target_modules=list(ADAPTED)
    )
    return peft.inject_adapter_in_model(adapters, t5)


def frozen_matrices_to(t5: nn.Module, dtype: torch.dtype) -> None:
    """Keep the frozen matrices of the linear maps in another number format; what learns and the norms stay."""
    for module in t5.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            weight = module.get_base_layer().weight
            if not weight.requires_grad:
                weight.data = weight.data.to(dtype)


def turn_adapters_off(t5: nn.Module) -> None:
    """Leave the adapters out of every product, and let none of them learn."""
    for module in t5.modules():
        if isinstance(module, peft.tuners.lora.LoraLayer):
            module.enable_adapters(False)


def shifted(labels: Tensor) -> Tensor:
    """Return decoder inputs for labels (B, M): one to the right, starting with the pad; -100 becomes the pad."""
    start = labels.new_full((len(labels), 1), PAD)
    inputs = torch.cat([start, labels[:, :-1]], dim=1)
    return inputs.masked_fill(inputs < 0, PAD)
