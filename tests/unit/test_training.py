"""The training loop on a tiny system: it learns, keeps the best epoch, and goes on exactly after any interruption."""

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from models.systems.interface import System
from tests.unit.made_training import (
    N_EPOCHS,
    STEPS_PER_EPOCH,
    made_data,
    made_settings,
    made_training,
    signal_after,
)
from workflow_scripts.lib.errors import UserError, explain_os_error
from workflow_scripts.lib.store.atomic import sibling
from workflow_scripts.lib.training.checkpoint import read_checkpoint
from workflow_scripts.lib.training.loop import STOPPED_EXIT_STATUS, Training
from workflow_scripts.lib.training.samples import EpochBatches, SharedBatches
from workflow_scripts.lib.training.state import StateFolder
from workflow_scripts.lib.versions import code_revision

ROOT = Path(__file__).resolve().parents[2]
PLAIN = System(None, {}, {})
NO_PROCESS = 2**22 + 1
"""Above the largest process id of Linux."""


@pytest.fixture(autouse=True)
def _own_accelerate_state():
    """Give every training the state of a fresh process; accelerate keeps it for the whole process."""
    reset()
    yield
    reset()


def reset():
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def run(out: Path, settings, stop_after: int | None = None):
    """Train in `out`, from whatever is there, and return the training; it may be told to stop."""
    reset()
    training = made_training(out, settings)
    if stop_after is None:
        training.run()
        return training
    signal_after(training, stop_after, signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped:
        training.run()
    assert stopped.value.code == STOPPED_EXIT_STATUS == 128 + signal.SIGTERM
    return training


def outcome(training) -> dict:
    """Return everything that has to be the same however often a training was interrupted."""
    best = read_checkpoint(training.state.best)
    notes = {key: value for key, value in best.notes.items() if key != "train_seconds"}
    return {
        "weights": {key: value.clone() for key, value in training.network.state_dict().items()},
        "best": best.state,
        "notes": notes,
        "history": [json.loads(line) for line in training.state.history.read_text().splitlines()],
        "lr": training.schedule.get_last_lr(),
    }


def assert_same(found: dict, wanted: dict):
    assert found["history"] == wanted["history"]
    assert found["notes"] == wanted["notes"]
    assert found["lr"] == wanted["lr"]
    for part in ("weights", "best"):
        assert found[part].keys() == wanted[part].keys()
        assert all(torch.equal(found[part][key], value) for key, value in wanted[part].items()), part


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the outcome of an uninterrupted training by number of batches per optimiser step."""

    @functools.cache
    def of(accumulation: int) -> dict:
        settings = made_settings(config__settings__train__accumulation=accumulation)
        return outcome(run(tmp_path_factory.mktemp("uninterrupted"), settings))

    return of


def run_program(out: Path, *options: str) -> subprocess.CompletedProcess:
    """Run the training as a program of its own, in a process group of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tests.unit.made_training", str(out), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def test_training_lowers_the_loss(tmp_path):
    settings = made_settings(
        config__settings__loss={"distillation_warmup_epochs": 0, "gate_warmup_epochs": 0},
        config__settings__train__epochs=6,
    )
    history = run(tmp_path, settings).progress.history
    assert history[-1]["total"] < 0.7 * history[0]["total"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in history] == [STEPS_PER_EPOCH * epoch for epoch in range(1, 7)]
    assert history[-1]["lr"] == 0.0
    assert {"R1@0.3", "R1@0.5", "R1@0.7", "mIoU", "total"} <= history[-1].keys()


def test_the_same_seed_gives_the_same_training(tmp_path, uninterrupted):
    assert_same(outcome(run(tmp_path, made_settings())), uninterrupted(1))


@pytest.mark.parametrize(
    ("accumulation", "stop_after"), [(1, 1), (1, 4), (1, 5), (1, 7), (1, 9), (2, 1), (2, 5), (2, 7)]
)
def test_a_stopped_training_goes_on_exactly_where_it_was(tmp_path, uninterrupted, accumulation, stop_after):
    settings = made_settings(config__settings__train__accumulation=accumulation)
    stopped = run(tmp_path, settings, stop_after)
    # Half an optimiser step and a whole epoch cannot be saved: the stop waits for their end.
    assert stop_after <= stopped.progress.step <= stop_after + accumulation - 1
    assert stopped.state.latest().name == f"step{stopped.progress.step}"
    assert_same(outcome(run(tmp_path, settings)), uninterrupted(accumulation))


def test_a_training_may_be_stopped_any_number_of_times(tmp_path, uninterrupted):
    for stop_after in (2, 3, 5, 6, 9):
        run(tmp_path, made_settings(), stop_after)
    assert_same(outcome(run(tmp_path, made_settings())), uninterrupted(1))


def test_a_stop_in_the_last_step_of_all_lets_the_training_end(tmp_path, uninterrupted):
    training = made_training(tmp_path, made_settings())
    signal_after(training, N_EPOCHS * STEPS_PER_EPOCH, signal.SIGTERM)
    training.run()
    assert training.state.is_finished
    assert_same(outcome(training), uninterrupted(1))


def test_other_handlers_of_the_signals_come_back(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path, made_settings(config__settings__train__epochs=1))
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_killed_training_goes_on_exactly_from_its_last_complete_checkpoint(tmp_path, uninterrupted):
    state = tmp_path / "state"
    killed = run_program(tmp_path, "--save-every-step", "--die-in-save", "8")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name.split(".tmp-")[0] for path in state.glob("step*")) == ["step7", "step8"]
    assert StateFolder(state, "key").latest() == state / "step7"
    assert [path.name for path in state.glob("step*")] == ["step7"]
    assert_same(outcome(run(tmp_path, made_settings())), uninterrupted(1))


def test_a_crash_between_the_best_weights_and_the_state_changes_nothing(tmp_path, uninterrupted):
    training = made_training(tmp_path, made_settings())
    save = training._save

    def crash_at_the_end():
        if training.progress.epoch == N_EPOCHS:
            raise KeyboardInterrupt
        save()

    training._save = crash_at_the_end
    with pytest.raises(KeyboardInterrupt):
        training.run()
    assert training.state.latest().name == f"step{STEPS_PER_EPOCH}"
    assert_same(outcome(run(tmp_path, made_settings())), uninterrupted(1))


def test_data_loader_workers_change_nothing_and_leave_the_stop_to_the_training(tmp_path, uninterrupted):
    stopped = run_program(tmp_path, "--num-workers", "1", "--stop-group-at", "7")
    assert stopped.returncode == STOPPED_EXIT_STATUS, stopped.stderr
    assert "told to stop: state saved after step 7" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert_same(outcome(run(tmp_path, made_settings(runtime__num_workers=1))), uninterrupted(1))


def test_another_number_of_workers_cannot_take_over_and_says_so(tmp_path):
    run(tmp_path, made_settings(), stop_after=2)
    with pytest.raises(UserError, match=r"state: .*runtime\.num_workers 0, now it is 1\. Set it back"):
        run(tmp_path, made_settings(runtime__num_workers=1))


def test_a_state_of_another_number_of_processes_is_not_gone_on_from(tmp_path):
    training = made_training(tmp_path, made_settings())
    training.progress.processes = 2
    with pytest.raises(UserError, match=r"state: .*runtime\.processes 2, now it is 1\. Set it back .* delete"):
        training._check_workers()


def test_a_state_of_another_version_of_the_code_says_which_and_what_to_do(tmp_path):
    run(tmp_path, made_settings(), stop_after=2)
    key = tmp_path / "state/key.json"
    key.write_text(json.dumps(json.loads(key.read_text()) | {"code_revision": "0123abc"}))
    wider = made_settings(config__settings__network__dim=20)
    message = (
        rf"state: does not fit .*\({code_revision()[:7]}.* begun by 0123abc\. .* delete the folder .*size mismatch"
    )
    with pytest.raises(UserError, match=f"(?s){message}"):
        run(tmp_path, wider)


def test_a_log_of_steps_that_are_trained_again_is_replaced(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, made_settings(), stop_after=STEPS_PER_EPOCH)
    history = run(tmp_path, made_settings()).progress.history
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("total")
    assert [event.step for event in events] == [row["step"] for row in history]
    assert [event.value for event in events] == pytest.approx([row["total"] for row in history])


def test_a_finished_training_says_so_and_drops_its_resumable_checkpoints(tmp_path):
    run(tmp_path, made_settings(config__settings__train__epochs=1))
    state = StateFolder(tmp_path / "state", "key")
    assert state.is_finished
    assert state.latest() is None
    assert sorted(path.name for path in state.folder.iterdir()) == [
        "best.safetensors",
        "finished.json",
        "history.jsonl",
        "key.json",
    ]


def test_the_state_of_other_settings_or_data_is_discarded(tmp_path):
    run(tmp_path, made_settings(config__settings__train__epochs=1))
    state = StateFolder(tmp_path / "state", "another key")
    assert not state.is_finished
    assert [path.name for path in state.folder.iterdir()] == ["key.json"]


@pytest.mark.parametrize("says", ["I/O error: No space left on device (os error 28)", "file write failed"])
def test_a_full_disk_is_told_as_such_and_the_last_good_state_stays(tmp_path, monkeypatch, says):
    state = StateFolder(tmp_path, "key")
    state.save(3, lambda folder: folder.mkdir())

    def write(folder):
        folder.mkdir()
        monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=0 if "failed" in says else 2**40))
        raise RuntimeError(says)

    with pytest.raises(OSError, match="No space left on device") as full:
        state.save(7, write)
    assert "no disk space left while writing" in explain_os_error(full.value)
    assert state.latest() == tmp_path / "step3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json", "step3"]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**40))
    with pytest.raises(RuntimeError, match="another fault"):
        state.save(8, lambda folder: (_ for _ in ()).throw(RuntimeError("another fault")))


def test_the_latest_state_is_that_of_the_highest_step(tmp_path):
    state = StateFolder(tmp_path, "key")
    for name in ("step9", "step10", "step2"):
        (tmp_path / name).mkdir()
    assert state.latest() == tmp_path / "step10"


def test_half_written_checkpoints_are_ignored_and_swept(tmp_path):
    state = StateFolder(tmp_path, "key")
    state.save(3, lambda folder: folder.mkdir())
    for name in ("step9", "best.safetensors"):
        leftover = sibling(tmp_path / name, "tmp")
        leftover.with_name(leftover.name.replace(f"-{os.getpid()}-", f"-{NO_PROCESS}-")).mkdir()
    assert state.latest() == tmp_path / "step3"
    assert StateFolder(tmp_path, "key").latest() == tmp_path / "step3"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json", "step3"]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path):
    state = StateFolder(tmp_path, "key")
    state.save(1, lambda folder: folder.mkdir())

    def fail(folder: Path):
        folder.mkdir()
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        state.save(2, fail)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.json", "step1"]


def test_a_loss_that_is_no_number_ends_the_training_with_its_terms_and_a_remedy(tmp_path):
    training = made_training(tmp_path, made_settings())
    loss = training.system.loss
    training.system.loss = lambda *given: {name: term * float("nan") for name, term in loss(*given).items()}
    with pytest.raises(UserError, match=r"training diverged at step 0: .*'total': nan.*lower the learning rate"):
        training.run()


def test_gradients_that_are_no_numbers_end_the_training_before_they_reach_the_weights(tmp_path):
    training = made_training(tmp_path, made_settings())
    next(training.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match=r"diverged at step 0: .*'gradient norm': (nan|inf).*lower the learning rate"):
        training.run()
    assert all(torch.isfinite(weight).all() for weight in training.network.state_dict().values())


def test_a_selection_metric_that_nobody_computes_names_those_there_are(tmp_path):
    settings = made_settings(config__selection__metric=["mAP"], config__settings__train__epochs=1)
    with pytest.raises(UserError, match=r"selection\.metric: 'mAP' is not there; choose from R1@0\.3, R1@0\.5"):
        run(tmp_path, settings)


def scored(tmp_path, scores: list[float], **selection):
    """Train with made-up scores of the selection split; return the training."""
    settings = made_settings(
        config__settings__train={"epochs": len(scores), "batch_size": 16},
        config__selection=selection,
    )
    training, left = made_training(tmp_path, settings), iter(scores)
    training._evaluate = lambda: {"R1@0.5": next(left)}
    training.run()
    return training


@pytest.mark.parametrize(("ties", "epoch"), [("first", 2), ("last", 3)])
def test_of_equally_good_epochs_the_first_is_kept_unless_the_last_is_wanted(tmp_path, ties, epoch):
    training = scored(tmp_path, [10.0, 30.0, 30.0, 20.0], ties=ties)
    notes = read_checkpoint(training.state.best).notes
    assert (notes["epoch"], notes["score"]) == (epoch, 30.0)
    assert (training.progress.best_epoch, training.progress.best_score) == (epoch, 30.0)


def test_less_can_be_better(tmp_path):
    training = scored(tmp_path, [30.0, 10.0, 20.0], mode="min", patience=1)
    assert (training.progress.best_epoch, training.progress.best_score) == (2, 10.0)


def test_several_metrics_are_added_up(tmp_path):
    settings = made_settings(config__selection__metric=["R1@0.5", "mIoU"], config__settings__train__epochs=1)
    training = run(tmp_path, settings)
    [row] = training.progress.history
    assert training.progress.best_score == row["R1@0.5"] + row["mIoU"]


def test_a_checkpoint_can_be_chosen_by_losses_on_the_selection_split(tmp_path):
    settings = made_settings(config__selection={"loss": ["location_av", "location_v"], "mode": "min"})
    training = run(tmp_path, settings)
    sums = [row["select_location_av"] + row["select_location_v"] for row in training.progress.history]
    assert training.progress.best_score == min(sums)
    assert "R1@0.5" not in training.progress.history[0]
    again = made_settings(config__selection={"loss": ["no_such"], "mode": "min"}, config__settings__train__epochs=1)
    with pytest.raises(UserError, match=r"selection\.loss: 'no_such' is not there; choose from .*location_av"):
        run(tmp_path / "again", again)


@pytest.mark.parametrize(
    ("scores", "n_epochs"),
    [([1.0, 2.0, 1.0, 1.0, 9.0], 4), ([1.0, 2.0, 2.0, 2.0, 9.0], 4), ([1.0, 0.0, 2.0, 0.0, 3.0], 5)],
)
def test_patience_counts_evaluations_without_improvement(tmp_path, scores, n_epochs):
    training = scored(tmp_path, scores, patience=2)
    assert training.progress.epoch == len(training.progress.history) == n_epochs
    assert training.state.is_finished


def test_selection_looks_every_few_epochs_and_at_the_last_one(tmp_path):
    training = scored(tmp_path, [1.0, 2.0, 3.0, 4.0, 5.0], every_epochs=2)
    assert [("R1@0.5" in row) for row in training.progress.history] == [False, True, False, True, True]


def test_queries_that_cannot_be_used_are_left_out_and_none_at_all_is_an_error(tmp_path):
    data, settings = made_data(tmp_path / "annotations"), made_settings()
    state = StateFolder(tmp_path / "state", "key")
    for item in data.select.items:
        item.annotated.moments.resize((0, 2), refcheck=False)
    with pytest.raises(UserError, match=r"no usable selection query; left out: \{'no_moment': 6\}"):
        Training(settings, data, tmp_path, state, 0)


def test_an_epoch_visits_every_item_once_in_an_order_of_its_own():
    sampler = SharedBatches(EpochBatches(PLAIN, range(20), 3, seed=1), 0, 1)
    first = [place for batch in sampler for place in batch]
    sampler.epoch = 1
    second = [place for batch in sampler for place in batch]
    assert sorted(index for _, index in first) == sorted(index for _, index in second) == list(range(20))
    assert [index for _, index in first] != [index for _, index in second]
    assert {epoch for epoch, _ in second} == {1}
    sampler.epoch = 0
    assert [place for batch in sampler for place in batch] == first


class Grouping:
    """A system that puts units of one kind into a batch, in an order that it draws."""

    def __init__(self, n_more: int = 0) -> None:
        self.asked, self.n_more = 0, n_more

    def batches(self, units, size, rng, epoch):
        kinds = sorted(set(units))
        groups = [[i for i, unit in enumerate(units) if unit == kind][:size] for kind in kinds]
        rng.shuffle(groups)
        self.asked += 1
        return groups + [[0]] * (self.n_more * (self.asked - 1))


def test_a_system_may_say_which_units_share_a_batch():
    batches = EpochBatches(Grouping(), ["a", "b", "a", "c", "b"], 2, seed=0)
    assert batches.n_batches == 3
    epochs = [[[index for _, index in batch] for batch in batches.of(epoch)] for epoch in range(6)]
    assert all(sorted(epoch) == [[0, 2], [1, 4], [3]] for epoch in epochs)
    assert len({str(epoch) for epoch in epochs}) > 1
    assert batches.of(4) == batches.of(4)


def test_a_system_that_makes_more_batches_in_a_later_epoch_is_refused():
    batches = EpochBatches(Grouping(n_more=1), ["a", "b"], 2, seed=0)
    with pytest.raises(UserError, match=r"3 batches in epoch 2, 2 in the first; .* equally many in every epoch"):
        batches.of(1)
