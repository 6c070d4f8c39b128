"""A network and its loss as one module: several processes bring gradients together while they are computed."""

import contextlib
import warnings
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from models.systems.interface import System

_RUNNING = ("running_mean", "running_var")


class NetworkLoss(torch.nn.Module):
    """A network whose forward pass is the loss of its system, which may call any of its methods."""

    def __init__(self, network: torch.nn.Module, system: System) -> None:
        super().__init__()
        self.network, self._system = network, system

    def forward(self, batch: dict[str, Any], epoch: int) -> dict[str, torch.Tensor]:
        """Return the terms; only `total` leads back to the network.

        Processes wait for the gradient of whatever the result depends on, so a term that is only shown must not count.
        """
        terms = self._system.loss(self.network, batch, epoch)
        return {key: value if key == "total" else value.detach() for key, value in terms.items()}


class SharedLoss:
    """The loss of a batch of one process, and the mean of all processes' gradients at the end of a step.

    Parameters
    ----------
    n_processes : which all hold the same network
    """

    def __init__(self, network: torch.nn.Module, system: System, n_processes: int) -> None:
        self._network, self._alone = network, NetworkLoss(network, system)
        self._shared = self._overlapping() if n_processes > 1 else None

    def __call__(self, batch: dict[str, Any], epoch: int) -> dict[str, torch.Tensor]:
        """Return the terms of a batch."""
        return (self._shared or self._alone)(batch, epoch)

    def of_batch(self, is_last: bool) -> contextlib.AbstractContextManager[Any]:
        """Return the context of the forward and backward pass of a batch; after the `last` of a step all agree.

        A parameter without a gradient in every process and batch of the step keeps none: an optimiser leaves it alone.
        """
        return self._shared.no_sync() if self._shared and not is_last else contextlib.nullcontext()

    def average_statistics(self) -> None:
        """Give every process the mean of all processes' running statistics."""
        statistics = [value for name, value in self._network.named_buffers() if name.endswith(_RUNNING)]
        if self._shared is None or not statistics:
            return
        flat = torch.cat([buffer.float().flatten() for buffer in statistics])
        torch.distributed.all_reduce(flat)
        mean = flat / torch.distributed.get_world_size()
        for buffer, part in zip(statistics, mean.split([buffer.numel() for buffer in statistics]), strict=True):
            buffer.copy_(part.view_as(buffer))

    def _overlapping(self) -> DistributedDataParallel:
        # Of convolutions with one channel per group; it costs a copy of a few numbers.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        return DistributedDataParallel(
            self._alone,
            # Batches of different tasks need different parts of a network.
            find_unused_parameters=True,
            # All drew or read the same weights; frozen ones may lie in a mapped file.
            init_sync=False,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
        )
