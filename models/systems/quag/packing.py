"""Rows of several samples one after another, so that nothing is computed for rows that nobody needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import BoolTensor, LongTensor, Tensor

Padding = Literal["rows", "merged", "none"]
"""What becomes of a batch's padding: rows like others, equal rows merged, or nothing."""


@dataclass(frozen=True)
class Packing:
    """Which rows of a padded batch (B, T) are computed, sample after sample.

    Attributes
    ----------
    shape : B, T
    places : int64 (N,), rows of the flattened batch
    counts : rows of every sample, of which there are N in all
    repeats : float (N,), rows of the batch that each row stands for; None: each for itself
    """

    shape: tuple[int, int]
    places: LongTensor
    counts: tuple[int, ...]
    repeats: Tensor | None = None

    def take(self, batch: Tensor) -> Tensor:
        """Map a batch (B, T, ...) to its rows (N, ...)."""
        flat = batch.flatten(0, 1)
        return flat if len(flat) == len(self.places) else flat[self.places]

    def put(self, values: Tensor, places: LongTensor, fill: float) -> Tensor:
        """Return a float32 batch (B, T) with values (n,) at places of the rows, `fill` elsewhere."""
        values = values.float()
        batch = values.new_full((self.shape[0] * self.shape[1],), fill)
        return batch.index_put((self.places[places],), values).view(self.shape)

    def only(self, samples: Sequence[int]) -> tuple["Packing", LongTensor]:
        """Return a packing of some samples, and which rows of this one it has."""
        length, starts = self.shape[1], np.cumsum([0, *self.counts])
        rows = np.concatenate([np.arange(starts[sample], starts[sample + 1]) for sample in samples])
        counts = tuple(self.counts[sample] for sample in samples)
        kept = torch.from_numpy(rows).to(self.places.device)
        moved = np.repeat(np.array(samples) - np.arange(len(samples)), counts) * length
        places = self.places[kept] - torch.from_numpy(moved).to(kept.device)
        repeats = None if self.repeats is None else self.repeats[kept]
        return Packing((len(samples), length), places, counts, repeats), kept

    def totals(self, rows: Tensor) -> Tensor:
        """Return the sum over the batch's rows of every sample, (B, D), for rows (N, D)."""
        if self.repeats is not None:
            rows = rows * self.repeats[:, None]
        return torch.stack([part.sum(0) for part in rows.split(self.counts)])

    def means(self, rows: Tensor) -> Tensor:
        """Return the mean over the batch's rows of every sample, (B, D), for rows (N, D)."""
        if self.repeats is None:
            n_rows = rows.new_tensor(self.counts)
        else:
            n_rows = torch.stack([part.sum() for part in self.repeats.split(self.counts)])
        return self.totals(rows) / n_rows[:, None]

    def spread(self, vectors: Tensor) -> Tensor:
        """Map one vector per sample, (B, D), to rows (N, D)."""
        return vectors.repeat_interleave(torch.tensor(self.counts, device=vectors.device), dim=0)


@dataclass(frozen=True)
class Chosen:
    """Some rows of a packing, still sample after sample.

    Attributes
    ----------
    places : int64 (n,), in 0..N-1
    counts : rows of every sample
    """

    places: LongTensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, packing: Packing, mask: BoolTensor) -> "Chosen":
        """Return the rows at which `mask` (N,) is True."""
        places = mask.nonzero()[:, 0]
        return cls(places, tuple(int(part.sum()) for part in mask.split(packing.counts)))


@dataclass(frozen=True)
class Runs:
    """Rows equal to the one before them, as seconds of one line of a transcript are, need not be computed again.

    Attributes
    ----------
    firsts : int64 (M,), first row of every run
    run_of_row : int64 (N,)
    """

    firsts: LongTensor
    run_of_row: LongTensor

    @classmethod
    def of(cls, rows: Tensor) -> "Runs":
        """Return the runs of rows (N, D)."""
        is_first = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        is_first[1:] = (rows[1:] != rows[:-1]).any(1)
        return cls(is_first.nonzero()[:, 0], is_first.cumsum(0) - 1)

    def first(self, rows: Tensor) -> Tensor:
        """Map rows (N, D) to one per run, (M, D)."""
        return rows.index_select(0, self.firsts)

    def spread(self, runs: Tensor) -> Tensor:
        """Map what came of every run, (M, D), to its rows, (N, D)."""
        return runs if len(runs) == len(self.run_of_row) else runs.index_select(0, self.run_of_row)


def pack(valid_mask: BoolTensor, padding: Padding) -> Packing:
    """Return the rows of a batch that are computed.

    Parameters
    ----------
    valid_mask : (B, T), True for rows of the video, which come first
    padding : `rows`, as the published code does; `none`: valid rows only; `merged`: of the padding of a sample only
        the first row, which a step may end at, and one that stands for all others
    """
    n_samples, n_rows = valid_mask.shape
    lengths: list[int] = valid_mask.sum(1).tolist()
    if padding == "rows":
        lengths = [n_rows] * n_samples
    counts, places, repeats = [], [], []
    for sample, length in enumerate(lengths):
        n_padded = n_rows - length if padding == "merged" else 0
        own = [1.0] * length + _padding_repeats(n_padded)
        places += range(sample * n_rows, sample * n_rows + len(own))
        counts.append(len(own))
        repeats += own
    device = valid_mask.device
    is_merged = any(count != 1 for count in repeats)
    return Packing(
        (n_samples, n_rows),
        torch.tensor(places, device=device),
        tuple(counts),
        torch.tensor(repeats, device=device) if is_merged else None,
    )


def _padding_repeats(n_padded: int) -> list[float]:
    return [float(count) for count in (min(n_padded, 1), n_padded - 1) if count > 0]


def normalised_times(lengths: Sequence[int], packing: Packing) -> Tensor:
    """Return float32 (N, 1): -1 .. 1 over the valid rows of every sample, 0 on padding; -1 for a single row."""
    times = torch.zeros(len(packing.places))
    start = 0
    for length, count in zip(lengths, packing.counts, strict=True):
        times[start : start + length] = (torch.linspace(0, 1, length) - 0.5) * 2
        start += count
    return times[:, None].to(packing.places.device)
