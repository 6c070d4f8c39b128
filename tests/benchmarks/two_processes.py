"""Times two training processes against one, with and without overlap: python -m tests.benchmarks.two_processes.

IMG and MRNet at published sizes on made rows, one CPU thread per process. An optimiser step is two batches: one process
computes both, two compute one each and bring their gradients together, after the backward pass in one piece, or bucket
by bucket while it runs, as the loop does. Validation is asked by the first process alone while the other waits, and by
both. All ways take turns in the same two processes.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from models.systems.interface import Item
from tests.benchmarks import img_training, mrnet_training
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.made_training import made_settings
from workflow_scripts.lib.training.data import TrainingData
from workflow_scripts.lib.training.loop import Training
from workflow_scripts.lib.training.network_loss import SharedLoss
from workflow_scripts.lib.training.prediction import Asking, predict_items
from workflow_scripts.lib.training.processes import is_launched, join
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.sharing import ALONE, Share
from workflow_scripts.lib.training.state import StateFolder

BATCH_SIZES = {"img": 8, "mrnet": 1}
"""Queries, and videos with four queries each: half of a published step of IMG, and what takes MRNet about as long."""
N_PROCESSES = 2
MRNET_DIMS = {"visual": [500], "text": [768]}


class AfterwardsLoss(SharedLoss):
    """Brings gradients together after the backward pass of the last batch, in one piece."""

    exchange_s = 0.0

    def _overlapping(self) -> None:
        return None

    def average_statistics(self) -> None:
        started = time.perf_counter()
        gradients = [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        torch.distributed.all_reduce(flat)
        parts = (flat / N_PROCESSES).split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))
        self.exchange_s += time.perf_counter() - started


def made_items(system: str, n_units: int) -> tuple[list[Item], dict[str, list[int]]]:
    """Return the items of so many units, and the widths of their streams."""
    if system == "img":
        return img_training.made_items(n_units, (20.0, 40.0)), img_training.DIMS
    return [item for number in range(n_units) for item in mrnet_training.made_video(number, 4)], MRNET_DIMS


def made_training(system: str, folder: Path, batch_size: int, n_steps: int) -> tuple[Training, list[Item]]:
    """Return a training of so many steps per epoch, and its items."""
    settings = made_settings(name=system, config__system=system)
    network = {"query": {"kind": "tokens"}} if system == "img" else {}
    train = {"epochs": 1000, "batch_size": batch_size, "accumulation": N_PROCESSES}
    items, dims = made_items(system, batch_size * N_PROCESSES * n_steps)
    streams = {stream: {"names": [stream], "standardise": False, "in_memory": True} for stream in dims}
    settings["config"] |= {"settings": {"network": network, "train": train}, "streams": streams}
    state = StateFolder(folder / f"state{os.environ['RANK']}", "made")
    return Training(settings, TrainingData(Split(items), Split(items), None, dims), folder, state, seed=0), items


class Ways:
    """The ways to take optimiser steps, and to validate, on one network."""

    def __init__(self, training: Training, items: list[Item]) -> None:
        self.training, self._items, self._process = training, items, training.accelerator.process_index
        samples, parts = training.loader.dataset, training.batches.batches.of(0)
        self._batches = [training.system.collate([samples[place] for place in part]) for part in parts]
        self._alone = SharedLoss(training.network, training.system, 1)
        self.afterwards = AfterwardsLoss(training.network, training.system, N_PROCESSES)

    def one(self) -> None:
        """Let the first process compute all batches."""
        if self._process == 0:
            with mock.patch.object(self.training, "n_processes", 1):
                self._take(self._batches, self._alone)

    def after(self) -> None:
        """Share the batches, and bring gradients together after the backward pass."""
        self._take(self._batches[self._process :: N_PROCESSES], self.afterwards)

    def overlapped(self) -> None:
        """Share the batches, and bring gradients together during the backward pass, as the loop does."""
        self._take(self._batches[self._process :: N_PROCESSES], self.training.loss)

    def validate_alone(self) -> None:
        """Let the first process answer everything."""
        if self._process == 0:
            self._validate(ALONE)

    def validate_together(self) -> None:
        """Share the batches."""
        self._validate(Share(self._process, N_PROCESSES))

    def _take(self, batches: list[dict[str, Any]], loss: SharedLoss) -> None:
        self.training.progress.step_in_epoch = 0
        self.training.network.train()
        with mock.patch.object(self.training, "loss", loss):
            for batch in batches:
                self.training._step(batch)

    def _validate(self, share: Share) -> None:
        size, given = self.training.recipe.batch_size, {"moments": "annotated", "steps": "annotated"}
        asking = Asking(lambda item: item, size, "cpu", 0, given, share=share)
        predict_items(self.training.system, self.training.network, self._items, asking)


def measured(system: str, rounds: int, n_steps: int, batch_size: int) -> Iterator[Figure]:
    """Yield the figures of one system, in the first of two processes."""
    ways = ("one", "after", "overlapped", "validate_alone", "validate_together")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        training, items = made_training(system, Path(folder), batch_size, n_steps)
        taking, together = Ways(training, items), training.accelerator.wait_for_everyone
        # The first round warms up. Every round begins with another way: who follows whom matters on a busy machine.
        for number in range(rounds + 1):
            first = number % len(ways)
            for way in (*ways[first:], *ways[:first]):
                together()
                started = time.perf_counter()
                getattr(taking, way)()
                together()
                if number:
                    seconds[way].append(time.perf_counter() - started)
            if training.accelerator.is_main_process:
                print(f"{system}, round {number}: " + ", ".join(f"{w} {s[-1]:.2f} s" for w, s in seconds.items() if s))
    if not training.accelerator.is_main_process:
        return

    def ratio(way: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[other], seconds[way], strict=True))

    rates = {way: n_steps / statistics.median(seconds[way]) for way in ways[:3]}
    n_parameters = sum(parameter.numel() for parameter in training.network.parameters())
    exchange = taking.afterwards.exchange_s / (n_steps * (rounds + 1))
    print(
        f"{system}, {n_parameters / 1e6:.1f} million parameters, {N_PROCESSES} batches of {batch_size} per step: "
        f"{rates['one']:.3f} steps/s by one process, {rates['after']:.3f} by two, {rates['overlapped']:.3f} by two "
        f"overlapped; gradients brought together, with waiting: {exchange:.3f} s per step"
    )
    for what, way, other in (
        ("a training, gradients brought together afterwards", "after", "one"),
        ("a training, gradients brought together while they are computed", "overlapped", "one"),
        ("validation", "validate_together", "validate_alone"),
    ):
        yield Figure(f"{system}, two processes over one: {what}", ratio(way, other), "x", "larger")
    what = f"{system}, two processes: gradients brought together while they are computed over afterwards"
    yield Figure(what, ratio("overlapped", "after"), "x", "larger")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--systems", nargs="+", choices=BATCH_SIZES, default=list(BATCH_SIZES))
    parser.add_argument("--rounds", type=int, default=5, help="in each of which all ways take their turn")
    parser.add_argument("--steps", type=int, default=2, help="optimiser steps per turn")
    args = parser.parse_args()
    if is_launched():
        join("cpu")
        figures = (f for system in args.systems for f in measured(system, args.rounds, args.steps, BATCH_SIZES[system]))
        # Only the first process has any.
        return tell(figures, args.json if os.environ["RANK"] == "0" else None)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(N_PROCESSES), "--module")
    command = [sys.executable, *launcher, "tests.benchmarks.two_processes", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}).returncode


if __name__ == "__main__":
    sys.exit(main())
