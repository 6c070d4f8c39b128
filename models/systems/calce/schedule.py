"""Learning rate of CALCE: a linear warm-up over micro-steps, then a cosine that moves once per epoch.

Reproduces `linear_warmup_cosine_lr` of tjhd1475/CALCE (from salesforce/LAVIS).
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Settings of the learning rate.

    Attributes
    ----------
    peak : learning rate that the warm-up aims at
    floor : learning rate that the cosine falls to
    n_epochs : length of the cosine
    warmup_steps : micro-steps of the warm-up
    warmup_start : learning rate of the first one
    """

    peak: float
    floor: float
    n_epochs: int
    warmup_steps: int
    warmup_start: float = 1e-8


def learning_rate(schedule: Schedule, epoch: int, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a micro-step.

    Parameters
    ----------
    schedule : see `Schedule`
    epoch, step : from 0; the step within the epoch
    steps_per_epoch : micro-steps of an epoch

    Notes
    -----
    parity: the warm-up counts one step too few per epoch, so an epoch begins with the rate that the last one ended
    with; and the cosine has started in the meantime, so there may be a jump at the end of the warm-up.
    """
    n = epoch * (steps_per_epoch - 1) + step
    if n < schedule.warmup_steps:
        return schedule.warmup_start + (schedule.peak - schedule.warmup_start) * n / schedule.warmup_steps
    fall = (1 + math.cos(math.pi * epoch / schedule.n_epochs)) / 2
    return schedule.floor + (schedule.peak - schedule.floor) * fall
