"""Rough hours of trainings, and of asking what was trained, for systems that say what a query costs."""

import importlib
from collections.abc import Iterable

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.devices import has_gpu
from workflow_scripts.lib.planning.feature_costs import hours_text
from workflow_scripts.lib.planning.training_hours import PER_CORE, PER_GPU, hours_of

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
        training_h, answers_h = hours_of(system, work, counts, is_prior, 3600 * (PER_GPU if on_gpu else PER_CORE))
        if training_h + answers_h >= SHORTEST_H:
            n, kind = system.runtime.processes, "GPU" if on_gpu else "core"
            who = f"{n} {kind}s" if n > 1 else f"a {kind}"
            what = f"training {hours_text(training_h)}, validation included, " if training_h else ""
            lines.append(f"{name} of {dataset}: very roughly {what}answers {hours_text(answers_h)} with {who}")
    return lines


def _queries(datasets: Datasets, annotations: str) -> dict[str, int]:
    return datasets.query_counts(annotations) if datasets.has_annotations(annotations) else {}
