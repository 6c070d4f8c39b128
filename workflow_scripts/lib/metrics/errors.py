"""What can be wrong with predictions; every message names the queries concerned."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)


class PredictionError(ValueError):
    """Predictions that an evaluator must not put a number on."""


class NonFiniteSpan(PredictionError):
    """A start or an end that is NaN, infinite or missing."""


class ReversedSpan(PredictionError):
    """A span that ends before it starts."""


class NonFiniteScore(PredictionError):
    """A score that is NaN, infinite or not a number."""


class MissingScore(PredictionError):
    """A span or video without a score, in a metric that ranks by it."""


class EmptyPrediction(PredictionError):
    """A query that was answered with nothing."""


class MissingPrediction(PredictionError):
    """A query without a prediction."""


class UnknownQuery(PredictionError):
    """A prediction for a query that the annotations lack."""


class DuplicateQuery(PredictionError):
    """Two predictions for one query."""


class DuplicateVideo(PredictionError):
    """One video twice, where each may occur once."""


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
    name : `ZeroLengthSpan`, `SpanOutsideVideo`, `UnusedWindows`, `ManyWindows`, `SaliencyLength`, `FewCandidates` or
        `EmptyCaption`
    count : how many spans, queries or captions
    ids : the queries concerned, each once
    """

    name: str
    count: int
    ids: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.count}, in {name_some(self.ids)}"


def caution(name: str, count: int, ids: Iterable[str]) -> tuple[Caution, ...]:
    """Return the caution and log it, or nothing if the count is 0."""
    if not count:
        return ()
    found = Caution(name, int(count), tuple(dict.fromkeys(str(i) for i in ids)))
    logger.warning("%s", found)
    return (found,)


def name_some(ids: Sequence[str], n_shown: int = 5) -> str:
    """Return the first few ids as text, with the number of those left out."""
    shown = ", ".join(str(i) for i in ids[:n_shown])
    return shown if len(ids) <= n_shown else f"{shown} and {len(ids) - n_shown} more"
