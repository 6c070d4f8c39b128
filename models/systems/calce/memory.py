"""What a training step of CALCE needs of a GPU's memory, and whether a part is to be computed twice to save some."""

import logging

import torch
from torch import nn

from models.systems.calce.config import Config

log = logging.getLogger(__name__)

SAVED = 132
"""Bytes kept for the backward pass per layer of the encoder, vector and value of its width, Q-Former and decoder
included, with fused attention; accounted by `python -m tests.benchmarks.calce_memory`."""
SCORES = 12
"""Bytes that plain attention keeps besides per layer of the encoder, head and pair of vectors; accounted there, too."""
TEXT = 150
"""Vectors of captions and text, at most for nearly all queries."""
SPARE = 1.2
"""For kernels, the image tower at work, and gaps of the allocator."""


def step_bytes(config: Config, network: nn.Module) -> int:
    """Return the bytes of weights, gradients, AdamW's moments and what the backward pass needs, none computed twice."""
    sizes, shown = config.network.t5, config.data.n_frames // (1 if config.stage == 1 else 2)
    n_vectors = shown * (config.network.qformer.queries + 1) + TEXT
    saved = SAVED * n_vectors * sizes.width
    if config.network.attention == "plain":
        saved += SCORES * sizes.heads * n_vectors**2
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    learnt = sum(3 * 4 * p.numel() for p in network.parameters() if p.requires_grad)
    return weights + learnt + config.train.batch_size * sizes.layers * saved


def has_to_save(config: Config, network: nn.Module) -> bool:
    """Return whether blocks of the language model have to be computed again in the backward pass.

    What `network.gradient_checkpointing` says; if that is open, whether the GPU's memory is too small for a step.
    """
    if config.network.gradient_checkpointing is not None or not torch.cuda.is_available():
        return bool(config.network.gradient_checkpointing)
    needed, there = SPARE * step_bytes(config, network), torch.cuda.mem_get_info()[1]
    if needed > there:
        log.info(
            "a training step needs some %.0f GiB, the GPU has %.0f: gradient checkpointing is on (a third slower)",
            *(needed / 2**30, there / 2**30),
        )
    return needed > there
