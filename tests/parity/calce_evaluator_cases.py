"""Cases of both evaluators of CALCE in one file, `metric_cases.json[.gz]`: name -> rows and their numbers."""

from functools import partial
from pathlib import Path

import numpy as np

from tests.parity.harness import Check
from tests.parity.metric_cases import EXACT, assert_equal_numbers, case_file, read_json
from tests.unit.made_predictions import moments, qvh_answers, qvh_question, spans
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options

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
    rows = merged(case["submission"])
    scored = apply_rules(
        "calce",
        moments([row["relevant_windows"] for row in rows]),
        spans([row["pred_relevant_windows"] for row in rows]),
        Options(),
    )
    for key in ("R1", "mAP"):
        assert scored.official[key] == case[key], key
    n_rows = [row["n_rows"] for row in rows]
    n_invalid = int(np.dot(n_rows, scored.per_query["invalid"]))
    assert (n_invalid, sum(n_rows)) == (case["invalid_pred_num"], case["n"])
    found = scored.official | {"invalid_predictions": n_invalid / sum(n_rows)}
    assert_equal_numbers(found, {key: case[key] for key in ("R1_avg", "mIoU", "invalid_predictions")}, EXACT)


def merged(rows: list[dict]) -> list[dict]:
    """Return one row per query with the windows of all its rows, and their number as `n_rows`.

    The published script takes repeated rows so; it met them when a sampler for several GPUs had filled up a batch.
    """
    found: dict[str, dict] = {}
    for row in rows:
        one = found.setdefault(row["qid"], {"n_rows": 0, "pred_relevant_windows": [], "relevant_windows": []})
        one["n_rows"] += 1
        for field in ("pred_relevant_windows", "relevant_windows"):
            one[field] = [*one[field], *row[field]]
    return list(found.values())


def check_standalone(case: dict) -> None:
    row_of = {row["qid"]: row for row in case["submission"]}
    question = qvh_question(case["ground_truth"])
    answers = qvh_answers([row_of[row["qid"]] for row in case["ground_truth"]], question)
    assert apply_rules("qvhighlights", question, answers, Options()).official == case["metrics"]
