"""Optimiser and learning rate, as LePanda026/Implementation-for-Uniq4Cap (after LAVIS) trains."""

import math
from typing import Any

import torch
from torch import nn

from models.systems.uniq4cap.config import TrainConfig


def parameter_groups(network: nn.Module, train: TrainConfig) -> list[dict[str, Any]]:
    """Return what is decayed, and what is not: vectors and biases.

    Notes
    -----
    parity: the temperature is no vector, so that it is decayed.
    """
    named = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    is_free = [parameter.ndim == 1 or name.endswith(".bias") for name, parameter in named]
    return [
        {"params": [p for (_, p), free in zip(named, is_free, strict=True) if free == wanted], "weight_decay": decay}
        for wanted, decay in ((False, train.weight_decay), (True, 0.0))
    ]


def optimiser(groups: list[dict[str, Any]], train: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW."""
    # One pass over the weights, of which there are many.
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps, fused=True)


def rate(epoch: int, step: int, train: TrainConfig) -> float:
    """Return the learning rate of an optimiser step; both count from 0, steps within their epoch.

    Notes
    -----
    parity: the rise takes place in the first epoch only, and is cut off at its end; later epochs have one rate each.
    """
    if epoch == 0:
        rise = (train.learning_rate - train.warmup_rate) * step / train.warmup_steps
        return min(train.learning_rate, train.warmup_rate + rise)
    height = 0.5 * (1 + math.cos(math.pi * epoch / train.epochs))
    return (train.learning_rate - train.min_rate) * height + train.min_rate


def schedule(
    optimiser: torch.optim.Optimizer, n_steps: int, train: TrainConfig
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the rate of `n_steps` optimiser steps, which are those of all epochs."""
    per_epoch = max(1, n_steps // train.epochs)

    def factor(step: int) -> float:
        epoch = min(step // per_epoch, train.epochs)
        return rate(epoch, step - epoch * per_epoch, train) / train.learning_rate

    return torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
