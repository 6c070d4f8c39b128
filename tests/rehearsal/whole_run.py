"""From a rehearsal to the hours and bytes of the whole training, beside what is said before it begins."""

import importlib
from collections.abc import Mapping

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import System
from workflow_scripts.lib.planning.feature_costs import bytes_needed
from workflow_scripts.lib.planning.sizes import readable_size
from workflow_scripts.lib.planning.training_hours import hours_of

QUERIES: Mapping[str, Mapping[str, int]] = {
    "qvh": {"train": 7218, "val": 1550, "test": 1542},
    "charades": {"train": 12404, "test": 3720},
    "tacos": {"train": 9790, "val": 4436, "test": 4001},
}
"""Dataset -> split -> published queries; a rehearsal reads no annotations."""
VIDEOS: Mapping[str, tuple[int, float]] = {
    "qvh": (10148, 421.6),
    "charades": (6672, 56.7),
    "tacos": (127, 10.1),
    "hirest": (3375, 270.0),
}
"""Dataset -> published videos and their hours."""


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


def whole_disk(
    configuration: Configuration, dataset: str, system: System, checkpoint_bytes: int, state_bytes: int
) -> dict[str, str]:
    """Return the bytes that stay on the disk: stored rows as they are said before the run, and what training writes.

    Parameters
    ----------
    checkpoint_bytes, state_bytes : of a checkpoint, and of what a training goes on from beside it, as they were written
    """
    n_seeds = len(system.seeds)
    found = {"checkpoints": f"{readable_size(n_seeds * checkpoint_bytes)}, state {readable_size(state_bytes)}"}
    if dataset in VIDEOS:
        n_videos, hours = VIDEOS[dataset]
        names = [(stream, name) for stream, content in system.streams.items() for name in content.names]
        rows = sum(
            bytes_needed(configuration.feature(dataset, name), hours, n_videos)
            for stream, name in names
            if stream != "text"
        )
        found["rows of the dataset"] = f"up to {readable_size(rows)}"
    return found
