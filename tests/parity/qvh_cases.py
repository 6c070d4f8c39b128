"""Cases of the QVHighlights evaluator: `NAME.preds.jsonl[.gz]`, `NAME.expected.json`, `NAME.per_query.jsonl[.gz]`."""

import math
from functools import partial
from pathlib import Path

from tests.parity.harness import Check, find_data
from tests.parity.metric_cases import (
    EXPECTED,
    assert_equal_numbers,
    case_file,
    case_names,
    claims_rows,
    judge,
    read_json,
    read_rows,
)
from workflow_scripts.lib.metrics.qvhighlights import evaluate

ENDINGS = (".preds.jsonl",)
ANNOTATIONS = "annotations/qvhighlights/highlight_val_release.jsonl"


def claims(folder: Path) -> bool:
    """Return whether the folder has submissions in the format of QVHighlights."""
    return claims_rows(folder, "qvh", ENDINGS, lambda row: "vid" in row and "qid" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per submission."""
    return [Check(name, partial(check_case, folder, name)) for name in case_names(folder)]


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    rows = read_rows(case_file(folder, name, *ENDINGS))
    truth = annotations_for(expected, rows, data_path)
    ids = {str(row["qid"]) for row in [*rows, *truth] if "qid" in row}
    scores = judge(expected, lambda: evaluate(rows, truth, **expected.get("options", {})), ids)
    if scores is None:
        return
    if "official" in expected:
        assert scores.official == expected["official"]
    if "exact_full_range" in expected:
        found = scores.exact | scores.exact.get("full", {})
        assert_equal_numbers(found, expected["exact_full_range"])
    per_query = case_file(folder, name, ".per_query.jsonl")
    if per_query:
        check_per_query(scores.per_query, read_rows(per_query))


def annotations_for(expected: dict, rows: list[dict], data_path: Path | None) -> list[dict]:
    """Return the annotated rows of a case: those of the submission, or all where the case is about missing ones."""
    source = expected.get("ground_truth", "").split(" ")[0]
    truth = read_rows(find_data(data_path, f"annotations/{source}" if source else ANNOTATIONS))
    asks_for_all = expected.get("tool_error") == "MissingPrediction" or expected.get("options", {}).get("allow_missing")
    if asks_for_all or "(" not in expected.get("ground_truth", "("):
        return truth
    qids = {row.get("qid") for row in rows}
    return [row for row in truth if row["qid"] in qids]


def check_per_query(columns: dict, expected: list[dict]) -> None:
    row_of = {query_id: i for i, query_id in enumerate(columns["query_id"])}
    for row in expected:
        i = row_of[str(row["qid"])]
        for threshold, value in row.get("ap", {}).items():
            assert math.isclose(columns[f"AP@{threshold}"][i], value, rel_tol=1e-9, abs_tol=1e-12), row["qid"]
        if "top1_iou" in row:
            assert math.isclose(columns["IoU"][i], row["top1_iou"], rel_tol=1e-9, abs_tol=1e-12), row["qid"]
        for level in ("Fair", "Good", "VeryGood"):
            if f"hl_ap_{level}" in row:
                mean = sum(row[f"hl_ap_{level}"]) / len(row[f"hl_ap_{level}"])
                assert math.isclose(columns[f"HL-AP-{level}"][i], mean, rel_tol=1e-9, abs_tol=1e-12), row["qid"]
                assert columns[f"HL-Hit1-{level}"][i] == row[f"hl_hit1_{level}"]
