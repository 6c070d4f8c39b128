"""The workflow on a real SLURM: jobs that end well, fail once, need more memory, are cancelled, share a cache."""

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.slurm.slurm_workflow import (
    SlurmWorkflow,
    finished_videos,
    read_index,
    small_demo,
    wait_until,
)
from tests.workflow.run_snakemake import ROOT, Workflow, require_success, wait_for_end

pytestmark = [pytest.mark.workflow, pytest.mark.timeout(1800)]

FEATURE = "demo/features/rgb_histogram"
INDEX = f"{FEATURE}/index.parquet"
LONG = 40
"""Videos in a shard that takes long enough to be met in the middle."""


def require_equal_rows(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for video_id, rows in expected.items():
        np.testing.assert_array_equal(found[video_id], rows)


def odd_python(folder: Path) -> Path:
    """Return the Python of this environment in a folder whose name asks for quotes."""
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder)
    python = folder / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    return python


def test_jobs_run_where_and_with_what_their_rules_ask_for(on_slurm, tmp_path):
    settings = small_demo(n_shards=2, features={"rgb_histogram": {"runtime": {"gpu": 1, "mem_mb": 1200}}})
    workflow = on_slurm(settings, "a user's work")
    workflow.copy_code()
    workflow.snakemake = [str(odd_python(tmp_path / "it's Python")), "-m", "snakemake"]
    run = require_success(workflow.run(INDEX, options=("--set-resources", "extract_visual:slurm_partition=gpu")))
    assert run.rules["extract_visual"] == 2
    for job in workflow.jobs("extract_visual"):
        asked = workflow.cluster.show(job)
        assert asked["Partition"] == "gpu"
        assert "gpu:1" in asked["TresPerJob"]
        assert asked["MinMemoryNode"] == "1200M"
    (group,) = workflow.jobs("media")
    assert workflow.cluster.show(group)["Partition"] == "cpu"
    for rule in ("collect_manifest", "index_features"):
        assert run.rules[rule] == 1
        assert workflow.jobs(rule) == []
    locally = Workflow(tmp_path / "local", workflow.config)
    locally.folder.mkdir()
    locally.finish(INDEX)
    require_equal_rows(read_index(workflow, "rgb_histogram"), read_index(locally, "rgb_histogram"))
    assert workflow.run(INDEX).is_nothing_to_do


@pytest.mark.slow
def test_features_of_one_pass_are_one_job_per_shard(on_slurm, tmp_path):
    settings = small_demo(n_shards=2, features={"rgb_histogram": {"runtime": {"mem_mb": 700}}})
    workflow = on_slurm({**settings, "one_pass": "always"})
    indices = (INDEX, "demo/features/blip2_frames_tiny/index.parquet")
    run = require_success(workflow.run(*indices))
    assert (run.rules["extract_pass"], run.rules["extract_visual"]) == (2, 0)
    for job in workflow.jobs("extract_pass"):
        assert int(workflow.cluster.show(job)["MinMemoryNode"].rstrip("M")) > 700
    locally = Workflow(tmp_path / "local", {**settings, "one_pass": "never"})
    locally.folder.mkdir()
    assert locally.finish(*indices).rules["extract_pass"] == 0
    for feature in ("rgb_histogram", "blip2_frames_tiny"):
        require_equal_rows(read_index(workflow, feature), read_index(locally, feature))
    assert workflow.run(*indices).is_nothing_to_do


@pytest.mark.slow
def test_a_job_killed_for_its_memory_is_sent_again_with_more(on_slurm):
    workflow = on_slurm(small_demo(features={"rgb_histogram": {"runtime": {"mem_mb": 200}}}))
    require_success(workflow.run(INDEX, options=("--retries", "3")))
    jobs = workflow.jobs("extract_visual")
    memory = [workflow.cluster.show(job)["MinMemoryNode"] for job in jobs]
    assert len(jobs) > 1
    assert memory == [f"{200 * attempt}M" for attempt in range(1, len(jobs) + 1)]
    states = [workflow.cluster.show(job)["JobState"] for job in jobs]
    assert states[0] != "COMPLETED"
    assert states[-1] == "COMPLETED"


@pytest.mark.slow
def test_a_job_that_fails_once_is_sent_again(on_slurm):
    workflow = on_slurm(small_demo())
    in_the_way = workflow.results / FEATURE / "0000.journal"
    in_the_way.mkdir(parents=True)  # a folder where the job wants a file
    started = workflow.start(INDEX)
    wait_until(lambda: workflow.jobs("extract_visual", "FAILED"), "a failed job")
    in_the_way.rmdir()
    require_success(wait_for_end(started))
    assert len(workflow.jobs("extract_visual")) == 2


@pytest.mark.slow
def test_a_cancelled_job_goes_on_from_its_last_finished_video(on_slurm):
    workflow = on_slurm(small_demo(n_videos=LONG))
    started = workflow.start(INDEX)
    kept = met_in_the_middle(workflow)
    workflow.cluster.ask("scancel", *workflow.jobs("extract_visual", "RUNNING"))
    require_success(wait_for_end(started))
    ((reused, computed),) = workflow.reused_and_computed("demo", "rgb_histogram").values()
    assert reused >= kept
    assert reused + computed == LONG
    assert computed > 0


@pytest.mark.slow
def test_after_ctrl_c_the_queue_is_empty_and_a_new_call_goes_on(on_slurm):
    workflow = on_slurm(small_demo(n_videos=LONG))
    started = workflow.start(INDEX)
    kept = met_in_the_middle(workflow)
    os.kill(started.pid, signal.SIGINT)
    assert wait_for_end(started).status != 0
    wait_until(lambda: workflow.cluster.is_empty, "an empty queue")
    require_success(workflow.run(INDEX))
    ((reused, computed),) = workflow.reused_and_computed("demo", "rgb_histogram").values()
    assert reused >= kept
    assert reused + computed == LONG


@pytest.mark.slow
def test_two_workflows_share_one_cache(on_slurm, tmp_path):
    config = small_demo(n_videos=12) | {"paths": {"feature_cache": str(tmp_path / "cache")}}
    pair = [on_slurm(config, name) for name in ("first", "second")]
    for workflow, started in [(workflow, workflow.start(INDEX)) for workflow in pair]:
        require_success(wait_for_end(started))
        assert len(read_index(workflow, "rgb_histogram")) == 12
    require_equal_rows(read_index(pair[0], "rgb_histogram"), read_index(pair[1], "rgb_histogram"))
    assert finished_videos(tmp_path / "cache") == 12
    third = on_slurm(config, "third")
    require_success(third.run(INDEX))
    assert third.reused_and_computed("demo", "rgb_histogram") == {"0000": (12, 0)}


@pytest.mark.slow
def test_a_job_of_a_node_that_dies_goes_on_on_another_from_its_last_finished_video(on_slurm):
    workflow = on_slurm(small_demo(n_videos=LONG))
    started = workflow.start(INDEX)
    kept = met_in_the_middle(workflow)
    (job,) = workflow.jobs("extract_visual", "RUNNING")
    node = workflow.cluster.show(job)["NodeList"]
    workflow.cluster.ask("scontrol", "update", f"NodeName={node}", "State=DRAIN", "Reason=to be killed")
    workflow.cluster.kill_node(node, job)
    try:
        require_success(wait_for_end(started))
    finally:
        workflow.cluster.revive_node(node)
    last = workflow.jobs("extract_visual")[-1]
    assert workflow.cluster.show(last)["NodeList"] != node
    ((reused, computed),) = workflow.reused_and_computed("demo", "rgb_histogram").values()
    assert reused >= kept
    assert reused + computed == LONG


@pytest.mark.slow
@pytest.mark.parametrize(("partition", "n_jobs"), [("cancelled", 2), ("requeued", 1)])
def test_a_preempted_job_runs_again_and_goes_on_from_its_last_finished_video(on_slurm, partition, n_jobs):
    workflow = on_slurm(small_demo(n_videos=LONG))
    if partition == "cancelled":
        workflow.environment["PATH"] = f"{ROOT / 'profiles/slurm/preempted'}:{workflow.environment['PATH']}"
    started = workflow.start(INDEX, options=("--set-resources", f"extract_visual:slurm_partition={partition}"))
    kept = met_in_the_middle(workflow)
    (job,) = workflow.jobs("extract_visual", "RUNNING")
    node = workflow.cluster.show(job)["NodeList"]
    urgent = ("--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 1")
    workflow.cluster.ask("sbatch", *urgent)
    require_success(wait_for_end(started))
    assert len(workflow.jobs("extract_visual")) == n_jobs
    assert workflow.cluster.show(job)["JobState"] == ("PREEMPTED" if partition == "cancelled" else "COMPLETED")
    ((reused, computed),) = workflow.reused_and_computed("demo", "rgb_histogram").values()
    assert reused >= kept
    assert reused + computed == LONG


def met_in_the_middle(workflow: SlurmWorkflow) -> int:
    """Wait until the extraction has finished some videos; return how many at least."""
    parts = workflow.results / FEATURE
    return wait_until(lambda: finished_videos(parts), "a finished video")
