"""Optimiser, learning rate and order of tasks, as tuyunbin/QUAG and j-min/HiREST train."""

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from models.systems.quag.config import TrainConfig


def parameter_groups(network: nn.Module, train: TrainConfig) -> list[dict[str, Any]]:
    """Return one group: everything is decayed, the temperature of the contrast too.

    Notes
    -----
    parity: a parameter that a batch's task does not use must have no gradient (not one of zero), so that the optimiser
    neither moves nor decays it in that step.
    """
    return [{"params": list(network.parameters()), "weight_decay": train.weight_decay}]


def optimiser(groups: list[dict[str, Any]], train: TrainConfig) -> torch.optim.Optimizer:
    """Return AdamW."""
    # One pass over the weights, of which there are many.
    return torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.betas, eps=train.eps, fused=True)


def rate_factor(step: int, n_warmup: int, n_steps: int) -> float:
    """Return what the highest rate is multiplied by in an optimiser step, counted from 0, where it is 0."""
    if step < n_warmup:
        return step / n_warmup
    return max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))


def schedule(
    optimiser: torch.optim.Optimizer, n_steps: int, train: TrainConfig
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the rate that rises and then falls to 0, linearly, over `n_steps` optimiser steps."""
    n_warmup = int(n_steps * train.warmup_proportion)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_factor(step, n_warmup, n_steps))


def task_order(n_batches: Mapping[str, int], epoch: int) -> list[str]:
    """Return the task of every batch of an epoch.

    Parameters
    ----------
    n_batches : of every task, in the order moments, steps, captions
    epoch : from 0, the seed of the order
    """
    order = [task for task, count in n_batches.items() for _ in range(count)]
    random.Random(epoch).shuffle(order)
    # parity: the published loader takes tasks from the end of its list.
    return order[::-1]
