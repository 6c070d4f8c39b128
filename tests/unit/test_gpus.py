"""Jobs that run side by side on a machine of several GPUs take one each."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from workflow_scripts.lib.extraction.gpus import take_gpus, visible_gpus

ROOT = Path(__file__).resolve().parents[2]
JOB = """
    import os, sys
    from workflow_scripts.lib.extraction.gpus import take_gpus
    take_gpus(int(sys.argv[1]))
    print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
    if sys.argv[2] == "becomes":
        os.execvp("cat", ["cat"])
    sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start jobs that take GPUs and hold them until they are told to end."""
    jobs = []

    def start_job(count: int, visible: str, kind: str = "stays") -> list[str]:
        job = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(JOB), str(count), kind],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": visible, "TMPDIR": str(tmp_path)},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        jobs.append(job)
        return job.stdout.readline().strip().split(",")

    start_job.jobs = jobs
    yield start_job
    for job in jobs:
        job.kill()
        job.communicate()


def test_every_job_takes_a_gpu_of_its_own_and_more_jobs_share(start):
    given = [start(1, "0,1,GPU-77") for _ in range(3)]
    assert sorted(given) == [["0"], ["1"], ["GPU-77"]]
    assert start(1, "0,1,GPU-77")[0] in ("0", "1", "GPU-77")


def test_a_training_takes_several_and_hands_them_to_what_it_becomes(start):
    assert start(2, "0,1,2", "becomes") == ["0", "1"]
    assert start(1, "0,1,2") == ["2"]


def test_a_gpu_is_free_again_when_its_job_was_killed(start):
    assert start(1, "0,1") == ["0"]
    start.jobs[0].kill()
    start.jobs[0].wait()
    assert start(1, "0,1") == ["0"]


@pytest.mark.parametrize("listed", ["", "3"])
def test_what_a_scheduler_has_given_out_is_left_alone(monkeypatch, listed):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    take_gpus()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == listed


def test_without_a_driver_there_is_no_gpu(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []
