"""What a number has to be seen beside: answers that know nothing, or only the order, scored by the same rule set."""

from collections.abc import Mapping, Sequence
from typing import Any

from workflow_scripts.lib.metrics.baselines import constant_span, order_only
from workflow_scripts.lib.metrics.errors import NothingAnnotated
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import Result
from workflow_scripts.lib.scoring.run import grouped


def best_constant(results: Sequence[Result], split: AnnotatedSplit, group_by: str | None) -> dict[str, Any] | None:
    """Return the scores of the best constant span, chosen on the very queries it is scored on (so: generous).

    Parameters
    ----------
    results : of the system; each rule set for moments has a span of its own
    group_by : field of the queries' extra data; None: no groups

    Returns
    -------
    `span`, `metrics` and `groups` by the first rule set, `rule_sets`: metrics by each; None where none scores moments
    """
    found = []
    for result in results:
        if RULE_SETS[result.rules].task == "moments":
            span, answers = constant_span(result.rules, result.question, result.options)
            scored = apply_rules(result.rules, result.question, answers, result.options)
            found.append((span, Result(result.rules, result.question, result.options, scored)))
    if not found:
        return None
    span, first = found[0]
    return {
        "span": {"unit": span.unit, "start": span.start, "end": span.end},
        "metrics": first.scored.metrics,
        "groups": grouped(first, split, group_by),
        "rule_sets": {result.rules: result.scored.metrics for _, result in found},
    }


def order_baseline(results: Sequence[Result], train: AnnotatedSplit) -> dict[str, Any] | None:
    """Return the scores of the best answer that knows only a query's rank among the starts of its video's moments.

    Every threshold has spans of its own, learnt on `train`; None where nothing is annotated there.
    """
    found: dict[str, Mapping[str, float]] = {}
    for result in results:
        if RULE_SETS[result.rules].task == "moments":
            try:
                known = train.moments(RULE_SETS[result.rules].view)
            except NothingAnnotated:
                return None
            found[result.rules] = order_only(result.rules, known, result.question, result.options)
    return {"metrics": next(iter(found.values())), "groups": {}, "rule_sets": found} if found else None
