"""Self-attention of CALCE's encoder over some 2,600 vectors: one position bias for all layers, a kernel that is named.

T5 adds a bias to the scores of every layer, the same in all of them. transformers masks, copies and casts it once per
layer, and what a layer used is kept for the backward pass: 24 copies of 440 MB. And a kernel that cannot be used is
replaced in silence by one that keeps all scores, three times the memory of everything else.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import BoolTensor, Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface, T5ForConditionalGeneration
from transformers.masking_utils import sdpa_mask

ALIGNMENT = 8
"""Numbers; rows of a bias that do not begin at a multiple of it are copied by the fused kernel, layer by layer."""
NO_KERNEL = ("No available kernel", "No viable backend")


def name_attention(t5: T5ForConditionalGeneration, name: str) -> None:
    """Let the encoder attend by `fused` or `plain`, the names of `network.attention`."""
    # All layers share the object.
    t5.encoder.config._attn_implementation = f"one_bias_{name}"


def encode(t5: T5ForConditionalGeneration, embedded: Tensor, mask: Tensor) -> Tensor:
    """Return the encoder's rows (B, L, width) of inputs_embeds (B, L, width) and attention_mask (B, L).

    Notes
    -----
    T5Stack's forward pass, with the bias made once.
    """
    encoder, valid = t5.encoder, mask.bool()[:, None, None]
    first = encoder.block[0].layer[0].SelfAttention
    bias = first.compute_bias(mask.shape[1], mask.shape[1], device=mask.device)
    # A bias that learns, which that of the published training does not, is masked by every layer: so its gradients are
    # added up in the order of transformers, to the last digit.
    shared, left = (bias, valid) if bias.requires_grad else (one_for_all(bias, valid), None)
    x = encoder.dropout(embedded)
    for block in encoder.block:
        x = block(x, left, shared)[0]
    return encoder.dropout(encoder.final_layer_norm(x))


def one_for_all(bias: Tensor, valid: BoolTensor) -> Tensor:
    """Return what all layers add to scores, (B, H, L, L), in the format of the products, as the fused kernel takes it.

    Parameters
    ----------
    bias : (1, H, L, L), float32
    valid : (B, 1, 1, L), False where there is padding, which nobody looks at
    """
    device, length = bias.device.type, bias.shape[-1]
    if torch.is_autocast_enabled(device):
        bias = bias.to(torch.get_autocast_dtype(device))
    return F.pad(masked(bias, valid, bias.dtype), (0, -length % ALIGNMENT))[..., :length]


def masked(bias: Tensor, valid: BoolTensor | None, dtype: torch.dtype) -> Tensor:
    """Return a bias with the least number of a format where there is padding."""
    return bias if valid is None else torch.where(valid, bias, torch.finfo(dtype).min)


def _attention(
    kernel: Callable[..., Tensor],
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BoolTensor | None,
    dropout: float,
    scaling: float,
    position_bias: Tensor,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return attention (B, L, H, head width) by a kernel, in the form in which transformers asks for it."""
    bias = masked(position_bias, attention_mask, key.dtype)
    return kernel(query, key, value, bias, dropout, scaling), None


def fused(query: Tensor, *others: Any) -> Tensor:
    """Attend without keeping scores; on a CPU by what torch has for it.

    Raises
    ------
    ValueError
        On a GPU, if torch has no such kernel for it.
    """
    if not on_gpu(query):
        return _attend(query, *others)
    with warnings.catch_warnings(record=True) as reasons:
        warnings.simplefilter("always")
        try:
            with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
                return _attend(query, *others)
        except RuntimeError as error:
            if not str(error).startswith(NO_KERNEL):
                raise
    raise ValueError(_refusal(query, [str(reason.message) for reason in reasons]))


def plain(query: Tensor, *others: Any) -> Tensor:
    """Attend by plain products, which keep all scores."""
    with sdpa_kernel(SDPBackend.MATH):
        return _attend(query, *others)


def on_gpu(tensor: Tensor) -> bool:
    """Return whether a tensor is on a GPU, where plain attention does not fit."""
    return tensor.device.type == "cuda"


def _attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float, scaling: float) -> Tensor:
    x = F.scaled_dot_product_attention(query, key, value, bias, dropout, scale=scaling)
    return x.transpose(1, 2).contiguous()


def _refusal(query: Tensor, reasons: list[str]) -> str:
    device = torch.cuda.get_device_name(query.device) if query.is_cuda else query.device.type
    scores = query.shape[0] * query.shape[1] * query.shape[2] ** 2
    return (
        f"network.attention fused: torch has no kernel for attention with a position bias in {query.dtype} on {device}"
        f" ({'; '.join(reasons) or 'it says no reason'}). network.attention plain does without, and keeps "
        f"{scores / 2**30:.1f} billion scores of a layer several times over for the backward pass: set "
        "network.gradient_checkpointing true with it, or use a GPU and a network.precision that the kernel takes"
    )


for _name, _kernel in (("one_bias_fused", fused), ("one_bias_plain", plain)):
    AttentionInterface.register(_name, partial(_attention, _kernel))
    # Without it transformers' own forward pass would forget padding.
    AttentionMaskInterface.register(_name, sdpa_mask)
