"""Scores of IMG, MRNet and CALCE on the demo are, to the last digit, those that were reported before tasks had types.

`tests/data/demo_scores` holds the answers of three runs of the whole workflow and what was reported about them.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.unit.made_benchmarks import run_entry_point
from workflow_scripts import evaluate, import_annotations
from workflow_scripts.lib.datasets.demo.event_plan import plan_demo
from workflow_scripts.lib.datasets.demo.sources import write_sources
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, answers_path
from workflow_scripts.lib.store.atomic import write_json
from workflow_scripts.lib.store.tables import write_table

ROOT = Path(__file__).resolve().parents[2]
RECORDED = ROOT / "tests" / "data" / "demo_scores"


@pytest.fixture
def demo(tmp_path, monkeypatch) -> Plan:
    """The plan of a results folder that holds the demo's tables."""
    monkeypatch.chdir(tmp_path)
    write_sources(Path("results/demo/source/annotations"), plan_demo(0, {"train": 100, "val": 20, "test": 30}))
    plan = Plan({}, ROOT / "config", lambda file: pytest.fail(f"{file} is not there"))
    given = ("--settings", plan.jobs.file("import_annotations", dataset="demo"))
    key = plan.jobs.key("import_annotations", dataset="demo")
    out = ("--dataset", "demo", "--manifest", "--out", "results/demo/annotations")
    run_entry_point(monkeypatch, import_annotations, *given, "--key", key, *out)
    return plan


@pytest.mark.parametrize("system", ["img", "mrnet", "calce"])
def test_scores_on_the_demo_do_not_change_by_a_digit(demo, system, monkeypatch):
    settings, run = demo.systems.settings("demo", system), Path(f"results/demo/{system}/seed0/test")
    shutil.copytree(RECORDED / system, run)
    for task in SCHEMAS.keys() - {"moments"}:
        write_table(answers_path(run, task), SCHEMAS[task].empty_table())
    wanted = json.loads((run / "metrics.json").read_text())
    n_asked = wanted["counts"]["queries"]
    summary = {
        "tasks": {"moments": {"asked": n_asked, "skipped": {}}},
        "unreadable": wanted["counts"]["unreadable"],
        "device": "cpu",
    }
    write_json(run / "predict.json", summary | {key: {} for key in ("recipes", "weights", "checkpoint", "seconds")})
    run_entry_point(monkeypatch, evaluate, "--settings", settings, "--run", run, "--out", run / "metrics.json")
    found = json.loads((run / "metrics.json").read_text())
    # The baselines follow the rule set beside which they stand since: that of MRNet has single precision.
    for name, baseline in wanted.pop("baselines", {}).items():
        assert found["baselines"][name]["metrics"] == pytest.approx(
            found["baselines"][name]["metrics"] | baseline["metrics"]
        )
    missing = list(differences(wanted, found))
    assert not missing, "\n".join(missing)


def differences(wanted, found, place=""):
    """Yield what is recorded and not found, place by place; what is new is no difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from differences(value, found.get(key), f"{place}/{key}")
    elif wanted != found:
        yield f"{place}: {wanted} was reported, now {found}"
