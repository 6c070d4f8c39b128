"""What can be wrong with predictions; every message names the queries concerned."""

from collections.abc import Sequence


class PredictionError(ValueError):
    """Predictions that an evaluator must not put a number on."""


class NonFiniteSpan(PredictionError):
    """A start or an end that is NaN or infinite."""


class ReversedSpan(PredictionError):
    """A span that ends before it starts."""


def name_some(ids: Sequence[str], n_shown: int = 5) -> str:
    """Return the first few ids as text, with the number of those left out."""
    shown = ", ".join(str(i) for i in ids[:n_shown])
    return shown if len(ids) <= n_shown else f"{shown} and {len(ids) - n_shown} more"
