"""Cases of the QVHighlights evaluator: `NAME.preds.jsonl[.gz]`, `NAME.expected.json`, `NAME.per_query.jsonl[.gz]`."""

import math
from functools import partial
from pathlib import Path

import numpy as np

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
    submitted,
)
from tests.submitted import Submitted, imported, write_rows
from workflow_scripts.lib.metrics.qvhighlights import LENGTH_RANGES, exact_numbers, score_highlights, score_ranges
from workflow_scripts.lib.metrics.window_ap import THRESHOLDS
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

ENDINGS = (".preds.jsonl",)
ANNOTATIONS = "annotations/qvhighlights/highlight_val_release.jsonl"
RULES, SPLIT = "qvhighlights", "val"


def claims(folder: Path) -> bool:
    """Return whether the folder has submissions in the format of QVHighlights."""
    return claims_rows(folder, "qvh", ENDINGS, lambda row: "vid" in row and "qid" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per submission."""
    return [Check(name, partial(check_case, folder, name)) for name in case_names(folder)]


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    path = case_file(folder, name, *ENDINGS)
    rows = read_rows(path)
    truth = annotations_for(expected, rows, data_path)
    ids = {str(row["qid"]) for row in [*rows, *truth] if "qid" in row}
    split = AnnotatedSplit.read(imported("qvhighlights", {SPLIT: write_rows(truth)}), SPLIT)
    found = judge(expected, lambda: submitted(RULES, split, path, expected), ids)
    if found is None:
        return
    submission, scored = found
    if "official" in expected:
        assert scored.official == expected["official"]
    if "exact_full_range" in expected:
        numbers = exact(submission)
        found = numbers | numbers.get("full", {}) | {"MR-mIoU": scored.metrics.get("mIoU")}
        assert_equal_numbers(found, expected["exact_full_range"])
    per_query = case_file(folder, name, ".per_query.jsonl")
    if per_query:
        check_per_query(columns(submission), read_rows(per_query))


def annotations_for(expected: dict, rows: list[dict], data_path: Path | None) -> list[dict]:
    """Return the annotated rows of a case: those of the submission, or all where the case is about missing ones."""
    source = expected.get("ground_truth", "").split(" ")[0]
    truth = read_rows(find_data(data_path, f"annotations/{source}" if source else ANNOTATIONS))
    asks_for_all = expected.get("tool_error") == "MissingPrediction" or expected.get("options", {}).get("allow_missing")
    if asks_for_all or "(" not in expected.get("ground_truth", "("):
        return truth
    qids = {row.get("qid") for row in rows}
    return [row for row in truth if row["qid"] in qids]


def _parts(submission: Submitted) -> tuple[dict, dict]:
    """Return the scores by range of lengths and by minimum rating, as the rule set computes them."""
    question, answers, options = submission.question, submission.answers, submission.options
    ranges, highlights = {}, {}
    if answers.windows is not None:
        windows = answers.windows.clipped(question.durations_s) if options.clip else answers.windows
        ranges = score_ranges(windows, question.targets, LENGTH_RANGES, options)
    if answers.clips is not None:
        highlights = score_highlights(answers.clips, question.ratings)
    return ranges, highlights


def exact(submission: Submitted) -> dict:
    """Return the numbers before they are rounded."""
    return exact_numbers(*_parts(submission))


def columns(submission: Submitted) -> dict[str, np.ndarray]:
    """Return the values of every query: `qid`, `AP@t`, `IoU`, `HL-AP-<rating>`, `HL-Hit1-<rating>`."""
    ranges, highlights = _parts(submission)
    found = {"qid": np.array([name.rpartition("/")[2] for name in submission.question.ids])}
    if "full" in ranges:
        scores = ranges["full"].scores
        found |= {f"AP@{t}": scores.ap[:, i] for i, t in enumerate(THRESHOLDS)} | {"IoU": scores.iou}
    for name, scores in highlights.items():
        found |= {f"HL-AP-{name}": scores.ap, f"HL-Hit1-{name}": scores.hit}
    return found


def check_per_query(found: dict, expected: list[dict]) -> None:
    row_of = {query_id: i for i, query_id in enumerate(found["qid"])}
    for row in expected:
        i = row_of[str(row["qid"])]
        for threshold, value in row.get("ap", {}).items():
            assert math.isclose(found[f"AP@{threshold}"][i], value, rel_tol=1e-9, abs_tol=1e-12), row["qid"]
        if "top1_iou" in row:
            assert math.isclose(found["IoU"][i], row["top1_iou"], rel_tol=1e-9, abs_tol=1e-12), row["qid"]
        for level in ("Fair", "Good", "VeryGood"):
            if f"hl_ap_{level}" in row:
                mean = sum(row[f"hl_ap_{level}"]) / len(row[f"hl_ap_{level}"])
                assert math.isclose(found[f"HL-AP-{level}"][i], mean, rel_tol=1e-9, abs_tol=1e-12), row["qid"]
                assert found[f"HL-Hit1-{level}"][i] == row[f"hl_hit1_{level}"]
