"""What the handlers of metric cases share: reading rows, options, and judging errors that a tool must raise."""

import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.parity.harness import in_group
from tests.submitted import Submitted, submit
from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.metrics.questions import Question
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

EXACT = 1e-9
"""Relative tolerance of numbers that the reference computes in float64."""
SINGLE = 1e-6
"""Absolute tolerance of numbers that the reference computes in float32."""
EXPECTED = ".expected.json"
GROUPS = ("qvh", "calce", "span_index", "ranked_spans", "score_maps", "hirest", "captions")
"""Sub-folders of a folder `metrics`, which tell what kind their cases are of."""


def read_text(path: Path) -> str:
    """Return the text of a file, plain or gzipped."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode()


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, plain or gzipped."""
    return json.loads(read_text(path))


def read_rows(path: Path) -> list[dict]:
    """Return the rows of a file of JSON lines, plain or gzipped."""
    return [json.loads(line) for line in read_text(path).splitlines() if line.strip()]


def case_names(folder: Path) -> list[str]:
    """Return the names of the cases of a folder, by their expected files."""
    return sorted(path.name.removesuffix(EXPECTED) for path in folder.glob(f"*{EXPECTED}"))


def case_file(folder: Path, name: str, *endings: str) -> Path | None:
    """Return the file NAME + one of the endings, plain or gzipped, or None."""
    for ending in endings:
        for path in (folder / f"{name}{ending}", folder / f"{name}{ending}.gz"):
            if path.is_file():
                return path
    return None


def claims_rows(folder: Path, group: str, endings: tuple[str, ...], is_row: Callable[[dict], bool]) -> bool:
    """Return whether a folder has cases of a group: by its path, or by the first row of its first prediction file."""
    names = case_names(folder)
    if not names:
        return False
    if any(in_group(folder, "metrics", name) for name in GROUPS):
        return in_group(folder, "metrics", group)
    files = [path for name in names if (path := case_file(folder, name, *endings))]
    try:
        with gzip.open(files[0], "rt") if files[0].suffix == ".gz" else files[0].open() as lines:
            return is_row(json.loads(next(lines)))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return False


def judge(expected: dict, evaluate: Callable[[], Any], ids: set[str] | None = None) -> Any | None:
    """Evaluate and return the result, or return None after an error that the case asks for or allows.

    Parameters
    ----------
    expected : content of the expected file
    evaluate : called without arguments
    ids : of the predictions and annotations; one of them must be in the message
    """
    allowed = {expected[key] for key in ("tool_error",) if key in expected}
    if not allowed and "official_error" not in expected:
        return evaluate()
    if not allowed:
        try:
            return evaluate()
        except DataError as error:
            logging.info("%s", error)
            return None
    with pytest.raises(DataError) as caught:
        evaluate()
    names = {error.__name__ for error in type(caught.value).__mro__}
    assert allowed & names, f"{caught.value!r}"
    if ids:
        assert any(i in str(caught.value) for i in ids), f"{caught.value!r} names no query"
    return None


def submitted(
    rules: str, split: AnnotatedSplit, path: Path, expected: dict, question: Question | None = None
) -> tuple[Submitted, Scored]:
    """Read a file of predictions and score it, under the options that an expected file names.

    Parameters
    ----------
    expected : content of the expected file; its `options` are those of a prediction file or of `Options`
    question : see `submit`
    """
    options = dict(expected.get("options", {}))
    accepted = {key: options.pop(key) for key in ("allow_missing", "empty_as_miss") if key in options}
    submission = submit(rules, split, path, Options(**options), question, **accepted)
    return submission, submission.scored()


def assert_equal_numbers(found: Any, expected: Any, rel: float = EXACT, absolute: float = 0.0, where: str = "") -> None:
    """Compare nested dicts of numbers; every expected entry must be there and equal within the tolerance."""
    if isinstance(expected, dict):
        missing = expected.keys() - found.keys()
        assert not missing, f"{where}: no {sorted(missing)}"
        for key, value in expected.items():
            assert_equal_numbers(found[key], value, rel, absolute, f"{where}/{key}")
    elif isinstance(expected, str):
        assert str(found) == expected, where
    else:
        assert found == pytest.approx(expected, rel=rel, abs=absolute), where
