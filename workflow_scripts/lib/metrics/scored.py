"""What a rule set is told besides question and answers, and what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workflow_scripts.lib.metrics.errors import Caution
from workflow_scripts.lib.metrics.questions import Moments

LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, np.inf)}
"""Lengths of annotated moments in seconds, (above, up to)."""
OptionalMetric = Literal["SPICE", "BERTScore", "CLIPScore"]


@dataclass(frozen=True)
class Options:
    """What a benchmark chooses within a rule set; a rule set heeds those that it names (`RuleSet.options`).

    Attributes
    ----------
    thresholds : IoUs of R1 and R5
    nms_threshold : IoU above which the span with the lower score is dropped
    clip : cut predicted windows to the video first
    empty_windows : what two windows without length have in common. `published`: they hit each other in mAP wherever
        they are and miss in R1 (the published code divides 0 by 0); `identical`: IoU 1 at the same place, else 0
    reversed : a span that ends before it starts is refused, or counts as a `miss`, as in the published code
    match_number : False scores the queries that both sides have, instead of refusing
    also : metrics of captions that need a downloaded model
    models : metric of `also` -> the files of its model
    device : `cpu` or `cuda`, where those models run
    """

    thresholds: Sequence[float] = (0.3, 0.5, 0.7)
    nms_threshold: float = 0.5
    clip: bool = False
    empty_windows: Literal["published", "identical"] = "published"
    reversed: Literal["refuse", "miss"] = "refuse"
    match_number: bool = True
    also: tuple[OptionalMetric, ...] = ()
    models: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    device: str = "cpu"


@dataclass(frozen=True)
class Scored:
    """What a rule set says.

    Attributes
    ----------
    per_query : metric -> float64 (N,), shares; NaN where a query does not belong to the metric. The mean times 100 is
        the number.
    corpus : metric -> number in percent that is no mean over queries (BLEU, METEOR)
    lengths : range of lengths of moments -> metric -> float64 (N,) as in `per_query`
    official : the numbers as the published evaluator writes them; empty if it writes `metrics`
    cautions : what looked odd
    """

    per_query: Mapping[str, np.ndarray]
    corpus: Mapping[str, float] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    official: Mapping[str, Any] = field(default_factory=dict)
    cautions: tuple[Caution, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """Every number, in percent."""
        return {name: self.corpus.get(name, percent(values)) for name, values in self.per_query.items()}


def percent(values: np.ndarray) -> float:
    """Return the mean of the values that are there, times 100."""
    return float(values[~np.isnan(values)].mean() * 100)


def by_length(question: Moments, per_query: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the values again for each range of lengths of the (first) annotated moment."""
    length = question.targets.spans[:, 0, 1] - question.targets.spans[:, 0, 0]
    lengths = {}
    for name, (above, up_to) in LENGTHS.items():
        is_member = (length > above) & (length <= up_to)
        if is_member.any():
            lengths[name] = {metric: np.where(is_member, values, np.nan) for metric, values in per_query.items()}
    return lengths
