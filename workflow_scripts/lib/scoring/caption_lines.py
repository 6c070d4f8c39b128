"""Captions with their references in one file of JSON lines, and their scores, overall and per group."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.datasets.source_files import read_json_lines, require
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.errors import DuplicateQuery, refuse_duplicates
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.scoring.json_values import checked_list, checked_text

ALL = "all"


@dataclass(frozen=True)
class CaptionLines:
    """N captions.

    Attributes
    ----------
    question : references and pictures
    answers : captions
    groups : N names; None for a caption of no group
    """

    question: Captions
    answers: Captions
    groups: Sequence[str | None]

    def scored(self, rules: str, options: Options) -> dict[str, Scored]:
        """Return the scores of all captions (`all`), and of every group on its own.

        A group without any picture has no CLIPScore.
        """
        found = {ALL: apply_rules(rules, self.question, self.answers, options)}
        for group in sorted(set(self.groups) - {None}):
            members = np.array([i for i, own in enumerate(self.groups) if own == group])
            question = self.question.rows(members)
            is_shown = any(question.pictures)
            also = tuple(metric for metric in options.also if is_shown or metric != "CLIPScore")
            found[group] = apply_rules(rules, question, self.answers.rows(members), replace(options, also=also))
        return found


def read_caption_lines(path: Path) -> CaptionLines:
    """Read JSON lines with `id`, `caption`, `references`, and optionally `group` and `images`.

    Raises
    ------
    UserError
        a line is broken, a picture is missing, or an id occurs twice
    """
    rows: list[dict[str, Any]] = []
    pictures: list[list[Path]] = []
    for where, row in read_json_lines(path):
        name = require(row, "id", (str, int), where)
        checked_text(row.get("caption"), f"{where}:caption (of {name})")
        for text in checked_list(row.get("references"), f"{where}:references (of {name})"):
            checked_text(text, f"{where}:references (of {name})")
        rows.append(row)
        pictures.append([path.parent / name for name in row.get("images", [])])
        missing = [picture for picture in pictures[-1] if not picture.is_file()]
        if missing:
            raise UserError(f"{where}:images: {missing[0]}: no such picture")
    ids = [str(row["id"]) for row in rows]
    refuse_duplicates(ids, DuplicateQuery, "caption", "captions")
    videos = [""] * len(ids)
    question = Captions(ids, videos, [row["references"] for row in rows], pictures)
    answers = Captions(ids, videos, [[row["caption"]] for row in rows])
    return CaptionLines(question, answers, [row.get("group") for row in rows])
