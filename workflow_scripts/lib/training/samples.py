"""Which samples a training takes, in which order, in which batches."""

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from models.systems.interface import Item
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.standardiser import Standardiser
from workflow_scripts.lib.training.units import prepared


class TrainingSamples(torch.utils.data.Dataset):
    """Training samples; what a sample draws at random depends on (seed, epoch, unit) alone, so a resume repeats it."""

    def __init__(self, system: Any, items: Sequence[Item], standardiser: Standardiser, seed: int) -> None:
        self.system, self.standardiser, self.seed = system, standardiser, seed
        self.units = system.units(items)

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        epoch, index = place
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        return self.system.sample(prepared(self.units[index], self.standardiser.apply), rng)


class EpochBatches:
    """The batches of every epoch, a function of seed and epoch: as the system groups them, or at random.

    Parameters
    ----------
    system : whose `batches` groups the units, if it cares
    units : what is trained on
    size : units per batch
    """

    def __init__(self, system: Any, units: Sequence[Any], size: int, seed: int) -> None:
        self.system, self.units, self.size, self.seed = system, units, size, seed
        self.n_batches = len(self.of(0))

    def of(self, epoch: int) -> list[list[tuple[int, int]]]:
        """Return the batches of an epoch as lists of (epoch, number of the unit).

        Raises
        ------
        UserError
            the system makes more or fewer batches than in the first epoch
        """
        own = self.system.batches(self.units, self.size, random.Random(f"{self.seed}/{epoch}/batches"), epoch)
        if own is None:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            order = torch.randperm(len(self.units), generator=generator).tolist()
            own = [order[start : start + self.size] for start in range(0, len(order), self.size)]
        elif epoch and len(own) != self.n_batches:
            raise UserError(
                f"{type(self.system).__module__}: {len(own)} batches in epoch {epoch + 1}, {self.n_batches} in the "
                "first; a system's `batches` gives equally many in every epoch, which the learning rate counts on"
            )
        return [[(epoch, index) for index in batch] for batch in own]


class SharedBatches(torch.utils.data.Sampler):
    """Yields the batches of one of several processes: of every `n_processes` batches in a row each takes one.

    Where the last row is short, those that it leaves out get the first batch of the epoch once more, so that all
    processes stay in step; the loop gives it no weight.

    Attributes
    ----------
    epoch : whose batches are yielded
    n_batches : batches of an epoch, those of all processes
    """

    def __init__(self, batches: EpochBatches, process: int, n_processes: int) -> None:
        self.batches, self.process, self.n_processes, self.epoch = batches, process, n_processes, 0
        self.n_batches = batches.n_batches

    def __len__(self) -> int:
        return -(-self.n_batches // self.n_processes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        batches = self.batches.of(self.epoch)
        for row in range(len(self)):
            number = row * self.n_processes + self.process
            yield batches[number if number < self.n_batches else 0]
