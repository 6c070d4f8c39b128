"""Cases of ranked candidate spans under the rules of 2D-TAN and of MMN and MRNet."""

import re
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
)
from workflow_scripts.lib.metrics.ranked_spans import MMN, TAN, Rule, evaluate_rows

ENDINGS = (".preds.jsonl",)
RULES = {"tan_strict_greater": TAN, "mmn_mrnet_greater_equal": MMN}
METRIC_NAME = re.compile(r"R@(\d+),IoU>=?(.+)")


def claims(folder: Path) -> bool:
    """Return whether the folder has rows with candidates."""
    return claims_rows(folder, "ranked_spans", ENDINGS, lambda row: "candidates" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per case and rule."""
    return [
        Check(f"{name}-{rule.name}", partial(check_case, folder, name, key, rule))
        for name in case_names(folder)
        for key, rule in RULES.items()
    ]


def check_case(folder: Path, name: str, key: str, rule: Rule, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    rows = read_rows(case_file(folder, name, *ENDINGS))
    of_rule = expected.get(key, {})
    official = {_our_name(metric): value for metric, value in of_rule.items() if "error" not in metric}
    thresholds = sorted({float(metric.split("@")[1]) for metric in official if "@" in metric}) or [0.3, 0.5, 0.7]
    outcome = {
        field: source[field]
        for source in (expected, of_rule)
        for field in ("tool_error", "official_error")
        if field in source
    }
    run = partial(evaluate_rows, rows, rule, expected.get("nms_threshold", 0.5), thresholds)
    ids = {str(row["vid"]) for row in rows if "vid" in row}
    scores = judge(outcome, lambda: run(**expected.get("options", {})), ids)
    if scores is None:
        return
    if "min_kept" in official:
        assert scores.n_kept.min() == official.pop("min_kept")
    tolerance = {} if rule is TAN else {"rel": 0.0, "absolute": SINGLE}
    assert_equal_numbers(scores.metrics, official, **tolerance)


def _our_name(metric: str) -> str:
    match = METRIC_NAME.fullmatch(metric)
    return f"R{match[1]}@{float(match[2])}" if match else metric
