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
    submitted,
)
from tests.submitted import windows_split
from workflow_scripts.lib.metrics.calce import parse_windows
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

ENDINGS = (".preds.jsonl",)
RULES = "calce"


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
    path = case_file(folder, name, *ENDINGS)
    rows = read_rows(path)
    ids = {str(row["qid"]) for row in rows if "qid" in row}
    found = judge(expected, lambda: submitted(RULES, split_of(rows), path, expected), ids)
    if found is None or "official" not in expected:
        return
    _, scored = found
    official = dict(expected["official"])
    for key in ("R1", "mAP", "invalid_pred_num", "total"):
        if key in official:
            assert scored.official[key] == official.pop(key), key
    assert_equal_numbers(scored.official, official)


def split_of(rows: list[dict]) -> AnnotatedSplit:
    """Return the annotated windows of the rows as a split; the videos end with the latest annotated moment."""
    windows = {str(row["qid"]): row["relevant_windows"] for row in rows if "qid" in row and "relevant_windows" in row}
    return windows_split(windows, {query: max(end for _, end in found) + 1 for query, found in windows.items()})


def check_parsing(path: Path, data_path: Path | None) -> None:
    for case in read_json(path)["cases"]:
        crashes = isinstance(case["out"], dict) and "error" in case["out"]
        assert parse_windows(case["in"]) == ([[-1, -1]] if crashes else case["out"]), case["in"]
