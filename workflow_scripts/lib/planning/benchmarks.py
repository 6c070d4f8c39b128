"""How predictions on a dataset are scored, and what others report about it."""

from collections.abc import Iterable
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.settings import weight_path


def scoring(
    configuration: Configuration,
    dataset: str,
    rules: tuple[str, ...] | None,
    thresholds: tuple[float, ...] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Return rule sets, thresholds and options: those given that are not None, else those of the dataset.

    `also` becomes `models`: metric -> the files of its model.
    """
    chosen = {"rules": rules, "thresholds": thresholds, **options}
    given = {name: value for name, value in chosen.items() if value is not None}
    scored = configuration.dataset(dataset).evaluation.model_copy(update=given).model_dump(mode="json")
    also = scored.pop("also")
    return {**scored, "models": {metric: model_files(configuration, metric) for metric in also}}


def model_files(configuration: Configuration, metric: str) -> list[str]:
    """Return the files of the model that an optional metric of captions needs."""
    folder = configuration.root.paths.weights
    return [str(weight_path(configuration.weight(name), folder)) for name in configuration.metric_weights(metric)]


def published_rows(
    configuration: Configuration, dataset: str, split: str, rules: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the published numbers about a split by these rule sets."""
    return [row.model_dump(mode="json") for row in configuration.published(dataset, split, rules)]
