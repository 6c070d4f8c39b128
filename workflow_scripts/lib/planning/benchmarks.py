"""How predictions on a dataset are scored, and what others report about it."""

from collections.abc import Iterable
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration


def scoring(
    configuration: Configuration,
    dataset: str,
    rules: tuple[str, ...] | None,
    thresholds: tuple[float, ...] | None = None,
) -> dict[str, Any]:
    """Return rule sets and thresholds: those given, else those of the dataset."""
    benchmark = configuration.dataset(dataset).evaluation
    return {
        "rules": list(rules or benchmark.rules),
        "thresholds": list(thresholds or benchmark.thresholds),
        "nms_thresholds": benchmark.nms_thresholds,
    }


def published_rows(
    configuration: Configuration, dataset: str, split: str, rules: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the published numbers about a split by these rule sets."""
    return [row.model_dump(mode="json") for row in configuration.published(dataset, split, rules)]
