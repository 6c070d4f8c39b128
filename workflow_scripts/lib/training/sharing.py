"""Batches that several processes share, and what each of them made brought together."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

import torch.distributed as dist

Made = TypeVar("Made")


@dataclass(frozen=True)
class Share:
    """The place of a process among those that share the batches of a split.

    Batches are cut as for one process, and one process computes a whole batch: so the numbers are those of one.

    Attributes
    ----------
    process, n_processes : number of this process, and how many there are
    """

    process: int = 0
    n_processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process does what is done once."""
        return self.process == 0

    def of(self, numbers: range) -> range:
        """Return which of the batches are this process's: they go round."""
        return numbers[self.process :: self.n_processes]

    def together(self, own: Iterable[tuple[int, Made]]) -> list[tuple[int, Made]]:
        """Return the pairs (number of a batch, what it gave) of all processes by number; all have to ask at once."""
        parts = [list(own)]
        if self.n_processes > 1:
            parts *= self.n_processes
            dist.all_gather_object(parts, parts[self.process])
        return sorted((pair for part in parts for pair in part), key=lambda pair: pair[0])


ALONE = Share()
