"""Answers that a prediction has given so far, kept so that it goes on after a kill."""

import base64
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.systems.interface import Caption, QueryScore, Ranked, Saliency, Span, Step

TYPES = {kind.__name__: kind for kind in (Span, Saliency, Step, Caption, Ranked, QueryScore)}


class AnswerJournal:
    """A file of lines, each with the answers of some batches and the state of the generator after them.

    Snakemake deletes the outputs of a job that it repeats; this file is none of them.

    Parameters
    ----------
    path : the file
    key : digest of everything that decides the answers; lines of another key are thrown away
    every_s : seconds between lines
    """

    def __init__(self, path: Path, key: str, every_s: float = 30.0) -> None:
        self._path, self._every_s, self._written = path, every_s, time.monotonic()
        self._lines: dict[str, list[dict[str, Any]]] = {}
        lines = _whole_lines(path)
        if not lines or lines[0] != {"key": key}:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
        for line in lines[1:] if lines and lines[0] == {"key": key} else []:
            self._lines.setdefault(line["stage"], []).append(line)

    def resume(self, stage: str, generator: torch.Generator) -> tuple[int, list[Any]]:
        """Return how many batches of a stage are answered and their answers; the generator goes on from there."""
        lines = self._lines.get(stage, [])
        if lines:
            state = bytearray(base64.b64decode(lines[-1]["generator"]))
            generator.set_state(torch.frombuffer(state, dtype=torch.uint8))
        answers = [_answer(kind, fields) for line in lines for kind, fields in line["answers"]]
        return sum(line["batches"] for line in lines), answers

    def keep(self, stage: str, batches: Sequence[Sequence[Any]], generator: torch.Generator, is_last: bool) -> bool:
        """Write the answers of batches, if it is time or the stage is done; return whether they were written."""
        if not batches or not (is_last or time.monotonic() - self._written >= self._every_s):
            return False
        answers = [[type(answer).__name__, asdict(answer)] for batch in batches for answer in batch]
        state = base64.b64encode(generator.get_state().numpy().tobytes()).decode()
        line = {"stage": stage, "batches": len(batches), "generator": state, "answers": answers}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=_plain) + "\n")
        self._written = time.monotonic()
        return True

    def close(self) -> None:
        """Remove the file: everything is written elsewhere."""
        self._path.unlink(missing_ok=True)


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of the file, and cut off what a kill, or a machine that went down, left of the last ones."""
    if not path.is_file():
        return []
    content, lines, n_whole = path.read_bytes(), [], 0
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                break
            lines.append(json.loads(line))
        except ValueError:
            break
        n_whole += len(line)
    if n_whole < len(content):
        os.truncate(path, n_whole)
    return lines


def _answer(kind: str, fields: dict[str, Any]) -> Any:
    return TYPES[kind](**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})


def _plain(value: np.ndarray | np.generic) -> Any:
    return value.tolist()
