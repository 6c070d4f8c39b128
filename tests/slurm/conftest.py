"""A SLURM for all tests of this folder; they are skipped where none can be started."""

import os
import shutil

import pytest

from tests.slurm.slurm_workflow import SlurmWorkflow, start_cluster, stop_cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A running cluster."""
    if os.geteuid() != 0:
        pytest.skip("SLURM's node daemon needs root")
    if shutil.which("slurmctld") is None:
        pytest.skip("no SLURM here; on Debian: apt-get install --no-install-recommends slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    try:
        yield start_cluster(folder)
    finally:
        stop_cluster(folder)


@pytest.fixture
def on_slurm(cluster, tmp_path):
    """Make a workflow in a folder of this test."""

    def make(config: dict, folder: str = "work") -> SlurmWorkflow:
        (tmp_path / folder).mkdir()
        return SlurmWorkflow(cluster, tmp_path / folder, config)

    return make
