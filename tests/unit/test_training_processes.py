"""A training by two processes on this machine gives what one process gives, and goes on after an interruption."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.systems.interface import System
from tests.unit.made_processes import by_processes
from tests.unit.made_training import N_EPOCHS, STEPS_PER_EPOCH, made_settings, made_training
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.checkpoint import read_checkpoint
from workflow_scripts.lib.training.loop import STOPPED_EXIT_STATUS
from workflow_scripts.lib.training.processes import launch
from workflow_scripts.lib.training.samples import EpochBatches, SharedBatches
from workflow_scripts.lib.training.sharing import Share

ROOT = Path(__file__).resolve().parents[2]
ACCUMULATION = 2


def train(out: Path, n_processes: int, *options: str) -> subprocess.CompletedProcess:
    """Train the made system by this many processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes), "--module"]
    command = [sys.executable, *(launcher if n_processes > 1 else ["-m"]), "tests.unit.made_training", str(out)]
    return subprocess.run(
        [*command, "--accumulation", str(ACCUMULATION), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def trained(out: Path, n_processes: int, *options: str) -> Path:
    done = train(out, n_processes, *options)
    assert done.returncode == 0, done.stderr
    return out


def accumulating(n_batches: int) -> dict:
    return made_settings(config__settings__train__accumulation=n_batches)


@pytest.fixture(scope="module")
def by_one(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("one")
    by_processes(1, lambda _: made_training(out, accumulating(ACCUMULATION)).run(), out / "returned")
    return out


def history(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "state/history.jsonl").read_text().splitlines()]


def require_same(out: Path, expected: Path) -> None:
    rows, wanted = history(out), history(expected)
    assert len(rows) == len(wanted) == N_EPOCHS
    for row, other in zip(rows, wanted, strict=True):
        assert row == pytest.approx(other, rel=1e-5, abs=1e-6)
    best, other = (read_checkpoint(folder / "state/best.safetensors") for folder in (out, expected))
    assert best.notes["epoch"] == other.notes["epoch"]
    assert best.state.keys() == other.state.keys()
    for key, value in other.state.items():
        torch.testing.assert_close(best.state[key], value, rtol=1e-4, atol=1e-5, msg=key)


def test_two_processes_give_the_weights_and_the_curves_of_one(tmp_path, by_one):
    # Five batches per epoch: the last row has one batch for two processes.
    assert STEPS_PER_EPOCH % ACCUMULATION
    require_same(trained(tmp_path, 2), by_one)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "best.safetensors",
        "finished.json",
        "history.jsonl",
        "key.json",
    ]


@pytest.mark.slow
def test_two_processes_that_are_told_to_stop_go_on_where_they_were(tmp_path, by_one):
    stopped = train(tmp_path, 2, "--stop-first-at", "7")
    assert stopped.returncode != 0
    assert "state saved after step 7" in stopped.stderr
    assert f"exitcode  : {STOPPED_EXIT_STATUS}" in stopped.stderr
    assert [path.name for path in (tmp_path / "state").glob("step*")] == ["step7"]
    require_same(trained(tmp_path, 2), by_one)


def test_a_step_that_cannot_be_shared_equally_is_refused_with_the_remedy(tmp_path):
    def refusal(_: Share) -> str:
        with pytest.raises(UserError) as refused:
            made_training(tmp_path, accumulating(3))
        return str(refused.value)

    said = by_processes(2, refusal, tmp_path / "returned")
    assert len(said) == 2
    assert all("3 batch(es) per step cannot be shared equally by runtime.processes: 2" in each for each in said)


@pytest.mark.slow
def test_another_number_of_processes_cannot_take_over_and_says_so(tmp_path):
    train(tmp_path, 2, "--stop-first-at", "2")
    refused = train(tmp_path, 1)
    assert "interrupted with runtime.processes 2, now it is 1. Set it back" in refused.stderr


@pytest.mark.parametrize(("n_items", "n_processes"), [(18, 2), (18, 3), (16, 4), (3, 4), (1, 1)])
def test_every_batch_of_an_epoch_goes_to_one_process(n_items, n_processes):
    batches = EpochBatches(System(None, {}, {}), range(n_items), 4, seed=1)
    (whole,) = [list(SharedBatches(batches, 0, 1))]
    shares = [SharedBatches(batches, process, n_processes) for process in range(n_processes)]
    assert len({len(share) for share in shares}) == 1
    rows = list(zip(*(list(share) for share in shares), strict=True))
    assert len(rows) == len(shares[0])
    given = [batch for row in rows for batch in row]
    assert given[: len(whole)] == whole
    assert all(batch == whole[0] for batch in given[len(whole) :])
    assert len(given) - len(whole) < n_processes


def test_processes_that_the_nodes_cannot_share_are_refused():
    with pytest.raises(UserError, match="3 cannot be shared equally by the 2 nodes"):
        launch("workflow_scripts.train", 3, 2, 1)
