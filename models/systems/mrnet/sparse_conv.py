"""Convolution over a map of which few cells are filled, computed for chosen cells only."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Pairs:
    """Which input cells reach which output cells, for every place in the kernel.

    Attributes
    ----------
    inputs, outputs : k * k tensors int64 (p,) each, row-major over the kernel; no place names an output cell twice
    n_outputs : output cells
    """

    inputs: list[Tensor]
    outputs: list[Tensor]
    n_outputs: int

    def to(self, device: torch.device) -> "Pairs":
        """Return the pairs on a device."""
        if not self.inputs or self.inputs[0].device == device:
            return self
        inputs, outputs = ([part.to(device) for part in parts] for parts in (self.inputs, self.outputs))
        return Pairs(inputs, outputs, self.n_outputs)


def find_pairs(inputs: np.ndarray, outputs: np.ndarray, kernel: int, padding: int) -> Pairs:
    """Return the pairs of a convolution between the True cells of two maps, bool (h, w) and (h', w')."""
    places = np.full(outputs.shape, -1)
    places[outputs] = np.arange(outputs.sum())
    rows, columns = np.nonzero(inputs)
    found_in, found_out = [], []
    for i in range(kernel):
        for j in range(kernel):
            row, column = rows + padding - i, columns + padding - j
            is_inside = (row >= 0) & (row < outputs.shape[0]) & (column >= 0) & (column < outputs.shape[1])
            reached = np.where(is_inside, places[row * is_inside, column * is_inside], -1)
            used = np.flatnonzero(reached >= 0)
            found_in.append(torch.from_numpy(used))
            found_out.append(torch.from_numpy(reached[used]))
    return Pairs(found_in, found_out, int(outputs.sum()))


class SparseConv(torch.autograd.Function):
    """Cells (n, B, C_in) -> (n', B, C_out), without bias; keeps nothing but its inputs for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
        """`weight` is (C_out, C_in, k, k) of a `Conv2d`."""
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        maps = weight.flatten(2).permute(2, 1, 0).contiguous()
        y = x.new_zeros(pairs.n_outputs, x.shape[1], weight.shape[0])
        for one, source, target in zip(maps, pairs.inputs, pairs.outputs, strict=True):
            y.index_add_(0, target, x[source] @ one)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of cells and weight."""
        x, weight = ctx.saved_tensors
        maps = weight.flatten(2).permute(2, 0, 1).contiguous()
        grad_x, grad_maps = torch.zeros_like(x), torch.empty_like(maps)
        for k, (one, source, target) in enumerate(zip(maps, ctx.pairs.inputs, ctx.pairs.outputs, strict=True)):
            reached = grad[target]
            grad_x.index_add_(0, source, reached @ one)
            torch.mm(reached.flatten(0, 1).T, x[source].flatten(0, 1), out=grad_maps[k])
        return grad_x, grad_maps.permute(1, 2, 0).reshape(weight.shape), None
