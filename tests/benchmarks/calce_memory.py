"""Accounts the memory of CALCE's training step without computing it: python -m tests.benchmarks.calce_memory.

One query on tensors of the meta device at the sizes of stage 1 on QVHighlights, with stored rows of the image tower:
75 frames of 257 tokens, 2,625 vectors into the language model. Counted is what the backward pass needs, every memory
once; weights, gradients and AdamW's moments come from the parameters. Not in it: the image tower at work (no gradient,
a few GB while it runs), what kernels use for themselves, and the allocator's gaps.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional

from models.systems.calce.config import Config
from models.systems.calce.network import CalceNetwork
from tests.benchmarks.figures import Figure, benchmark_parser, tell

GIB = 2**30
FRAMES, TOKENS, VECTORS, TARGET = 75, 257, 2625, 24
"""Of one query: frames, tokens of a frame, vectors into the language model, tokens of the target."""


def accounted() -> Iterator[Figure]:
    """Yield the memory of a training step by how attention and the backward pass are computed."""
    for attention, checkpointing in (("fused", False), ("fused", True), ("plain", False), ("plain", True)):
        network = {"attention": attention, "gradient_checkpointing": checkpointing}
        config = Config.model_validate({"network": network})
        what = f"CALCE, a query of full size, {attention} attention{', checkpointing' if checkpointing else ''}"
        yield Figure(f"{what}: weights and optimiser", fixed_bytes(config) / GIB, "GiB")
        yield Figure(f"{what}: activations", saved_bytes(config) / GIB, "GiB")


def main() -> int:
    return tell(accounted(), benchmark_parser(__doc__).parse_args().json)


def made_network(config: Config) -> CalceNetwork:
    """Return the network on the meta device in its number formats."""
    network = CalceNetwork(config.network)
    network.choose_formats()
    if config.network.gradient_checkpointing:
        network.compute_again()
    return network.train()


def fixed_bytes(config: Config) -> int:
    """Return the bytes of weights, gradients and AdamW's two moments."""
    parameters = list(made_network(config).parameters())
    weights = sum(p.numel() * p.element_size() for p in parameters)
    return weights + sum(3 * 4 * p.numel() for p in parameters if p.requires_grad)


def saved_bytes(config: Config) -> int:
    """Return the bytes that the backward pass of one query needs, as they stand before it begins."""
    with FakeTensorMode(), efficient_kernel(config.network.attention):
        network = made_network(config)
        for module in network.modules():
            for name, own in module.named_parameters(recurse=False, remove_duplicate=False):
                module._parameters[name] = nn.Parameter(torch.empty_like(own, device="cpu"), own.requires_grad)
        tokens = torch.empty(FRAMES, TOKENS, config.network.vision.width)
        mask, labels = (torch.ones(1, n, dtype=torch.int64) for n in (VECTORS, TARGET))

        def step() -> Tensor:
            rows = network.t5_proj(network.ask(network.normalised(tokens))).flatten(0, 1)
            embedded = torch.cat([rows, rows[: VECTORS - len(rows)]])[None]
            return network.loss(network.logits(embedded, mask, labels), labels)

        return counted(step, network.parameters())


def counted(step: Callable[[], Tensor], without: Iterable[Tensor]) -> int:
    """Return the bytes that a step saves for its backward pass, every memory once, without those of some tensors."""
    others, seen = {tensor.untyped_storage()._cdata for tensor in without}, {}

    def keep(tensor: Tensor) -> Tensor:
        memory = tensor.untyped_storage()
        if memory._cdata not in others:
            seen[memory._cdata] = memory
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step()
    return sum(memory.nbytes() for memory in seen.values())


@contextmanager
def efficient_kernel(attention: str) -> Iterator[None]:
    """Let attention be that of a GPU: torch's choice for a CPU keeps all scores where there is dropout."""

    def attend(
        query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, dropout_p: float = 0.0, **how: Any
    ):
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else query.dtype
        query, key, value = (part.to(dtype) for part in (query, key, value))
        mask = how.get("attn_mask", mask)
        bias = None if mask is None else mask.to(dtype).expand(*query.shape[:3], key.shape[2])
        return torch.ops.aten._scaled_dot_product_efficient_attention(
            query, key, value, bias, True, dropout_p, how.get("is_causal", False), scale=how.get("scale")
        )[0]

    before = functional.scaled_dot_product_attention
    if attention == "fused":
        functional.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = before


if __name__ == "__main__":
    sys.exit(main())
