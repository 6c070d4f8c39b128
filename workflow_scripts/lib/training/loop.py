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
from accelerate.utils import DataLoaderConfiguration, broadcast_object_list, gather_object, set_seed
from torch.utils.tensorboard import SummaryWriter
from torchdata.stateful_dataloader import StatefulDataLoader
from tqdm import tqdm

from models.systems.interface import TrainConfig, train_config
from workflow_scripts.lib.configuration.schema import SystemRuntime
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.training.checkpoint import Trained, notes_of, system_class, system_config, write_checkpoint
from workflow_scripts.lib.training.data import TrainingData
from workflow_scripts.lib.training.loading import STOP_SIGNALS, ignore_stop_signals
from workflow_scripts.lib.training.network_loss import SharedLoss
from workflow_scripts.lib.training.prediction import Asking, to_device
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.samples import EpochBatches, SharedBatches, TrainingSamples
from workflow_scripts.lib.training.selection import CheckpointSelection
from workflow_scripts.lib.training.sharing import Share
from workflow_scripts.lib.training.standardiser import Standardiser
from workflow_scripts.lib.training.state import Progress, StateFolder
from workflow_scripts.lib.versions import code_revision

log = logging.getLogger(__name__)

STOPPED_EXIT_STATUS = 143
"""128 + SIGTERM: the job was told to stop, saved its state and goes on from there next time."""


class Training:
    """One training of one system with one seed, by one process or by several that share the batches of every step.

    Several processes give the weights that one gives, up to the rounding of sums: a step is made of
    `train.accumulation` batches, and each process computes an equal number of them. So that it does not matter which
    process computes a batch, what a network draws at random then depends on (seed, epoch, batch) alone.

    Parameters
    ----------
    settings : content of the system's settings file
    data : what it learns from
    out : folder of this seed's results
    state : resumable state of this very training
    initial : weights to start from; None: those that the system draws
    base : published weights that parts of the network are filled from, by name
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        data: TrainingData,
        out: Path,
        state: StateFolder,
        seed: int,
        initial: Mapping[str, torch.Tensor] | None = None,
        base: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.seed, self.out, self.state = settings["config"], seed, out, state
        self.selection = settings["config"]["selection"]
        name = self.config["system"]
        self.settings = system_config(name, self.config["settings"])
        self.recipe: TrainConfig = train_config(self.settings)
        standardised = [s for s, content in self.config["streams"].items() if content["standardise"]]
        self.standardiser = Standardiser.fit(data.train.items, standardised)
        fitted = system_class(name).fit(self.settings, [*data.train.items, *data.also_fitted])
        self.notes = notes_of(settings, fitted, data.stream_dims, seed)
        # Without `split_batches` accelerate steps the schedule once per process.
        self.accelerator = Accelerator(
            cpu=settings["device"] == "cpu",
            mixed_precision=self.config["precision"],
            dataloader_config=DataLoaderConfiguration(split_batches=True),
        )
        self.n_processes = self.accelerator.num_processes
        if self.recipe.accumulation % self.n_processes:
            raise UserError(unequal_shares(name, self.recipe.accumulation, self.n_processes))
        set_seed(seed)
        self.system = system_class(name)(self.settings, fitted, data.stream_dims)
        train = data.train.usable(partial(self.system.skip_reason, training=True))
        select = data.select.usable(partial(self.system.skip_reason, training=True))
        for role, split in (("training", train), ("selection", select)):
            log.info("%s: %d queries, left out: %s", role, len(split.items), dict(split.skipped) or "none")
            if not split.items:
                raise UserError(f"no usable {role} query; left out: {dict(split.skipped)}")
        self.notes["left_out"] = {"training": dict(train.skipped), "selection": dict(select.skipped)}
        self.choice = CheckpointSelection(self.config, select, data.annotated)
        self.runtime = SystemRuntime.model_validate(settings["runtime"])
        self.progress = Progress(self.runtime.num_workers, self.n_processes)
        self._build(train, initial, base)
        self.stop_asked = False

    def _build(
        self,
        train: Split,
        initial: Mapping[str, torch.Tensor] | None,
        base: Mapping[str, Any] | None,
    ) -> None:
        network = self.system.network(base)
        if initial is not None:
            network.load_state_dict(initial, strict=True)
        optimiser = self.system.optimiser(self.system.parameter_groups(network))
        samples = TrainingSamples(self.system, train.items, self.standardiser, self.seed)
        batches = EpochBatches(self.system, samples.units, self.recipe.batch_size, self.seed)
        self.batches = SharedBatches(batches, self.accelerator.process_index, self.n_processes)
        self.loader = StatefulDataLoader(
            samples,
            batch_sampler=self.batches,
            collate_fn=self.system.collate,
            num_workers=self.runtime.num_workers,
            worker_init_fn=ignore_stop_signals,
            # Every new iterator draws from it. A resume makes one more than an uninterrupted training does, so the
            # global generator, which feeds dropout, would not do.
            generator=torch.Generator().manual_seed(self.seed),
        )
        self.steps_per_epoch = -(-self.batches.n_batches // self.recipe.accumulation)
        schedule = self.system.schedule(optimiser, self.steps_per_epoch * self.recipe.epochs)
        # "Evaluation" keeps accelerate from wrapping the network for several processes: a system's loss may call any of
        # its methods, so it is wrapped with its loss.
        self.network = self.accelerator.prepare_model(network, evaluation_mode=True)
        self.loss = SharedLoss(self.network, self.system, self.n_processes)
        self.optimiser, self.schedule = self.accelerator.prepare(optimiser, schedule)
        self.accelerator.register_for_checkpointing(self.progress, self.loader)

    def run(self) -> None:
        """Train to the end, from wherever an earlier attempt stopped."""
        progress, latest = self.progress, self.state.latest()
        if latest is not None:
            self._load(latest)
            self._check_workers()
            log.info("resuming after step %d (epoch %d)", progress.step, progress.epoch)
        with self._board() as board, self._stoppable():
            while progress.epoch < self.recipe.epochs and not self._is_stale():
                if any(self._summed([self.stop_asked])):
                    self._exit()
                self._train_epoch()
                self._end_epoch(board)
        if self.accelerator.is_main_process:
            write_history(self.state.history, progress.history)
            self.state.finish()

    def _board(self) -> contextlib.AbstractContextManager[SummaryWriter | None]:
        """Return where the main process draws the curves."""
        if not self.accelerator.is_main_process:
            return contextlib.nullcontext()
        # What an interrupted training logged beyond the state it left is logged again.
        return SummaryWriter(self.out / "tensorboard", purge_step=self.progress.step + 1)

    def _load(self, folder: Path) -> None:
        try:
            self.accelerator.load_state(str(folder))
        except (KeyError, RuntimeError, ValueError) as error:
            raise UserError(
                f"{self.state.folder}: does not fit the training of this version of the code ({code_revision()}); it "
                f"was begun by {self.state.code_revision}. Go on with that version, or delete the folder to train from "
                f"the start. {error}"
            ) from error

    def _check_workers(self) -> None:
        """Refuse a state whose loader had other workers or other shares: it would not know where it stands."""
        for name, now in (("num_workers", self.loader.num_workers), ("processes", self.n_processes)):
            before = getattr(self.progress, name)
            if before != now:
                raise UserError(
                    f"{self.state.folder}: this training was interrupted with runtime.{name} {before}, now it is "
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
        progress, saved_at, n_batches = self.progress, time.monotonic(), self.batches.n_batches
        is_main = self.accelerator.is_main_process
        self.batches.epoch = progress.epoch
        self.network.train()
        label = f"epoch {progress.epoch + 1}/{self.recipe.epochs}"
        bar = tqdm(
            total=n_batches, initial=progress.step_in_epoch, desc=label, unit="step", mininterval=5, disable=not is_main
        )
        with bar:
            for batch in self.loader:
                started = time.monotonic()
                self._step(to_device(batch, self.accelerator.device))
                bar.set_postfix_str(batch.get("task", ""), refresh=False)
                progress.train_seconds += time.monotonic() - started
                bar.update(progress.step_in_epoch - bar.n)
                # Between optimiser steps there are gradients that no state holds; after the last batch the loader's
                # state is that of the next epoch, and `_end_epoch` saves.
                if progress.step_in_epoch % self.recipe.accumulation or progress.step_in_epoch == n_batches:
                    continue
                is_due = is_main and time.monotonic() - saved_at > 60 * self.runtime.checkpoint_minutes
                must_stop, must_save = self._summed([self.stop_asked, is_due])
                if must_stop or must_save:
                    self._save()
                    saved_at = time.monotonic()
                if must_stop:
                    self._exit()

    def _exit(self) -> None:
        log.warning("told to stop: state saved after step %d, run again to go on", self.progress.step)
        sys.exit(STOPPED_EXIT_STATUS)

    def _step(self, batch: dict[str, Any]) -> None:
        """Compute one batch; after the last one of a step, let the optimiser step."""
        progress, n_batches = self.progress, self.batches.n_batches
        number = progress.step_in_epoch + self.accelerator.process_index
        if self.recipe.accumulation > 1:
            set_seed(random.Random(f"{self.seed}/{progress.epoch}/batch {number}").getrandbits(32))
        done = min(progress.step_in_epoch + self.n_processes, n_batches)
        is_last, weight = done % self.recipe.accumulation == 0 or done == n_batches, float(number < n_batches)
        with self.loss.of_batch(is_last):
            with self.accelerator.autocast():
                terms = self.loss(batch, progress.epoch)
            self._require_finite(terms["total"], terms)
            self.accelerator.backward(weight * self.n_processes / self.recipe.accumulation * terms["total"])
        if is_last:
            self._optimise(terms)
        progress.step += done - progress.step_in_epoch
        progress.step_in_epoch = done
        self._add({key: weight * value.item() for key, value in terms.items()}, weight)

    def _add(self, terms: Mapping[str, float], weight: float) -> None:
        """Add the terms of this step, of all processes; batches of different tasks have different terms."""
        for own, count in gather_object([(dict(terms), weight)]) if self.n_processes > 1 else [(terms, weight)]:
            for key, value in own.items():
                total, n = self.progress.sums.get(key, (0.0, 0.0))
                self.progress.sums[key] = (total + value, n + count)

    def _optimise(self, terms: Mapping[str, torch.Tensor]) -> None:
        self.loss.average_statistics()
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        # fp16: a step with infinite gradients is left out and the loss is scaled down.
        if self.accelerator.scaler is None:
            self._require_finite(norm, terms | {"gradient norm": norm})
        self.optimiser.step()
        self.schedule.step()
        self.optimiser.zero_grad()

    def _summed(self, values: Sequence[float]) -> list[float]:
        """Return numbers summed over all processes, which all have to ask."""
        if self.n_processes == 1:
            return list(values)
        mine = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return self.accelerator.reduce(mine, "sum").tolist()

    def _require_finite(self, decisive: torch.Tensor, shown: Mapping[str, torch.Tensor]) -> None:
        if not torch.isfinite(decisive):
            values = {key: value.item() for key, value in shown.items()}
            raise UserError(f"training diverged at step {self.progress.step}: {values}; lower the learning rate")

    def _end_epoch(self, board: SummaryWriter | None) -> None:
        progress = self.progress
        row: dict[str, Any] = {key: total / n for key, (total, n) in progress.sums.items()}
        progress.epoch += 1
        row |= {"epoch": progress.epoch, "step": progress.step, "lr": self.schedule.get_last_lr()[0]}
        if progress.epoch % self.selection["every_epochs"] == 0 or progress.epoch == self.recipe.epochs:
            scores = self._evaluate()
            row |= scores
            self._keep_best(self.choice.value(scores))
        progress.history.append(row)
        progress.step_in_epoch, progress.sums = 0, {}
        for key, value in row.items() if board else ():
            board.add_scalar(key, value, progress.step)
        self._save()
        log.info("epoch %d: %s", progress.epoch, ", ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "epoch"))

    def _evaluate(self) -> dict[str, float]:
        asking = Asking(
            self.standardiser.apply,
            self.recipe.batch_size,
            self.accelerator.device,
            self.seed,
            self.choice.given,
            n_workers=self.runtime.num_workers,
            share=Share(self.accelerator.process_index, self.n_processes),
        )
        return self.choice.scores(self.system, self.accelerator.unwrap_model(self.network), asking)

    def _keep_best(self, score: float) -> None:
        progress = self.progress
        is_better = self.choice.is_better(score, progress.best_score)
        progress.stale_evaluations = 0 if is_better else progress.stale_evaluations + 1
        if not self.choice.is_kept(score, progress.best_score):
            return
        progress.best_score, progress.best_epoch = score, progress.epoch
        state = self.accelerator.unwrap_model(self.network).state_dict()
        notes = self.notes | {"epoch": progress.epoch, "score": score, "train_seconds": progress.train_seconds}
        if self.accelerator.is_main_process:
            write_checkpoint(self.state.best, Trained(state, self.standardiser, notes))

    def _save(self) -> None:
        def write(folder: Path | None) -> None:
            (shared,) = broadcast_object_list([str(folder)])
            self.accelerator.save_state(shared)
            self.accelerator.wait_for_everyone()

        if self.accelerator.is_main_process:
            self.state.save(self.progress.step, write)
        else:
            write(None)


def unequal_shares(system: str, accumulation: int, n_processes: int) -> str:
    """Return what to do about a step that cannot be shared out equally."""
    return (
        f"{system}: settings.train.accumulation: {accumulation} batch(es) per step cannot be shared equally by "
        f"runtime.processes: {n_processes}. Make it a multiple of {n_processes}, and batch_size smaller by the same "
        "factor to keep as many samples per step"
    )


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one JSON object per epoch."""
    write_text(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
