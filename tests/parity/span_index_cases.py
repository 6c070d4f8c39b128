"""Cases of the IMG/ADPN/VSLNet rule: index targets, index -> seconds, IoU, R1 and mean IoU.

One case is a pair `NAME.rows.jsonl[.gz]`, `NAME.expected.json`.
"""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from models.systems.img.targets import span_to_steps, steps_to_seconds
from tests.parity.harness import Check, in_group
from tests.parity.metric_cases import judge, submitted
from tests.submitted import DATASET, windows_split, write_rows

RULES = "span_index"
METRIC_TOLERANCE = 1e-6


def claims(folder: Path) -> bool:
    """Return whether the folder has files of this kind: by its path, or by the fields of the first row."""
    paths = _row_paths(folder)
    if in_group(folder, "span_index"):
        return bool(paths or list(folder.glob("*.expected.json")))
    try:
        return any("pred_start_index" in _read_rows(path)[0] for path in paths)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def checks(folder: Path) -> list[Check]:
    """Return three checks per pair of files."""
    found = []
    names = {path.name.removesuffix(".expected.json") for path in folder.glob("*.expected.json")}
    names |= {path.name.split(".rows.jsonl")[0] for path in _row_paths(folder)}
    for name in sorted(names):
        for function in (check_targets, check_seconds, check_metrics):
            run = lambda _, function=function, name=name: function(*_read_case(folder, name))  # noqa: E731
            found.append(Check(f"{name}-{function.__name__.removeprefix('check_')}", run))
    return found


def _row_paths(folder: Path) -> list[Path]:
    return [*folder.glob("*.rows.jsonl"), *folder.glob("*.rows.jsonl.gz")]


def _read_rows(path: Path) -> list[dict]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.decode().splitlines() if line.strip()]


def _read_case(folder: Path, name: str) -> tuple[list[dict], dict]:
    plain, packed = folder / f"{name}.rows.jsonl", folder / f"{name}.rows.jsonl.gz"
    return _read_rows(plain if plain.is_file() else packed), json.loads((folder / f"{name}.expected.json").read_text())


def check_targets(rows: list[dict], expected: dict) -> None:
    """Clipping of the annotated moment, and its best cell."""
    for row in rows:
        start_s, end_s = row["gt_raw"]
        clipped = [max(0, start_s), min(end_s, row["duration"])]
        assert clipped == row["gt_used"], row
        steps = span_to_steps(*clipped, row["v_len"], row["duration"])
        assert steps == (row["target_start_index"], row["target_end_index"]), row


def check_seconds(rows: list[dict], expected: dict) -> None:
    for row in rows:
        span = steps_to_seconds(row["pred_start_index"], row["pred_end_index"], row["v_len"], row["duration"])
        assert span == (np.float32(row["pred_start"]), np.float32(row["pred_end"])), row


def check_metrics(rows: list[dict], expected: dict) -> None:
    ids = [str(row.get("qid", i)) for i, row in enumerate(rows)]
    durations_s = dict(zip(ids, (row["duration"] for row in rows), strict=True))
    # As they are used, clipped to the video.
    split = windows_split(dict(zip(ids, ([row["gt_used"]] for row in rows), strict=True)), durations_s)
    answers = [
        {"qid": query, "pred_relevant_windows": [[row["pred_start"], row["pred_end"]]]}
        for query, row in zip(ids, rows, strict=True)
    ]
    thresholds = [float(name.removeprefix("R1@")) for name in expected.get("metrics", {}) if name.startswith("R1@")]
    if thresholds:
        expected = expected | {"options": {"thresholds": thresholds} | expected.get("options", {})}
    found = judge(expected, lambda: submitted(RULES, split, write_rows(answers), expected), set(ids))
    if found is None:
        return
    submission, scored = found
    iou_of = dict(zip(submission.question.ids, scored.per_query["mIoU"], strict=True))
    found = [iou_of[f"{DATASET}/test/{query}"] for query in ids]
    np.testing.assert_allclose(found, [row["iou"] for row in rows], rtol=0, atol=METRIC_TOLERANCE)
    official = dict(expected["metrics"])
    assert len(rows) == official.pop("n", len(rows))
    assert scored.metrics == pytest.approx(official, rel=0, abs=METRIC_TOLERANCE)
    for name, text in expected.get("printed", {}).items():
        assert f"{scored.metrics[name]:.2f}" == text, name
