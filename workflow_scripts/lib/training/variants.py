"""Ask a trained system as it is, ablated and varied, and the baseline beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from models.systems.interface import Item, captions_of, train_config
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.configuration.schema import BASELINE
from workflow_scripts.lib.predictions.answer_tables import FLOOR, VARIATION, ZERO
from workflow_scripts.lib.training.answer_journal import AnswerJournal
from workflow_scripts.lib.training.checkpoint import Trained, build_system, system_class, system_config
from workflow_scripts.lib.training.prediction import Answered, Asking, predict_items
from workflow_scripts.lib.training.sharing import ALONE, Share


def answer_variants(
    trained: Trained,
    network: torch.nn.Module,
    items: Sequence[Item],
    config: Mapping[str, Any],
    device: torch.device | str,
    seed: int,
    journal: AnswerJournal | None = None,
    n_workers: int = 0,
    share: Share = ALONE,
) -> tuple[Answered, list[Answered]]:
    """Return a system's own answers, and those with streams set to zero and with settings varied.

    Parameters
    ----------
    trained : checkpoint
    network : with its weights, on the device
    items : what is asked
    config : resolved settings: what is given and evaluated
    seed : feeds systems that draw at evaluation
    journal : keeps the answers so far
    n_workers : processes that make batches ahead
    share : of the batches, where several processes ask together; each gets all answers
    """
    notes, evaluation, given = trained.notes, config["evaluation"], config["given"]
    kind, settings = notes["config"]["system"], notes["config"]["settings"]
    shape = (notes["fitted"], notes["stream_dims"])
    system = build_system(kind, settings, *shape)
    prepare, size = trained.standardiser.apply, batch_size(system, evaluation)
    asking = Asking(
        prepare, size, device, seed, given, "predict", True, journal=journal, n_workers=n_workers, share=share
    )
    own, others = predict_items(system, network, items, asking), []
    for stream in evaluation["zero_streams"]:
        zeroed, label = partial(prepare, zeroed=stream), f"predict, {stream} set to zero"
        changed = replace(asking, prepare=zeroed, label=label, in_detail=False, variant=f"{ZERO}{stream}")
        others.append(predict_items(system, network, items, changed))
    for name, change in evaluation["variations"].items():
        varied = build_system(kind, merge(settings, change), *shape)
        changed = replace(asking, label=f"predict, {name}", in_detail=False, variant=f"{VARIATION}{name}")
        others.append(predict_items(varied, network, items, changed))
    return own, others


def batch_size(system: Any, evaluation: Mapping[str, Any]) -> int:
    """Return how many units share a forward pass: as many as the settings say, else as in training."""
    train = train_config(system.config)
    return evaluation["batch_size"] or (train.batch_size if train else 1)


def answer_floor(
    train: Sequence[Item], items: Sequence[Item], system: Any, given: Mapping[str, str], seed: int
) -> Answered:
    """Return what the baseline, fitted on training items, answers to the tasks of a system.

    Parameters
    ----------
    train : items with their annotations; no rows are read
    items : what is asked
    system : whose tasks are answered
    """
    settings = {"tasks": system.tasks, "captions_of": captions_of(system.config) or ("videos",), "seed": seed}
    typed, kind = system_config(BASELINE, settings), system_class(BASELINE)
    floor = kind(typed, kind.fit(typed, train), {})
    asking = Asking(lambda item: item, 1, "cpu", seed, given, variant=FLOOR)
    return predict_items(floor, floor.network(), items, asking)
