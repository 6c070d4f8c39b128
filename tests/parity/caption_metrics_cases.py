"""Scores that the public package gives captions: `caption_metrics.json`, in the forms of QUAG's and UniQ4Cap's folders.

One form is a list of `items` with scores by name and by item, the other lists of texts with one reference each. Scores
are fractions.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.parity.harness import Check, has_files
from tests.submitted import write_rows
from workflow_scripts.lib.metrics.captions import tokenized
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.scoring.caption_lines import ALL, read_caption_lines

FILE = "caption_metrics.json"
TOLERANCE = 1e-9
METEOR_TOLERANCE = 1e-6
"""Absolute: METEOR is rounded by its program."""


@dataclass(frozen=True)
class Case:
    """Captions with what is expected of them: tokens, scores of all, and of each (by metric, in order)."""

    captions: list[str]
    references: list[list[str]]
    caption_tokens: list[str]
    reference_tokens: list[list[str]]
    scores: dict[str, float]
    scores_of_each: dict[str, list[float]]
    chosen_by: float | None
    """CIDEr + BLEU-4, which a checkpoint is chosen by."""


def claims(folder: Path) -> bool:
    """Return whether the folder holds scores of captions."""
    return has_files(folder, FILE)


def checks(folder: Path) -> list[Check]:
    """Return the one check of the file."""
    return [Check("caption-metrics", partial(check_metrics, folder / FILE))]


def check_metrics(path: Path, data_path: Path | None) -> None:
    stored = json.loads(path.read_text())
    case = of_items(stored) if "items" in stored else of_lists(stored)
    pairs = zip(case.captions, case.references, strict=True)
    lines = [{"id": str(i), "caption": caption, "references": refs} for i, (caption, refs) in enumerate(pairs)]
    scored = read_caption_lines(write_rows(lines)).scored("captions", Options())[ALL]
    for name, expected in case.scores.items():
        tolerance = METEOR_TOLERANCE if name == "METEOR" else TOLERANCE
        assert scored.metrics[name] / 100 == pytest.approx(expected, rel=0, abs=tolerance), name
        assert scored.per_query[name] == pytest.approx(case.scores_of_each[name], rel=0, abs=tolerance), name
    if case.chosen_by is not None:
        own = (scored.metrics["CIDEr"] + scored.metrics["Bleu_4"]) / 100
        assert own == pytest.approx(case.chosen_by, rel=0, abs=TOLERANCE)
    texts = tokenized(case.captions, case.references)
    assert list(texts.own_tokens) == case.caption_tokens
    assert list(texts.reference_tokens) == case.reference_tokens


def of_items(stored: dict[str, Any]) -> Case:
    items, each = stored["items"], stored["per_item"]
    ids = [item["id"] for item in items]
    return Case(
        captions=[item["prediction"] for item in items],
        references=[item["references"] for item in items],
        caption_tokens=[stored["tokenised_predictions"][i][0] for i in ids],
        reference_tokens=[stored["tokenised_references"][i] for i in ids],
        scores=stored["corpus"],
        scores_of_each={name: [each[i][name] for i in ids] for name in stored["corpus"]},
        chosen_by=stored.get("agg_metric"),
    )


def of_lists(stored: dict[str, Any]) -> Case:
    bleu = {f"Bleu_{n}": value for n, value in enumerate(stored["BLEU"], 1)}
    bleu_of_each = {f"Bleu_{n}": values for n, values in enumerate(stored["BLEU_each"], 1)}
    others = [name for name in ("METEOR", "ROUGE_L", "CIDEr") if name in stored]
    return Case(
        captions=stored["hypotheses"],
        references=[[reference] for reference in stored["references"]],
        caption_tokens=stored["tok_hypotheses"],
        reference_tokens=[[tokens] for tokens in stored["tok_references"]],
        scores=bleu | {name: stored[name] for name in others},
        scores_of_each=bleu_of_each | {name: stored[f"{name}_each"] for name in others},
        chosen_by=None,
    )
