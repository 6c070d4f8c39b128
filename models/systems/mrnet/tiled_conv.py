"""Convolution over a map of which few cells are filled, for chosen cells only, in tiles and in the frequency domain.

A tile of T x T cells gives V x V outputs, V = T - k + 1. In one dimension, the correlation of T inputs with k weights
is `to_output @ ((to_weight @ weights) * (to_input @ inputs))`: Fourier transforms of real numbers, in which a product
of two complex numbers takes three real ones (Gauss). In two dimensions the same matrices work along either axis, and
the products of all tiles and channels are one matrix product per pair of frequencies. At k = 9 that is 8
multiplications per output and pair of channels instead of 81. The result is that of the plain convolution but for
rounding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

_CHUNK_BYTES = 80 * 2**20
"""Of transformed weights at a time: they take (R / k) ** 2 the room of the weights."""


@dataclass(frozen=True)
class Tiling:
    """How the filled cells of a map lie in tiles, and the wanted cells in what the tiles give.

    Attributes
    ----------
    inputs : int64 (T * T * tiles,), row of the cell at every place of every tile, `n_inputs` for an empty one
    outputs : int64 (wanted cells,), place among V * V * tiles
    n_tiles, n_inputs, kernel : numbers
    """

    inputs: Tensor
    outputs: Tensor
    n_tiles: int
    n_inputs: int
    kernel: int

    def to(self, device: torch.device) -> "Tiling":
        """Return the tiling on a device."""
        if self.inputs.device == device:
            return self
        return Tiling(self.inputs.to(device), self.outputs.to(device), self.n_tiles, self.n_inputs, self.kernel)


def tile_size(kernel: int) -> int:
    """Return T: a power of two, of which at least about half is output."""
    return max(16, 1 << (2 * kernel - 3).bit_length()) if kernel > 1 else 16


def lay_tiles(inputs: np.ndarray, outputs: np.ndarray, kernel: int, padding: int) -> Tiling:
    """Return the tiles of a convolution between the True cells of two maps, bool (h, w) and (h', w')."""
    size = tile_size(kernel)
    step = size - kernel + 1
    rows, columns = np.nonzero(outputs)
    tiles, tile_of_output = np.unique(np.stack([rows // step, columns // step]), axis=1, return_inverse=True)
    places = np.full(inputs.shape, inputs.sum())
    places[inputs] = np.arange(inputs.sum())
    # The first axis of a tile counts columns, as the last one of a weight does.
    corners = tiles * step - padding
    row, column = corners[0] + np.arange(size)[:, None], corners[1] + np.arange(size)[:, None]
    is_row, is_column = ((x >= 0) & (x < n) for x, n in zip((row, column), inputs.shape, strict=True))
    found = np.where(is_column[:, None] & is_row, places[row * is_row, (column * is_column)[:, None]], inputs.sum())
    target = ((columns % step) * step + rows % step) * tiles.shape[1] + tile_of_output.reshape(-1)
    return Tiling(
        torch.from_numpy(found.reshape(-1)), torch.from_numpy(target), tiles.shape[1], int(inputs.sum()), kernel
    )


@cache
def _transforms(kernel: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return `to_input` (R, T), `to_weight` (R, k) and `to_output` (V, R) for one axis; R = 3 T / 2 - 1."""
    size = tile_size(kernel)
    step = size - kernel + 1
    to_input, to_weight, to_output = [], [], []
    for frequency in range(size // 2 + 1):
        angle = 2 * np.pi * frequency / size * np.arange(size)
        cos, sin = np.cos(angle), np.sin(angle)
        if frequency in (0, size // 2):
            to_input.append(cos)
            to_weight.append(cos[:kernel])
            to_output.append(cos[:step] / size)
            continue
        to_input += [cos - sin, cos, -sin]
        to_weight += [cos[:kernel], (sin - cos)[:kernel], (cos + sin)[:kernel]]
        to_output += [2 * (cos - sin)[:step] / size, -2 * sin[:step] / size, -2 * cos[:step] / size]
    matrices = (np.array(to_input), np.array(to_weight), np.array(to_output).T)
    return tuple(torch.from_numpy(matrix.copy()).to(device, dtype) for matrix in matrices)


def _both_axes(matrix: Tensor, x: Tensor) -> Tensor:
    """Apply a matrix (a, b) to the two first axes of x (b, b, n); (a, a, n)."""
    half = (matrix @ x.reshape(len(x), -1)).view(len(matrix), *x.shape[1:])
    return torch.matmul(matrix, half)


class _WeightTransform:
    """The transform of weights, some output channels at a time, in memory that is taken once: it is large."""

    def __init__(self, to_weight: Tensor, weight: Tensor) -> None:
        n_out, self.n_in, _, _ = weight.shape
        self.weight, (self.side, self.kernel) = weight, to_weight.shape
        self.n_chunk = min(n_out, max(1, _CHUNK_BYTES // (self.side**2 * self.n_in * weight.element_size())))
        self.matrix = to_weight.expand(self.side, -1, -1)
        self.buffer = weight.new_empty(self.side**2 * self.n_chunk * self.n_in)

    def chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Yield some output channels and their transformed weights (R * R, channels, C_in), to be used at once."""
        for first in range(0, len(self.weight), self.n_chunk):
            part = self.weight[first : first + self.n_chunk]
            half = self.matrix[0] @ part.reshape(-1, self.kernel).T
            whole = self.spectrum(len(part)).view(self.side, self.side, -1)
            torch.bmm(self.matrix, half.view(self.side, -1, self.kernel).transpose(1, 2), out=whole)
            yield slice(first, first + len(part)), whole.view(self.side**2, len(part), self.n_in)

    def spectrum(self, n_out: int) -> Tensor:
        """Return the memory for the transform of `n_out` channels, (R * R, n_out, C_in)."""
        return self.buffer[: self.side**2 * n_out * self.n_in].view(self.side**2, n_out, self.n_in)

    def adjoint(self, spectrum: Tensor) -> Tensor:
        """Return the gradient (channels, C_in, k, k) of weights whose transform has the gradient `spectrum`."""
        half = torch.matmul(self.matrix[0].T, spectrum.view(self.side, self.side, -1))
        whole = self.matrix[0].T @ half.view(self.side, -1)
        # The first axis of the transform counts columns.
        return whole.view(self.kernel, self.kernel, *spectrum.shape[1:]).permute(2, 3, 1, 0)


class TiledConv(torch.autograd.Function):
    """Cells (n, B, C_in) -> (n', B, C_out), without bias; keeps nothing but its inputs for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, tiling: Tiling) -> Tensor:
        """`weight` is (C_out, C_in, k, k) of a `Conv2d`."""
        ctx.save_for_backward(x, weight)
        ctx.tiling = tiling
        _, to_weight, to_output = _transforms(tiling.kernel, x.dtype, x.device)
        given, transform = _spectrum(x, tiling), _WeightTransform(to_weight, weight)
        mixed = given.new_empty(*given.shape[:2], len(weight))
        for channels, spectrum in transform.chunks():
            mixed[:, :, channels] = torch.bmm(given, spectrum.transpose(1, 2))
        side = len(to_weight)
        tiles = _both_axes(to_output, mixed.view(side, side, -1))
        return tiles.view(-1, x.shape[1], len(weight))[tiling.outputs]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Return the gradients of cells and weight."""
        x, weight = ctx.saved_tensors
        tiling = ctx.tiling
        to_input, to_weight, to_output = _transforms(tiling.kernel, x.dtype, x.device)
        side, step = len(to_weight), len(to_output)
        tiles = grad.new_zeros(step**2 * tiling.n_tiles, *grad.shape[1:])
        tiles[tiling.outputs] = grad
        wanted = _both_axes(to_output.T, tiles.view(step, step, -1)).view(side**2, -1, grad.shape[2])
        given, transform = _spectrum(x, tiling), _WeightTransform(to_weight, weight)
        grad_given, grad_weight = torch.zeros_like(given), torch.empty_like(weight)
        for channels, spectrum in transform.chunks():
            own = wanted[:, :, channels]
            grad_given.baddbmm_(own, spectrum)
            # The transformed weights have been used; their memory takes the gradient.
            grad_weight[channels] = transform.adjoint(torch.bmm(own.transpose(1, 2), given, out=spectrum))
        cells = _both_axes(to_input.T, grad_given.view(side, side, -1)).view(-1, *x.shape[1:])
        grad_x = x.new_zeros(tiling.n_inputs + 1, *x.shape[1:]).index_add_(0, tiling.inputs, cells)[:-1]
        return grad_x, grad_weight, None


def _spectrum(x: Tensor, tiling: Tiling) -> Tensor:
    """Return the transform of the tiles of cells (n, B, C), (R * R, tiles * B, C)."""
    to_input, _, _ = _transforms(tiling.kernel, x.dtype, x.device)
    side, size = to_input.shape
    tiles = torch.cat((x, x.new_zeros(1, *x.shape[1:])))[tiling.inputs]
    return _both_axes(to_input, tiles.view(size, size, -1)).view(side**2, -1, x.shape[2])
