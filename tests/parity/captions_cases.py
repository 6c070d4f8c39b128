"""Cases of caption scores: `NAME.jsonl[.gz]` with captions, references and their tokens, and `NAME.expected.json`."""

from functools import partial
from pathlib import Path

import pytest

from tests.parity.harness import Check
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
from workflow_scripts.lib.metrics.captions import METRICS, evaluate

ENDINGS = (".jsonl", ".preds.jsonl", ".rows.jsonl")
TOLERANCE = 1e-6
METEOR_TOLERANCE = 0.5e-4


def claims(folder: Path) -> bool:
    """Return whether the folder has rows with a candidate and its references."""
    return claims_rows(folder, "captions", ENDINGS, lambda row: "references" in row and "candidate" in row)


def checks(folder: Path) -> list[Check]:
    """Return one check per file of captions."""
    return [Check(name, partial(check_case, folder, name)) for name in case_names(folder)]


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    rows = read_rows(case_file(folder, name, *ENDINGS))
    columns = [[row.get(key) for row in rows] for key in ("id", "candidate", "references", "group")]
    scores = judge(expected, lambda: evaluate(*columns), {str(i) for i in columns[0]})
    if scores is None:
        return
    for group, metrics in expected.get("metrics", {}).items():
        check_metrics(scores.metrics[group], metrics, group)
    for i, row in enumerate(rows):
        tokenized = scores.tokenized[i]
        assert tokenized[0] == row.get("tokenized_candidate", tokenized[0]), row["id"]
        assert tokenized[1] == row.get("tokenized_references", tokenized[1]), row["id"]
        check_metrics({m: scores.per_caption[m][i] for m in METRICS}, {m: row[m] for m in METRICS if m in row}, i)


def check_metrics(found: dict, expected: dict, where: str) -> None:
    others = {key: value for key, value in expected.items() if key != "METEOR"}
    assert_equal_numbers(found, others, rel=TOLERANCE, absolute=TOLERANCE, where=str(where))
    if "METEOR" in expected:
        assert found["METEOR"] == pytest.approx(expected["METEOR"], rel=0, abs=METEOR_TOLERANCE), where
