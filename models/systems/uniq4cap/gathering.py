"""The batches of all processes of a training side by side, so that each is contrasted with all."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_shared() -> bool:
    """Return whether several processes train."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class Batches:
    """The batches of all processes, in the order of these; every process has to ask for the same at the same time.

    Parameters
    ----------
    n_own : samples of this process
    keep_gradient : whether what is asked for carries gradients back to the process that it is from

    Attributes
    ----------
    first : number of this process's first sample among all
    """

    def __init__(self, n_own: int, device: torch.device, keep_gradient: bool) -> None:
        self._sizes = [shape[0] for shape in _shapes(torch.empty(n_own, device=device))]
        self.first, self._keep_gradient = sum(self._sizes[: dist.get_rank()]), keep_gradient

    def all(self, own: Tensor) -> Tensor:
        """Return the rows (B, ...) of all processes; where these differ in their second size, zeros are appended."""
        longest = [max(sizes) for sizes in zip(*_shapes(own), strict=True)]
        padded = own
        for dim, (size, wanted) in enumerate(zip(own.shape, longest, strict=True)):
            padded = torch.cat(
                [padded, padded.new_zeros(*padded.shape[:dim], wanted - size, *own.shape[dim + 1 :])], dim
            )
        if self._keep_gradient and own.is_floating_point():
            parts = _Gather.apply(padded)
        else:
            parts = _gathered(padded.detach())
        return torch.cat([part[:size] for part, size in zip(parts, self._sizes, strict=True)])


def _shapes(tensor: Tensor) -> list[tuple[int, ...]]:
    own = torch.tensor(tensor.shape, device=tensor.device)
    return [tuple(shape.tolist()) for shape in _gathered(own)]


def _gathered(own: Tensor) -> list[Tensor]:
    parts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, own.contiguous())
    return parts


class _Gather(torch.autograd.Function):
    """Gradients of what other processes made of a tensor come back to it."""

    @staticmethod
    def forward(_: Any, own: Tensor) -> tuple[Tensor, ...]:
        return tuple(_gathered(own))

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        together = torch.stack(gradients)
        dist.all_reduce(together)
        return together[dist.get_rank()]
