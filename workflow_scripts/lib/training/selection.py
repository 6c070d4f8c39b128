"""Which checkpoint is kept: by a rule set on the selection split, or by losses on it."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, answers_table
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import refusing_readably
from workflow_scripts.lib.scoring.run import score_run
from workflow_scripts.lib.scoring.tasks import tasks_of
from workflow_scripts.lib.training.loading import made_in_order
from workflow_scripts.lib.training.prediction import Answered, Asking, batches, predict_items, to_device
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.units import prepared

NAMES = {"run_id": "", "system": "", "dataset": "", "split": ""}
"""Of answers that are scored and not kept."""


class CheckpointSelection:
    """Scores of a network on the selection split, and which of two is better.

    Parameters
    ----------
    config : the system's resolved settings; its sections `selection`, `evaluation` and `given` are used
    select : items of the split
    annotated : the same split's annotations, which rule sets score against
    """

    def __init__(self, config: Mapping[str, Any], select: Split, annotated: AnnotatedSplit) -> None:
        self._wanted, self.given = config["selection"], config["given"]
        # A metric that selects may have a threshold that is not reported.
        models = config["evaluation"].get("models", {})
        self._evaluation = config["evaluation"] | {
            "thresholds": self._wanted.get("thresholds"),
            # Further metrics of captions take minutes: only those that select are computed.
            "models": {metric: files for metric, files in models.items() if metric in self._wanted["metric"]},
        }
        self._select, self._annotated = select, annotated

    def scores(self, system: Any, network: torch.nn.Module, asking: Asking) -> dict[str, float]:
        """Return the metrics of the rule set (percent), or the losses, by name.

        Of several processes all have to ask. The first alone scores the answers, and tells the others.

        Raises
        ------
        UserError
            If an answer cannot be scored, or the split has nothing to score against.
        """
        if self._wanted["loss"]:
            return self._losses(system, network, asking)
        rules = self._wanted["rules"]
        tasks = [task for task in system.tasks if task in self._needed(system, rules)]
        answered = predict_items(system, network, self._select.items, asking, tasks)
        found = [(0, self._scored(rules, answered, tasks))] if asking.share.is_first else []
        [(_, metrics)] = asking.share.together(found)
        return metrics

    def _scored(self, rules: str, answered: Answered, tasks: Sequence[str]) -> dict[str, float]:
        tables = {task: answers_table(task, answered.answers.get(task, ()), NAMES) for task in SCHEMAS}
        with refusing_readably("selection split"):
            results, left_out = score_run(self._annotated, tables, self._evaluation, [rules], tasks)
        if not results:
            raise UserError(f"selection.rules: {rules} gives no number on the selection split: {left_out[rules]}")
        return results[0].scored.metrics

    def _needed(self, system: Any, rules: str) -> set[str]:
        """Return the tasks that a rule set scores, and those whose answers these are given."""
        needed = set(tasks_of(RULE_SETS[rules]))
        for earlier, later in (("steps", "captions"), ("moments", "steps")):
            if later in needed and self.given[earlier] == "predicted":
                needed.add(earlier)
        return needed

    def _losses(self, system: Any, network: torch.nn.Module, asking: Asking) -> dict[str, float]:
        """Return the mean of every term of the loss over the batches that have it; draws are the same every time."""
        network.eval()
        sums: dict[str, list[float]] = {}
        gpus = [asking.device] if torch.device(asking.device).type == "cuda" else []
        # What a network draws is of its batch alone, whoever computes it, and leaves the training's draws as they are.
        with torch.inference_mode(), torch.random.fork_rng(devices=gpus):
            units, size = system.units(self._select.items), asking.batch_size
            groups = system.batches(units, size, random.Random(asking.seed), 0)
            groups = groups or list(batches(range(len(units)), size))

            def made(number: int) -> dict[str, Any]:
                rng = random.Random(f"{asking.seed}/select/{number}")
                part = [prepared(units[i], asking.prepare) for i in groups[number]]
                return system.collate([system.sample(unit, rng) for unit in part])

            mine, found = asking.share.of(range(len(groups))), []
            for number, batch in zip(mine, made_in_order(made, mine, asking.n_workers), strict=True):
                torch.manual_seed(random.Random(f"{asking.seed}/select/{number}/network").getrandbits(32))
                terms = system.loss(network, to_device(batch, asking.device), 0)
                found.append((number, {name: value.item() for name, value in terms.items()}))
            for _, terms in asking.share.together(found):
                for name, value in terms.items():
                    sums.setdefault(name, []).append(value)
        return {f"select_{name}": sum(values) / len(values) for name, values in sums.items()}

    def value(self, scores: Mapping[str, float]) -> float:
        """Return the number that decides: one score, or the sum of those that are named.

        Raises
        ------
        UserError
            If there is no score of a name.
        """
        names = [f"select_{name}" for name in self._wanted["loss"]] or self._wanted["metric"]
        missing = [name for name in names if name not in scores]
        if missing:
            key = "loss" if self._wanted["loss"] else "metric"
            known = ", ".join(name.removeprefix("select_") for name in scores)
            raise UserError(
                f"selection.{key}: {missing[0].removeprefix('select_')!r} is not there; choose from {known}"
            )
        return sum(scores[name] for name in names)

    def is_better(self, value: float, best: float | None) -> bool:
        """Return whether a value is better than the best so far."""
        if best is None:
            return True
        return value > best if self._wanted["mode"] == "max" else value < best

    def is_kept(self, value: float, best: float | None) -> bool:
        """Return whether the checkpoint of a value replaces the best so far: a better one, or an equal later one."""
        return self.is_better(value, best) or (self._wanted["ties"] == "last" and value == best)
