"""What a benchmark measured, and how it hands that over: printed, and into a file where `--json` names one."""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes
    ----------
    label : what it is; no other figure of its benchmark has the same
    unit : of the value, e.g. "ms"; "x" is a ratio, "" a count
    better : whether a smaller or a larger value is better
    asked : bound in the unit of the value, itself allowed; None: reported only
    is_compared : False of what a part more says nothing of: time by the clock, which others on the machine change, and
        a difference near nothing
    """

    label: str
    value: float
    unit: str = ""
    better: Literal["smaller", "larger"] = "smaller"
    asked: float | None = None
    is_compared: bool = True

    @property
    def is_held(self) -> bool:
        """Whether the value is within what is asked."""
        if self.asked is None:
            return True
        return self.value <= self.asked if self.better == "smaller" else self.value >= self.asked

    @property
    def bound(self) -> str:
        """What is asked, in words; nothing if nothing is."""
        if self.asked is None:
            return ""
        return f"{'≤' if self.better == 'smaller' else '≥'} {amount(self.asked, self.unit)}"

    def worse_than(self, stored: float) -> float:
        """Return by what part the value is slower (or larger, or less) than a stored one; below 0: it is better."""
        before, now = (stored, self.value) if self.better == "smaller" else (self.value, stored)
        if before == now or not self.is_compared:
            return 0.0
        return now / before - 1 if before else float("inf")

    def __str__(self) -> str:
        verdict = f" (asked: {self.bound}: {'held' if self.is_held else 'MISSED'})" if self.bound else ""
        return f"{self.label}: {amount(self.value, self.unit)}{verdict}"


def amount(value: float, unit: str) -> str:
    """Return a value with its unit, in three digits at least."""
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()


def benchmark_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a benchmark, whose figures go where `--json` says."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures into this file")
    return parser


def tell(figures: Iterable[Figure], path: Path | None) -> int:
    """Print figures as they come, and write them once all are there; return 1 if one is not what is asked, else 0."""
    told = []
    for figure in figures:
        print(figure, flush=True)
        told.append(figure)
    if path:
        path.write_text(json.dumps([asdict(figure) for figure in told]), encoding="utf-8")
    return int(not all(figure.is_held for figure in told))


def handed_over(path: Path) -> list[Figure]:
    """Return the figures that a benchmark wrote."""
    return [Figure(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]
