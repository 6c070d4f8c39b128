"""The hours of a training and of the answers of what was trained, from what a query costs."""

import importlib
from collections.abc import Mapping
from typing import Any

from workflow_scripts.lib.configuration.schema import HELD_OUT, System

PER_CORE, PER_GPU = 25e9, 25e12
"""Multiply-adds that a core and a GPU sustain in a second; an assumption."""


def hours_of(
    system: System, work: Any, counts: Mapping[str, int], is_prior: bool, per_hour: float = 3600 * PER_GPU
) -> tuple[float, float]:
    """Return the hours of training with its validation, and of the answers after it.

    Parameters
    ----------
    work : of the system's `config`: settings -> multiply-adds of a query in a training step and of its answer
    counts : split -> queries
    is_prior : whether another system is told the answers, which are then given for all splits
    per_hour : multiply-adds of a process in an hour
    """
    config = importlib.import_module(f"models.systems.{system.system}.config").Config.model_validate(system.settings)
    step, answer = work(config)
    per_hour *= system.runtime.processes
    splits, epochs = system.splits, config.train.epochs
    is_trained = system.checkpoint_from is None and system.checkpoint_file is None
    select = splits.train if splits.select == HELD_OUT else splits.select
    training = epochs * counts.get(splits.train, 0) * step
    training += epochs // system.selection.every_epochs * counts.get(select, 0) * answer
    asked = {*splits.test, *((splits.train, select) if is_prior else ())}
    answers = sum(counts.get(split, 0) for split in asked) * answer
    return is_trained * len(system.seeds) * training / per_hour, len(system.seeds) * answers / per_hour
