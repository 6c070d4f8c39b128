"""Predictions in their published forms through the project's own door: import, `read_submission`, `apply_rules`."""

import atexit
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.datasets.annotation_tables import write_annotations
from workflow_scripts.lib.datasets.importing import import_source
from workflow_scripts.lib.metrics.questions import Answers, Question
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.submissions import Leniency, read_submission
from workflow_scripts.lib.scoring.tasks import TASKS

DATASET = "made"
_numbers = count()


@dataclass(frozen=True)
class Submitted:
    """What a file of predictions is scored from, and its scores."""

    rules: str
    question: Question
    answers: Answers
    options: Options

    def scored(self) -> Scored:
        """Return the scores of all queries."""
        return apply_rules(self.rules, self.question, self.answers, self.options)

    def of(self, chosen: Sequence[int]) -> Scored:
        """Return the scores of some queries, given by their places."""
        places = np.array(chosen)
        return apply_rules(self.rules, self.question.rows(places), self.answers.rows(places), self.options)


@cache
def _scratch() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def new_path(ending: str) -> Path:
    """Return a path that nobody has used, in a folder that goes when Python ends."""
    return _scratch() / f"{next(_numbers)}{ending}"


def write_json_file(content: Any) -> Path:
    """Write JSON and return the path."""
    path = new_path(".json")
    path.write_text(json.dumps(content))
    return path


def write_rows(rows: Iterable[Any]) -> Path:
    """Write JSON lines and return the path."""
    path = new_path(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def imported(source_format: str, files: Mapping[str, Path]) -> Path:
    """Import annotation files and return the folder of the canonical tables."""
    source = {"format": source_format, "files": [[split, str(path)] for split, path in files.items()], "items": []}
    annotations, _ = import_source(source, DATASET, None, strict=False)
    folder = new_path("")
    write_annotations(folder, annotations, {})
    return folder


def windows_split(windows: Mapping[str, Sequence[Sequence[float]]], durations_s: Mapping[str, float]) -> AnnotatedSplit:
    """Return a split of queries with annotated windows in seconds, every query in a video of its own."""
    rows = [
        {
            "video": f"video{i}",
            "query": "what",
            "qid": query,
            "duration": durations_s[query],
            "start": start,
            "end": end,
        }
        for i, (query, spans) in enumerate(windows.items())
        for start, end in spans
    ]
    return AnnotatedSplit.read(imported("plain", {"test": write_rows(rows)}), "test")


def submit(
    rules: str,
    split: AnnotatedSplit,
    path: Path,
    options: Options | None = None,
    question: Question | None = None,
    *,
    allow_missing: bool = False,
    empty_as_miss: bool = False,
) -> Submitted:
    """Read a file of predictions as `evaluate_external` does.

    Parameters
    ----------
    question : about queries of the split; None is what the rule set asks of it
    """
    rule_set, options = RULE_SETS[rules], options or Options()
    if question is None:
        question = TASKS[rule_set.task].question(split, rule_set)
    leniency = Leniency.of(rules, options, allow_missing=allow_missing, empty_as_miss=empty_as_miss)
    return Submitted(rules, *read_submission(path, split, rules, question, leniency), options)
