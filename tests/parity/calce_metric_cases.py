"""Cases of CALCE's evaluator: `NAME.preds.jsonl[.gz]` with `NAME.expected.json`, and strings with their windows."""

from functools import partial
from pathlib import Path

from tests.parity.harness import Check, in_group
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
from workflow_scripts.lib.metrics.calce import evaluate, parse_windows

ENDINGS = (".preds.jsonl",)


def claims(folder: Path) -> bool:
    """Return whether the folder has rows with predicted and annotated windows, or strings to parse."""
    if in_group(folder, "metrics", "calce") and _parsing_files(folder):
        return True
    return claims_rows(folder, "calce", ENDINGS, lambda row: "relevant_windows" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per prediction file and per file of strings."""
    found = [Check(name, partial(check_case, folder, name)) for name in case_names(folder)]
    return found + [Check(path.name.split(".")[0], partial(check_parsing, path)) for path in _parsing_files(folder)]


def _parsing_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in [*folder.glob("*.json"), *folder.glob("*.json.gz")]
        if not path.name.endswith(EXPECTED) and "cases" in read_json(path)
    )


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    rows = read_rows(case_file(folder, name, *ENDINGS))
    ids = {str(row["qid"]) for row in rows if "qid" in row}
    scores = judge(expected, lambda: evaluate(rows, **expected.get("options", {})), ids)
    if scores is None or "official" not in expected:
        return
    official = dict(expected["official"])
    for key in ("R1", "mAP", "invalid_pred_num", "total"):
        if key in official:
            assert scores.official[key] == official.pop(key), key
    assert_equal_numbers(scores.official, official)


def check_parsing(path: Path, data_path: Path | None) -> None:
    for case in read_json(path)["cases"]:
        crashes = isinstance(case["out"], dict) and "error" in case["out"]
        assert parse_windows(case["in"]) == ([[-1, -1]] if crashes else case["out"]), case["in"]
