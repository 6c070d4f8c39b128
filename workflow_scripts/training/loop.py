"""The training loop of every system."""

import contextlib
import json
import logging
import random
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.utils.tensorboard import SummaryWriter
from torchdata.stateful_dataloader import StatefulDataLoader
from tqdm import tqdm

from models.systems.interface import Item
from workflow_scripts.errors import UserError
from workflow_scripts.metrics.top_span import (
    average_recall,
    nearest_moment,
    selection_thresholds,
    summarise,
    top_span_iou,
)
from workflow_scripts.store.atomic import write_text
from workflow_scripts.training.checkpoint import Trained, system_class, system_config, write_checkpoint
from workflow_scripts.training.items import Split, Standardiser, prepared, units
from workflow_scripts.training.prediction import predict_items, to_device, top_spans
from workflow_scripts.training.state import Progress, StateFolder

log = logging.getLogger(__name__)

STOPPED_EXIT_STATUS = 143
"""128 + SIGTERM: the job was told to stop, saved its state and goes on from there next time."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def ignore_stop_signals(_: int) -> None:
    """Leave it to the training process to stop, where a signal reaches its data-loader workers too."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class TrainingItems(torch.utils.data.Dataset):
    """Training samples; what a sample draws at random depends on (seed, epoch, item) alone, so a resume repeats it."""

    def __init__(self, system: Any, items: Sequence[Item], standardiser: Standardiser, seed: int) -> None:
        self.system, self.standardiser, self.seed = system, standardiser, seed
        self.units = units(system, items)

    def __len__(self) -> int:
        return len(self.units)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Any]:
        epoch, index = place
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        return self.system.sample(prepared(self.units[index], self.standardiser.apply), rng)


class EpochSampler(torch.utils.data.Sampler):
    """Yields (epoch, index) in an order that is a function of seed and epoch."""

    def __init__(self, n_items: int, seed: int) -> None:
        self.n_items, self.seed, self.epoch = n_items, seed, 0

    def __len__(self) -> int:
        return self.n_items

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        yield from ((self.epoch, index) for index in torch.randperm(self.n_items, generator=generator).tolist())


class Training:
    """One training of one system with one seed.

    Parameters
    ----------
    settings : content of the system's settings file
    train, select : items to learn from and to choose the checkpoint on
    stream_dims : stream -> width of each of its features
    out : folder of this seed's results
    state : resumable state of this very training
    initial : weights to start from; None: those that the system draws
    base : published weights that parts of the network are filled from, by name
    also_fitted : queries that the system reads besides those of training before it starts (a published vocabulary)
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        train: Split,
        select: Split,
        stream_dims: Mapping[str, Sequence[int]],
        out: Path,
        state: StateFolder,
        seed: int,
        initial: Mapping[str, torch.Tensor] | None = None,
        base: Mapping[str, Any] | None = None,
        also_fitted: Sequence[Item] = (),
    ) -> None:
        self.config, self.seed, self.out, self.state = settings["config"], seed, out, state
        self.selection = settings["config"]["selection"]
        name = self.config["system"]
        self.settings = system_config(name, self.config["settings"])
        self.recipe = self.settings.train
        standardised = [s for s, content in self.config["streams"].items() if content["standardise"]]
        self.standardiser = Standardiser.fit(train.items, standardised)
        fitted = system_class(name).fit(self.settings, [*train.items, *also_fitted])
        self.notes = {
            "system": name,
            "dataset": settings["dataset"],
            "config": self.config,
            "fitted": fitted,
            "stream_dims": {stream: list(dims) for stream, dims in stream_dims.items()},
            "recipes": settings["recipes"],
            "seed": seed,
        }
        self.accelerator = Accelerator(
            cpu=settings["device"] == "cpu",
            mixed_precision=self.config["precision"],
            gradient_accumulation_steps=self.recipe.accumulation,
            dataloader_config=DataLoaderConfiguration(use_stateful_dataloader=True),
        )
        set_seed(seed)
        self.system = system_class(name)(self.settings, fitted, stream_dims)
        train = train.usable(partial(self.system.skip_reason, training=True))
        self.select = select.usable(partial(self.system.skip_reason, training=True))
        for role, split in (("training", train), ("selection", self.select)):
            log.info("%s: %d queries, left out: %s", role, len(split.items), dict(split.skipped) or "none")
            if not split.items:
                raise UserError(f"no usable {role} query; left out: {dict(split.skipped)}")
        self.progress = Progress(num_workers=settings["runtime"]["num_workers"])
        self._build(train, settings["runtime"], initial, base)
        self.checkpoint_seconds = 60 * settings["runtime"]["checkpoint_minutes"]
        self.stop_asked = False

    def _build(
        self,
        train: Split,
        runtime: Mapping[str, Any],
        initial: Mapping[str, torch.Tensor] | None,
        base: Mapping[str, Any] | None,
    ) -> None:
        network = self.system.network(base)
        if initial is not None:
            network.load_state_dict(initial, strict=True)
        optimiser = self.system.optimiser(self.system.parameter_groups(network))
        samples = TrainingItems(self.system, train.items, self.standardiser, self.seed)
        self.sampler = EpochSampler(len(samples), self.seed)
        loader = StatefulDataLoader(
            samples,
            batch_size=self.recipe.batch_size,
            sampler=self.sampler,
            collate_fn=self.system.collate,
            num_workers=runtime["num_workers"],
            worker_init_fn=ignore_stop_signals,
            # Every new iterator draws from it. A resume makes one more than an uninterrupted training does, so the
            # global generator, which feeds dropout, would not do.
            generator=torch.Generator().manual_seed(self.seed),
        )
        self.steps_per_epoch = -(-len(loader) // self.recipe.accumulation)
        schedule = self.system.schedule(optimiser, self.steps_per_epoch * self.recipe.epochs)
        prepared = self.accelerator.prepare(network, optimiser, loader, schedule)
        self.network, self.optimiser, self.loader, self.schedule = prepared
        self.accelerator.register_for_checkpointing(self.progress)

    def run(self) -> None:
        """Train to the end, from wherever an earlier attempt stopped."""
        progress, latest = self.progress, self.state.latest()
        if latest is not None:
            self.accelerator.load_state(str(latest))
            self._check_workers()
            log.info("resuming after step %d (epoch %d)", progress.step, progress.epoch)
        # What an interrupted training logged beyond the state it left is logged again.
        board = SummaryWriter(self.out / "tensorboard", purge_step=progress.step + 1)
        with board, self._stoppable():
            while progress.epoch < self.recipe.epochs and not self._is_stale():
                self._exit_if_asked()
                self._train_epoch()
                self._end_epoch(board)
        write_history(self.state.history, progress.history)
        self.state.finish()

    def _check_workers(self) -> None:
        """Refuse a state whose loader had another number of workers: it would not know where it stands."""
        before, now = self.progress.num_workers, self.loader.num_workers
        if before != now:
            raise UserError(
                f"{self.state.folder}: this training was interrupted with runtime.num_workers {before}, now it is "
                f"{now}. Set it back to go on from there, or delete the folder to train from the start"
            )

    @contextlib.contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Take a stop signal as a wish that is granted after the next optimiser step."""

        def ask_to_stop(*_: Any) -> None:
            self.stop_asked = True

        before = {number: signal.signal(number, ask_to_stop) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            # Ends the loader's workers: they ignore the signal by which they would be ended when this process exits.
            self.loader.load_state_dict({})

    def _is_stale(self) -> bool:
        patience = self.selection["patience"]
        return patience is not None and self.progress.stale_evaluations >= patience

    def _train_epoch(self) -> None:
        progress, saved_at, n_batches = self.progress, time.monotonic(), len(self.loader)
        self.sampler.epoch = progress.epoch
        self.network.train()
        label = f"epoch {progress.epoch + 1}/{self.recipe.epochs}"
        bar = tqdm(total=n_batches, initial=progress.step_in_epoch, desc=label, unit="step", mininterval=5)
        with bar, contextlib.closing(iter(self.loader)) as batches:
            for batch in batches:
                started = time.monotonic()
                self._step(to_device(batch, self.accelerator.device))
                progress.step_in_epoch += 1
                progress.train_seconds += time.monotonic() - started
                bar.update()
                # Between optimiser steps there are gradients that no state holds; after the last batch the loader's
                # state is that of the next epoch, and `_end_epoch` saves.
                if not self.accelerator.sync_gradients or progress.step_in_epoch == n_batches:
                    continue
                if self.stop_asked or time.monotonic() - saved_at > self.checkpoint_seconds:
                    self._save()
                    saved_at = time.monotonic()
                self._exit_if_asked()

    def _exit_if_asked(self) -> None:
        if self.stop_asked:
            log.warning("told to stop: state saved after step %d, run again to go on", self.progress.step)
            sys.exit(STOPPED_EXIT_STATUS)

    def _step(self, batch: dict[str, Any]) -> None:
        with self.accelerator.accumulate(self.network), self.accelerator.autocast():
            terms = self.system.loss(self.network, batch, self.progress.epoch)
            self._require_finite(terms["total"], terms)
            self.accelerator.backward(terms["total"])
            if self.accelerator.sync_gradients:
                norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
                # fp16: a step with infinite gradients is left out and the loss is scaled down.
                if self.accelerator.scaler is None:
                    self._require_finite(norm, terms | {"gradient norm": norm})
            self.optimiser.step()
            self.schedule.step()
            self.optimiser.zero_grad()
        self.progress.step += 1
        for key, value in terms.items():
            self.progress.sums[key] = self.progress.sums.get(key, 0.0) + value.item()

    def _require_finite(self, decisive: torch.Tensor, shown: Mapping[str, torch.Tensor]) -> None:
        if not torch.isfinite(decisive):
            values = {key: value.item() for key, value in shown.items()}
            raise UserError(f"training diverged at step {self.progress.step}: {values}; lower the learning rate")

    def _end_epoch(self, board: SummaryWriter) -> None:
        progress = self.progress
        row: dict[str, Any] = {key: value / progress.step_in_epoch for key, value in progress.sums.items()}
        progress.epoch += 1
        row |= {"epoch": progress.epoch, "step": progress.step, "lr": self.schedule.get_last_lr()[0]}
        if progress.epoch % self.selection["every_epochs"] == 0 or progress.epoch == self.recipe.epochs:
            row |= self._evaluate()
            self._keep_best(row[self.selection["metric"]])
        progress.history.append(row)
        progress.step_in_epoch, progress.sums = 0, {}
        for key, value in row.items():
            board.add_scalar(key, value, progress.step)
        self._save()
        log.info("epoch %d: %s", progress.epoch, ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "epoch"))

    def _evaluate(self) -> dict[str, float]:
        network = self.accelerator.unwrap_model(self.network)
        found = predict_items(
            self.system,
            network,
            self.select.items,
            self.standardiser.apply,
            self.recipe.batch_size,
            self.accelerator.device,
            self.seed,
        )
        spans, items = top_spans(found), [item for item in self.select.items if len(item.moments)]
        reference = {item.query_id: nearest_moment(spans.get(item.query_id), item.moments) for item in items}
        iou = list(top_span_iou(spans, reference).values())
        metrics = summarise(iou, selection_thresholds(self.selection["metric"])) | {"R1-avg": average_recall(iou)}
        if self.selection["metric"] not in metrics:
            raise UserError(
                f"selection.metric: {self.selection['metric']!r} is not computed; choose from {list(metrics)}"
            )
        return metrics

    def _keep_best(self, score: float) -> None:
        progress = self.progress
        if progress.best_score is not None and score < progress.best_score:
            progress.stale_evaluations += 1
            return
        is_better = progress.best_score is None or score > progress.best_score
        progress.stale_evaluations = 0 if is_better else progress.stale_evaluations + 1
        progress.best_score, progress.best_epoch = score, progress.epoch
        state = self.accelerator.unwrap_model(self.network).state_dict()
        notes = self.notes | {"epoch": progress.epoch, "score": score, "train_seconds": progress.train_seconds}
        write_checkpoint(self.state.best, Trained(state, self.standardiser, notes))

    def _save(self) -> None:
        self.state.save(self.progress.step, lambda folder: self.accelerator.save_state(str(folder)))


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object per epoch."""
    write_text(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
