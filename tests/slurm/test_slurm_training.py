"""Trainings on a real SLURM that meet their time limit, are requeued, or take two nodes: the result stays the same."""

import json
import shutil
from pathlib import Path

import pytest

from tests.slurm.slurm_workflow import SlurmWorkflow, wait_until
from tests.workflow.run_snakemake import Workflow, require_success, wait_for_end, without_timings
from workflow_scripts.lib.training.checkpoint import read_checkpoint

pytestmark = [pytest.mark.workflow, pytest.mark.slow, pytest.mark.timeout(3600)]

METRICS = "demo/img/metrics.json"
WAIT_S = 1800
LONG, SHORT = 30, 2
"""Epochs: enough to be met in the middle twice, and few."""


def tiny_training(epochs: int, **runtime: float) -> dict:
    """Return the demo with few videos and a training of so many epochs, two batches per step."""
    train = {"epochs": epochs, "batch_size": 4, "accumulation": 2}
    system = {
        "streams": {"visual": {"names": ["rgb_histogram"], "standardise": True}},
        "settings": {"train": train},
        "runtime": {"checkpoint_minutes": 0.1, **runtime},
        "evaluation": {"zero_streams": []},
    }
    generate = {"train": 6, "val": 2, "test": 2}
    return {"datasets": {"demo": {"generate": generate, "n_shards": 1, "systems": {"img": system}}}}


@pytest.fixture
def trained_locally(tmp_path):
    """Return the folder of a workflow that ran to the end on this machine."""

    def train(epochs: int) -> Path:
        workflow = Workflow(tmp_path / "local", tiny_training(epochs))
        workflow.folder.mkdir()
        require_success(wait_for_end(workflow.start(METRICS), WAIT_S))
        return workflow.folder

    return train


def untrained_copy(cluster, folder: Path, finished: Path, config: dict) -> SlurmWorkflow:
    """Return a workflow for the cluster in a copy of a finished folder, without its training."""
    shutil.copytree(finished, folder, symlinks=True)
    shutil.rmtree(folder / "results/demo/img")
    return SlurmWorkflow(cluster, folder, config)


def require_same_weights(workflow: SlurmWorkflow, finished: Path) -> None:
    name = "demo/img/seed0/checkpoint.safetensors"
    found, expected = (read_checkpoint(results / name).state for results in (workflow.results, finished / "results"))
    assert all((found[key] == value).all() for key, value in expected.items())


def test_a_training_that_is_requeued_and_meets_its_time_limit_gives_the_same_metrics(
    cluster, tmp_path, trained_locally
):
    finished = trained_locally(LONG)
    workflow = untrained_copy(cluster, tmp_path / "work", finished, tiny_training(LONG))
    state = workflow.results / "demo/img/seed0/state"
    # One minute is the shortest limit that SLURM knows; the next attempt gets enough.
    options = ("--retries", "1", "--set-resources", "train:runtime=1 + 30 * (attempt - 1)")
    started = workflow.start(METRICS, options=options)
    wait_until(lambda: list(state.glob("step*")), "a saved state")
    (first,) = workflow.jobs("train", "RUNNING")
    cluster.ask("scontrol", "requeue", first)
    wait_until(lambda: cluster.show(first)["JobState"] == "PENDING", "a requeued job")
    before = set(state.glob("step*"))
    wait_until(lambda: set(state.glob("step*")) - before, "a later state")
    # However fast this machine is, the training does not end before its limit.
    cluster.stop_processes(first, "workflow_scripts.train")
    require_success(wait_for_end(started, WAIT_S))
    jobs = workflow.jobs("train")
    assert [cluster.show(job)["JobState"] for job in jobs] == ["TIMEOUT", "COMPLETED"]
    assert cluster.show(first)["Restarts"] == "1"
    assert "resuming after step" in (workflow.results / "demo/logs/img/train_seed0.log").read_text()
    require_same_weights(workflow, finished)
    metrics = [json.loads((results / METRICS).read_text()) for results in (workflow.results, finished / "results")]
    assert without_timings(metrics[0]) == without_timings(metrics[1])


def test_two_nodes_train_together_to_the_metrics_of_one_process(cluster, tmp_path, trained_locally):
    finished = trained_locally(SHORT)
    workflow = untrained_copy(cluster, tmp_path / "work", finished, tiny_training(SHORT, processes=2))
    shape = ("nodes=2", "tasks=2", "mpi=srun", "cpus_per_task=1")
    geometry = [f"{rule}:{part}" for rule in ("train", "predict") for part in shape]
    started = workflow.start(METRICS, options=("--set-resources", *geometry))
    require_success(wait_for_end(started, WAIT_S))
    (job,) = workflow.jobs("train")
    assert cluster.show(job)["NumNodes"] == "2"
    ours, theirs = (results / "demo/img/seed0/history.jsonl" for results in (workflow.results, finished / "results"))
    rows = [[json.loads(line) for line in path.read_text().splitlines()] for path in (ours, theirs)]
    assert len(rows[0]) == SHORT
    for row, expected in zip(*rows, strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-4)
