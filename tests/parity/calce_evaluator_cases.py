"""Cases of both evaluators of CALCE in one file, `metric_cases.json[.gz]`: name -> rows and their numbers."""

from functools import partial
from pathlib import Path

from tests.parity.harness import Check
from tests.parity.metric_cases import EXACT, assert_equal_numbers, case_file, read_json
from workflow_scripts.lib.metrics import calce, qvhighlights

NAME, ENDING = "metric_cases", ".json"


def claims(folder: Path) -> bool:
    """Return whether the folder has the file, with submissions in it."""
    path = case_file(folder, NAME, ENDING)
    if path is None:
        return False
    cases = read_json(path)
    return isinstance(cases, dict) and all(isinstance(case, dict) and "submission" in case for case in cases.values())


def checks(folder: Path) -> list[Check]:
    """Return one check per case."""
    cases = read_json(case_file(folder, NAME, ENDING))
    return [Check(f"evaluator-{name}", _bind(case)) for name, case in cases.items()]


def _bind(case: dict):
    run = partial(check_standalone if "ground_truth" in case else check_in_run, case)
    return lambda data_path: run()


def check_in_run(case: dict) -> None:
    found = calce.evaluate(case["submission"], merge_repeats=True).official
    for key in ("R1", "mAP", "invalid_pred_num"):
        assert found[key] == case[key], key
    assert found["total"] == case["n"]
    assert_equal_numbers(found, {key: case[key] for key in ("R1_avg", "mIoU", "invalid_predictions")}, EXACT)


def check_standalone(case: dict) -> None:
    assert qvhighlights.evaluate(case["submission"], case["ground_truth"]).official == case["metrics"]
