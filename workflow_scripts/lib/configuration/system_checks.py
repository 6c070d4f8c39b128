"""What is refused in the settings of a system although every single value is a good one."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from workflow_scripts.lib.configuration.messages import Layer, nearest, source_of
from workflow_scripts.lib.configuration.schema import HELD_OUT, BenchmarkEvaluation, System
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.scored import Options


def check_clean(
    system: System, settings: Mapping[str, Any], clean: Mapping[str, tuple[Any, ...]], layers: list[Layer]
) -> None:
    """Refuse to call clean what is not.

    Parameters
    ----------
    settings : the system's own settings, complete
    clean : setting, such as `network.pos_mode`, -> values that are clean (`CLEAN` of the system)
    """
    for key, admitted in clean.items():
        value = reduce(lambda section, part: section[part], key.split("."), settings)
        if value not in admitted:
            where = source_of(layers, ("settings", *key.split(".")))
            choices = " or ".join(map(repr, admitted))
            raise UserError(
                f"{where}: settings.{key}: {value!r} is not what `protocol: clean` stands for; choose {choices}, or "
                "`protocol: published`"
            )
    if system.splits.select in system.splits.test:
        where = source_of(layers, ("splits", "select"))
        raise UserError(
            f"{where}: splits.select: {system.splits.select!r} is reported, so `protocol: clean` does not choose the "
            f"checkpoint on it; name a validation split, or `{HELD_OUT}` for a part of the training videos"
        )


def check_checkpoint(system: System, layers: list[Layer]) -> None:
    """Refuse an imported checkpoint beside standardised streams: it comes without their means and scales."""
    standardised = [stream for stream, content in system.streams.items() if content.standardise]
    if system.checkpoint_file and standardised:
        where = source_of(layers, ("streams", standardised[0], "standardise"))
        raise UserError(
            f"{where}: streams.{standardised[0]}.standardise: an imported checkpoint (checkpoint_file) reads the "
            "features as they are; set it to false"
        )


def check_selection(system: System, tasks: Sequence[str], benchmark: BenchmarkEvaluation, layers: list[Layer]) -> None:
    """Refuse to choose a checkpoint by a metric that its rule set lacks, or by a task that the system does not answer.

    Parameters
    ----------
    tasks : what the system answers
    benchmark : how the dataset is scored where the system does not say
    """
    wanted = system.selection
    if wanted.loss:
        return
    name = wanted.rules or (system.evaluation.rules or benchmark.rules)[0]
    reported = system.evaluation.thresholds or benchmark.thresholds
    rule_set, where = RULE_SETS[name], source_of(layers, ("selection", "metric"))
    if not {rule_set.task, *rule_set.also} & set(tasks):
        raise UserError(
            f"{source_of(layers, ('selection', 'rules'))}: selection.rules: {name} scores {rule_set.task}, which "
            f"{system.system} does not answer (it answers {', '.join(tasks)}); name another rule set"
        )
    known = rule_set.names(Options(wanted.thresholds(reported)))
    for metric in wanted.metric or (rule_set.headline,):
        if metric not in known:
            raise UserError(
                f"{where}: selection.metric: {metric!r} is no metric of the rule set {name}; {nearest(metric, known)}"
            )


def check_given(system: System, tasks: Sequence[str], layers: list[Layer]) -> None:
    """Refuse to give a system its own earlier answers to a task that it does not answer."""
    for task in ("moments", "steps"):
        if getattr(system.given, task) == "predicted" and task not in tasks:
            raise UserError(
                f"{source_of(layers, ('given', task))}: given.{task}: predicted, but {system.system} answers no {task} "
                f"(it answers {', '.join(tasks)}); write `annotated`, or let it answer them"
            )
