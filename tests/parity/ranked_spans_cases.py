"""Cases of ranked candidate spans under the rules of 2D-TAN and of MMN and MRNet."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

from tests.parity.harness import Check
from tests.parity.metric_cases import (
    EXPECTED,
    SINGLE,
    assert_equal_numbers,
    case_file,
    case_names,
    claims_rows,
    judge,
    read_json,
    read_rows,
    submitted,
)
from tests.submitted import DATASET, windows_split, write_rows
from tests.unit.made_predictions import moments
from workflow_scripts.lib.metrics.questions import Moments
from workflow_scripts.lib.metrics.ranked_spans import MMN, TAN, kept_iou
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

ENDINGS = (".preds.jsonl",)
RULES = {"2d_tan_strict": TAN, "mmn_float32": MMN}
RULES_OF_KEYS = {"tan_strict_greater": "2d_tan_strict", "mmn_mrnet_greater_equal": "mmn_float32"}
METRIC_NAME = re.compile(r"R@(\d+),IoU>=?(.+)")


def claims(folder: Path) -> bool:
    """Return whether the folder has rows with candidates."""
    return claims_rows(folder, "ranked_spans", ENDINGS, lambda row: "candidates" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per case and rule."""
    return [
        Check(f"{name}-{RULES[rules].name}", partial(check_case, folder, name, key, rules))
        for name in case_names(folder)
        for key, rules in RULES_OF_KEYS.items()
    ]


def check_case(folder: Path, name: str, key: str, rules: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    path = case_file(folder, name, *ENDINGS)
    rows = read_rows(path)
    of_rule = expected.get(key, {})
    official = {_our_name(metric): value for metric, value in of_rule.items() if "error" not in metric}
    thresholds = sorted({float(metric.split("@")[1]) for metric in official if "@" in metric}) or [0.3, 0.5, 0.7]
    outcome = {
        field: source[field]
        for source in (expected, of_rule)
        for field in ("tool_error", "official_error")
        if field in source
    }
    options = {"thresholds": tuple(thresholds), "nms_threshold": expected.get("nms_threshold", 0.5)}
    options |= expected.get("options", {})
    split, question = asked(rows)
    named = write_rows(map(with_id, rows))
    ids = {str(row["vid"]) for row in rows if "vid" in row}
    found = judge(outcome, lambda: submitted(rules, split, named, {"options": options}, question), ids)
    if found is None:
        return
    submission, scored = found
    if "min_kept" in official:
        counts = kept_iou(submission.question, submission.answers.windows, RULES[rules], options["nms_threshold"])[1]
        assert counts.min() == official.pop("min_kept")
    tolerance = {} if RULES[rules] is TAN else {"rel": 0.0, "absolute": SINGLE}
    assert_equal_numbers(scored.metrics, official, **tolerance)


def with_id(row: dict) -> dict:
    """Return the row with the name of its query in one field."""
    names = {"qid": f"{row['vid']}#{row['sentence_index']}"} if "vid" in row and "sentence_index" in row else {}
    return names | {key: value for key, value in row.items() if key not in ("vid", "sentence_index")}


def asked(rows: list[dict]) -> tuple[AnnotatedSplit, Moments]:
    """Return the queries of the rows as a split, and their annotated moments as they are: no view cuts or drops any."""
    named = {row["qid"]: row for row in map(with_id, rows) if "qid" in row and "gt" in row}
    # Without a duration nothing lies outside: past every candidate that a float32 can hold.
    durations_s = {query: row.get("duration", 1e30) for query, row in named.items()}
    split = windows_split({query: [row["gt"]] for query, row in named.items()}, durations_s)
    question = moments([[row["gt"]] for row in named.values()], list(durations_s.values()))
    return split, replace(question, ids=[f"{DATASET}/test/{query}" for query in named])


def _our_name(metric: str) -> str:
    match = METRIC_NAME.fullmatch(metric)
    return f"R{match[1]}@{float(match[2])}" if match else metric
