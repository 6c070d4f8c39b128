"""Batches made ahead by data-loader workers, in a given order."""

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def ignore_stop_signals(_: int) -> None:
    """Leave it to the process that asks to stop, where a signal reaches its data-loader workers too."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class _Batches(torch.utils.data.Dataset):
    def __init__(self, make: Callable[[int], Any], numbers: Sequence[int]) -> None:
        self._make, self._numbers = make, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> Any:
        return self._make(self._numbers[index])


def made_in_order(make: Callable[[int], Any], numbers: Sequence[int], n_workers: int) -> Iterator[Any]:
    """Yield `make` of every number in order, made by forked workers (0: by this process, one at a time)."""
    return iter(
        torch.utils.data.DataLoader(
            _Batches(make, numbers),
            batch_size=None,
            collate_fn=_as_it_is,
            num_workers=n_workers,
            worker_init_fn=ignore_stop_signals,
            # Its own: an iterator draws a number, which the global generator would lack where it feeds dropout.
            generator=torch.Generator(),
        )
    )


def _as_it_is(batch: Any) -> Any:
    return batch
