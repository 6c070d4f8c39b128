"""One small run of the demo for all tests that need a finished one; tests that change it work on a copy."""

from dataclasses import dataclass

import pytest

from tests.workflow.run_snakemake import Run, Workflow

TARGETS = ("demo/img/metrics.json", "demo/img/report.html")
TINY_DEMO = {
    "generate": {"train": 6, "val": 2, "test": 2},
    "n_shards": 2,
    "systems": {"img": {"settings": {"train": {"epochs": 1}}}},
}


@dataclass(frozen=True)
class FinishedRun:
    """A finished demo; `run` is the call that made it."""

    workflow: Workflow
    run: Run


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The finished tiny demo."""
    workflow = Workflow(tmp_path_factory.mktemp("demo"), {"datasets": {"demo": TINY_DEMO}})
    run = workflow.finish(*TARGETS)
    return FinishedRun(workflow, run)
