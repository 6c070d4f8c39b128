"""What can be wrong with predictions; every message names the queries concerned.

Faults that annotations can have as well are those of `lib.errors`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.errors import DuplicateQuery as DuplicateQuery
from workflow_scripts.lib.errors import DuplicateVideo as DuplicateVideo
from workflow_scripts.lib.errors import MissingPrediction as MissingPrediction
from workflow_scripts.lib.errors import MissingScore as MissingScore
from workflow_scripts.lib.errors import NonFiniteScore as NonFiniteScore
from workflow_scripts.lib.errors import NonFiniteSpan as NonFiniteSpan
from workflow_scripts.lib.errors import ReversedSpan as ReversedSpan
from workflow_scripts.lib.errors import UnknownQuery as UnknownQuery

_SHOWN = 300
"""Characters of an id that a message shows, with its place."""


class PredictionError(DataError):
    """Predictions that an evaluator must not put a number on; a fault that annotations cannot have."""


class EmptyPrediction(PredictionError):
    """A query that was answered with nothing."""


class MissingField(PredictionError):
    """A field that only some rows have, or that no row has although the metric is made of it."""


class MalformedRow(PredictionError):
    """A row, id or list that is of another kind than the format says."""


class BadReference(PredictionError):
    """Annotations that nothing can be scored against."""


class NothingAnnotated(BadReference):
    """A split without any annotation of the kind that is scored."""


class PlaceholderReference(BadReference):
    """Annotations that were published without their values."""


@dataclass(frozen=True)
class Caution:
    """Something odd that does not stop an evaluation.

    Attributes
    ----------
    name : `ZeroLengthSpan`, `ReversedSpan`, `SpanOutsideVideo`, `UnusedWindows`, `ManyWindows`, `SaliencyLength`,
        `FewCandidates` or `EmptyCaption`
    count : how many spans, queries or captions
    ids : the queries concerned, each once
    """

    name: str
    count: int
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.count}, in {name_some(self.ids)}"


def caution(name: str, count: int, ids: Iterable[str]) -> tuple[Caution, ...]:
    """Return the caution, or nothing if the count is 0."""
    return (Caution(name, int(count), tuple(dict.fromkeys(str(i) for i in ids))),) if count else ()


def name_some(ids: Sequence[str], n_shown: int = 5) -> str:
    """Return the first few ids as text, with the number of those left out."""
    shown = ", ".join(str(i)[:_SHOWN] for i in ids[:n_shown])
    return shown if len(ids) <= n_shown else f"{shown} and {len(ids) - n_shown} more"


def refuse_duplicates(ids: Iterable[Any], error: type[DataError], kind: str, where: str) -> None:
    """Raise `error` if an id of some kind (`query`, `video`) occurs twice."""
    doubled = [i for i, count in Counter(ids).items() if count > 1]
    if doubled:
        raise error(f"{where}: {len(doubled)} ids occur more than once: {kind} {name_some(doubled)}")
