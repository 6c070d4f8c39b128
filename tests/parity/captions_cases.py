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
from tests.submitted import write_rows
from workflow_scripts.lib.metrics.captions import METRICS, tokenized
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.scoring.caption_lines import ALL, read_caption_lines

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
    fields = {"id": "id", "caption": "candidate", "references": "references", "group": "group"}
    lines = [{ours: row[theirs] for ours, theirs in fields.items() if theirs in row} for row in rows]
    ids = {str(row["id"]) for row in rows if "id" in row}
    found = judge(expected, lambda: scored(lines), ids)
    if found is None:
        return
    for group, metrics in expected.get("metrics", {}).items():
        n = len(found[group].per_query["CIDEr"])
        check_metrics(found[group].metrics | {"n": n}, metrics, group)
    texts = tokenized([row["candidate"] for row in rows], [row["references"] for row in rows])
    for i, row in enumerate(rows):
        assert texts.own_tokens[i] == row.get("tokenized_candidate", texts.own_tokens[i]), row["id"]
        assert texts.reference_tokens[i] == row.get("tokenized_references", texts.reference_tokens[i]), row["id"]
        own = {metric: found[ALL].per_query[metric][i] for metric in METRICS}
        check_metrics(own, {metric: row[metric] for metric in METRICS if metric in row}, i)


def scored(lines: list[dict]) -> dict[str, Scored]:
    """Return the scores of all captions and of every group."""
    return read_caption_lines(write_rows(lines)).scored("captions", Options())


def check_metrics(found: dict, expected: dict, where: str) -> None:
    others = {key: value for key, value in expected.items() if key != "METEOR"}
    assert_equal_numbers(found, others, rel=TOLERANCE, absolute=TOLERANCE, where=str(where))
    if "METEOR" in expected:
        assert found["METEOR"] == pytest.approx(expected["METEOR"], rel=0, abs=METEOR_TOLERANCE), where
