"""Rough hours of trainings, and of asking what was trained, for systems that say what a query costs."""

import importlib
from collections.abc import Iterable
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import HELD_OUT, System
from workflow_scripts.lib.planning.costs import PER_CORE, PER_GPU, has_gpu, hours_text
from workflow_scripts.lib.planning.dataset_plan import Datasets

SHORTEST_H = 1.0
"""Hours from which a training is told."""


def training_lines(configuration: Configuration, datasets: Datasets, systems: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for every long training, and for the questions to its network.

    Parameters
    ----------
    systems : (dataset, system) of what is trained or asked
    """
    asked = list(systems)
    priors = {(dataset, p.system) for dataset, name in asked if (p := configuration.system(dataset, name).prior)}
    lines = []
    for dataset, name in asked:
        system = configuration.system(dataset, name)
        counts = _queries(datasets, system.annotations_on(dataset))
        work = getattr(importlib.import_module(f"models.systems.{system.system}.config"), "work", None)
        if work is None or not counts:
            continue
        is_prior, on_gpu = (dataset, name) in priors, has_gpu(configuration.root.device)
        training_h, answers_h = hours_of(system, work, counts, is_prior, on_gpu)
        if training_h + answers_h >= SHORTEST_H:
            n, kind = system.runtime.processes, "GPU" if on_gpu else "core"
            who = f"{n} {kind}s" if n > 1 else f"a {kind}"
            what = f"training {hours_text(training_h)}, validation included, " if training_h else ""
            lines.append(f"{name} of {dataset}: very roughly {what}answers {hours_text(answers_h)} with {who}")
    return lines


def _queries(datasets: Datasets, annotations: str) -> dict[str, int]:
    return datasets.query_counts(annotations) if datasets.has_annotations(annotations) else {}


def hours_of(
    system: System, work: Any, counts: dict[str, int], is_prior: bool, on_gpu: bool = True
) -> tuple[float, float]:
    """Return the hours of training with its validation, and of the answers after it.

    Parameters
    ----------
    work : of the system's `config`: settings -> multiply-adds of a query in a training step and of its answer
    counts : split -> queries
    is_prior : whether another system is told the answers, which are then given for all splits
    on_gpu : False: on a core instead
    """
    config = importlib.import_module(f"models.systems.{system.system}.config").Config.model_validate(system.settings)
    step, answer = work(config)
    per_hour = 3600 * system.runtime.processes * (PER_GPU if on_gpu else PER_CORE)
    splits, epochs = system.splits, config.train.epochs
    is_trained = system.checkpoint_from is None and system.checkpoint_file is None
    select = splits.train if splits.select == HELD_OUT else splits.select
    training = epochs * counts.get(splits.train, 0) * step
    training += epochs // system.selection.every_epochs * counts.get(select, 0) * answer
    asked = {*splits.test, *((splits.train, select) if is_prior else ())}
    answers = sum(counts.get(split, 0) for split in asked) * answer
    return is_trained * len(system.seeds) * training / per_hour, len(system.seeds) * answers / per_hour
