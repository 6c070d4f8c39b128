"""The same rules under other executors than SLURM's: any submit command works, Kubernetes' demand is said at once."""

import os
from pathlib import Path

import pytest

from tests.workflow.own_videos import LIGHT_INDEX, own_videos, query
from tests.workflow.run_snakemake import ROOT, Workflow, require_success

pytestmark = pytest.mark.workflow

QUERIES = [query("a.mp4"), query("b.mp4")]
QSUB = """#!/bin/bash
# A scheduler of one line: notes what it was asked for, starts the script and prints an id.
echo "$@" >> {asked}
bash "${{@: -1}}" > /dev/null 2>&1 &
echo $!
"""


class Elsewhere(Workflow):
    """A workflow whose jobs another executor runs."""

    def command(self, *targets: str, options: tuple[str, ...] = ()) -> list[str]:
        local = super().command(*targets, options=options)
        cores = local.index("--cores")
        return [*local[:cores], *local[cores + 2 :]]


@pytest.fixture
def two_clips(tmp_path) -> Workflow:
    made = own_videos(tmp_path, QUERIES, clips=("a.mp4", "b.mp4"))
    return Elsewhere(made.folder, made.config)


def profile(name: str) -> tuple[str, ...]:
    return ("--profile", str(ROOT / "profiles" / name))


def test_any_submit_command_runs_the_jobs_with_what_their_rules_ask_for(two_clips):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason="the generic executor is not installed")
    asked, tools = two_clips.folder / "asked.txt", two_clips.folder / "bin"
    tools.mkdir()
    (tools / "qsub").write_text(QSUB.format(asked=asked))
    (tools / "qsub").chmod(0o755)
    two_clips.environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"}
    options = (*profile("generic"), "--latency-wait", "10")
    planned = require_success(two_clips.run(LIGHT_INDEX, options=(*options, "--dry-run")))
    assert planned.rules["extract_visual"] == 2
    assert not asked.exists()
    run = require_success(two_clips.run(LIGHT_INDEX, options=options))
    assert run.rules["extract_visual"] == 2
    submitted = asked.read_text().splitlines()
    # Two shards of two probes and plans are one group; the extractions are jobs of their own, the rest runs here.
    assert len(submitted) == 3
    assert all("-terse -cwd" in line and Path(line.split()[-1]).name.startswith("snakejob") for line in submitted)
    assert sum("h_vmem=4000M -l h_rt=120:00" in line for line in submitted) == 2
    assert two_clips.run(LIGHT_INDEX, options=options).is_nothing_to_do


def test_kubernetes_asks_for_the_object_store_that_feature_stores_cannot_be_kept_in(two_clips):
    pytest.importorskip("snakemake_executor_plugin_kubernetes", reason="the Kubernetes executor is not installed")
    planned = two_clips.run(LIGHT_INDEX, options=("--executor", "kubernetes", "--jobs", "2", "--dry-run"))
    assert planned.status != 0
    assert "--default-storage-provider" in planned.output
