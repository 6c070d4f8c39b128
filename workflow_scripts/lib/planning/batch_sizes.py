"""How many shards of a feature one job takes: as many as keep a network at work that takes long to be loaded."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

from workflow_scripts.lib.configuration.schema import FeatureBase
from workflow_scripts.lib.planning.feature_costs import hours_needed
from workflow_scripts.lib.store.atomic import write_json

log = logging.getLogger(__name__)

WORK_S = 500
"""Of a job: 95 % of it is work then on a cluster (docs/benchmarks.md, useful share of a shard job)."""
FEWEST_JOBS = 16
"""That many GPUs, or processes of a machine, have something to do."""
FEWEST_TEXT_JOBS = 4
"""Texts take seconds, the start of their job as long."""


def shards_per_job(feature: FeatureBase, n_shards: int, hours: float) -> int:
    """Return how many shards one job of a feature takes.

    Parameters
    ----------
    hours : of video in all shards; 0: not known

    Notes
    -----
    A guess from what the feature computes, for the kind of machine that it asks for, not for this one. Without a guess
    a shard has a job of its own.
    """
    if feature.kind in ("text", "transcript"):
        return max(1, n_shards // FEWEST_TEXT_JOBS)
    work_s = 3600 * hours_needed(feature, hours / n_shards, bool(feature.runtime.gpu), feature.runtime.threads)
    return max(1, min(round(WORK_S / work_s), n_shards // FEWEST_JOBS)) if work_s else 1


def recorded_size(record: Path, guess: Callable[[], int]) -> int:
    """Return the number in a file, or a new one that is recorded for good.

    A guess that changed with every video that is added would give all jobs new names, and start them again. A folder
    that cannot be written is not an error: a dry run there still gets the number.
    """
    try:
        return max(1, int(json.loads(record.read_text(encoding="utf-8"))["shards_per_job"]))
    except (OSError, ValueError, LookupError, TypeError):
        size = guess()
    try:
        write_json(record, {"shards_per_job": size})
    except OSError as error:
        log.warning("%s: shards per job (%d) not recorded: %s", record, size, error.strerror)
    return size
