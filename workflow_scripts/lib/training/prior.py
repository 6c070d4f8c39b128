"""The system before this one in a chain: its weights to start from, its answers to be told."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.checkpoint import read_checkpoint


class PriorResults:
    """What one seed of a system takes over from its prior.

    Parameters
    ----------
    settings : content of the system's settings file; `prior` in it says where the prior's results are

    Attributes
    ----------
    answers : folder with a folder of predictions per split, None if the prior is not asked
    checkpoint : what training starts from, None if it starts from the system's own weights
    """

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        places = settings["prior"] or {}
        self._system = settings["config"]["system"]
        self.answers, self.checkpoint = (
            None if places.get(role) is None else Path(places[role].format(seed=seed))
            for role in ("answers", "checkpoint")
        )

    @property
    def checkpoint_digest(self) -> list[str]:
        """Return the digest of the checkpoint, nothing without one."""
        if self.checkpoint is None:
            return []
        with self.checkpoint.open("rb") as file:
            return [hashlib.file_digest(file, "sha256").hexdigest()]

    def weights(self) -> Mapping[str, Any] | None:
        """Return the state dict to start from, None if there is none.

        Raises
        ------
        UserError
            the checkpoint is missing or damaged, or another kind of system was trained
        """
        if self.checkpoint is None:
            return None
        trained = read_checkpoint(self.checkpoint)
        if trained.notes["system"] != self._system:
            raise UserError(
                f"{self.checkpoint}: holds weights of {trained.notes['system']}, this is {self._system}; name a prior "
                "of the same system, or set prior.weights: false"
            )
        return trained.state
