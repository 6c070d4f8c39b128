"""From the seconds of a rehearsal to the hours of the whole training, beside what is said before it begins."""

import importlib
from collections.abc import Mapping

from workflow_scripts.lib.configuration.schema import System
from workflow_scripts.lib.planning.training_hours import hours_of

QUERIES: Mapping[str, Mapping[str, int]] = {
    "qvh": {"train": 7218, "val": 1550, "test": 1542},
    "charades": {"train": 12404, "test": 3720},
    "tacos": {"train": 10146, "val": 4589, "test": 4083},
}
"""Dataset -> split -> published queries; a rehearsal reads no annotations."""


def whole_run(system: System, dataset: str, query_s: float, answer_s: float, is_cut: bool) -> dict[str, str]:
    """Return the hours of training and answers at this rate, and what the workflow reckons; nothing of other datasets.

    Parameters
    ----------
    query_s, answer_s : seconds of a query in a training step, and of its answer
    is_cut : whether the network was cut down, whose rate says nothing about the whole
    """
    counts = QUERIES.get(dataset)
    if counts is None:
        return {}
    config = importlib.import_module(f"models.systems.{system.system}.config")
    found = {}
    if not is_cut:
        training, answers = hours_of(system, lambda _: (query_s, answer_s), counts, False, 3600)
        found["hours at this rate"] = f"training {training:.1f}, answers {answers:.1f}"
    work = getattr(config, "work", None)
    if work is not None:
        training, answers = hours_of(system, work, counts, False)
        found["hours that are said before"] = f"training {training:.1f}, answers {answers:.1f}, on a GPU"
    return found
