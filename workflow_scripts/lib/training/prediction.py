"""Ask a trained network everything that its system answers."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from tqdm import tqdm

from models.systems.interface import Item, QueryScore, captions_of
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.answer_journal import AnswerJournal
from workflow_scripts.lib.training.loading import made_in_order
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.sharing import ALONE, Share
from workflow_scripts.lib.training.units import n_items, prepared

_BATCHES_APART = 8
"""So many batches each of several processes answers before they bring their answers together."""
_TOLD_OF_CHECKPOINTS = ("dataset", "seed", "epoch", "score", "code_revision", "imported", "left_out")
"""Notes of a checkpoint that metrics.json repeats."""


@dataclass(frozen=True)
class Asking:
    """How a network is asked.

    Attributes
    ----------
    prepare : applied to every item first (standardisation, ablation)
    batch_size : units per forward pass; in published protocols an answer may depend on who shares its batch
    device : where the network is
    seed : of the generator for systems that draw at evaluation
    given : `moments` and `steps` -> `annotated` or `predicted`: what later tasks are given of earlier ones
    label : of the progress bar; None for no bar
    in_detail : whether the answers of the system's parts, and scores of queries, are wanted too
    variant : of all answers
    journal : keeps the answers so far; None: a kill loses them
    n_workers : processes that make batches ahead; the answers do not depend on it
    share : of the batches, where several processes ask together: each gets all answers, which are those of one process
    """

    prepare: Callable[[Item], Item]
    batch_size: int
    device: torch.device | str
    seed: int
    given: Mapping[str, str]
    label: str | None = None
    in_detail: bool = False
    variant: str = ""
    journal: AnswerJournal | None = None
    n_workers: int = 0
    share: Share = ALONE


@dataclass
class Answered:
    """What a system answered.

    Attributes
    ----------
    answers : task -> answers
    scores : of queries
    asked : task -> ids of the items that were asked
    skipped : task -> reason -> number of items that it was not asked of
    """

    answers: dict[str, list[Any]]
    scores: list[QueryScore]
    asked: dict[str, list[str]]
    skipped: dict[str, Counter]


def predict_items(
    system: Any, network: torch.nn.Module, items: Sequence[Item], asking: Asking, tasks: Iterable[str] | None = None
) -> Answered:
    """Return a system's answers to the tasks that are asked, all of its own by default.

    Raises
    ------
    UserError
        the system answers a task that it does not name
    """
    network.eval()
    found = Answered({}, [], {}, {})
    for task in system.tasks if tasks is None else tasks:
        given = _given(items, found.answers, asking.given)
        askable, skipped = _askable(given, task, captions_of(system.config))
        corpus = [item for item in items if item.is_video] if task == "videos" else []
        answers = list(_predict_task(system, network, [*askable, *corpus], asking, task))
        _require_named(system, answers, task)
        found.scores += [answer for answer in answers if isinstance(answer, QueryScore)]
        found.answers[task] = [
            replace(answer, variant=asking.variant) if asking.variant else answer
            for answer in answers
            if not isinstance(answer, QueryScore)
        ]
        found.asked[task], found.skipped[task] = [item.id for item in askable], skipped
    return found


def _predict_task(
    system: Any, network: torch.nn.Module, items: Sequence[Item], asking: Asking, task: str
) -> Iterator[Any]:
    generator = torch.Generator().manual_seed(asking.seed)
    is_first, label = asking.share.is_first, asking.label
    if label is not None and task != "moments":
        label = f"{label}, {task}"
    bar = tqdm(total=len(items), desc=label, unit="query", disable=label is None or not is_first, mininterval=1)
    parts, stage = list(batches(system.units(items, task), asking.batch_size)), f"{asking.variant}/{task}"
    n_done, known = asking.journal.resume(stage, generator) if asking.journal else (0, [])
    yield from known
    waiting: list[list[Any]] = []
    with torch.inference_mode(), bar:
        bar.update(sum(map(n_items, itertools.chain.from_iterable(parts[:n_done]))))
        for answers in _answers(system, network, parts, n_done, generator, asking, task):
            yield from itertools.chain.from_iterable(answers)
            bar.update(sum(map(n_items, itertools.chain.from_iterable(parts[n_done : n_done + len(answers)]))))
            n_done += len(answers)
            waiting += answers
            if asking.journal and is_first and asking.journal.keep(stage, waiting, generator, n_done == len(parts)):
                waiting.clear()


def _answers(
    system: Any,
    network: torch.nn.Module,
    parts: Sequence[Sequence[Any]],
    n_done: int,
    generator: torch.Generator,
    asking: Asking,
    task: str,
) -> Iterator[list[list[Any]]]:
    """Yield the answers to batches from number `n_done` on, of some at a time, after which `generator` stands."""

    def made(number: int) -> dict[str, Any]:
        return system.collate([system.sample(prepared(unit, asking.prepare), None) for unit in parts[number]])

    share, asked = asking.share, range(n_done, len(parts))
    is_shared = share.n_processes > 1 and system.skip_draws(1, torch.Generator(), task)
    # Draws that depend on answers cannot be skipped: one process answers all.
    mine = share.of(asked) if is_shared else asked if share.is_first else asked[:0]
    made_ahead = made_in_order(made, mine, asking.n_workers)
    for numbers in batches(asked, _BATCHES_APART * share.n_processes if share.n_processes > 1 else 1):
        own = []
        for number in numbers:
            before = generator.clone_state()
            if number in mine:
                here = to_device(next(made_ahead), asking.device)
                own.append((number, list(system.predict(network, here, generator, task, asking.in_detail))))
            if is_shared:
                system.skip_draws(len(parts[number]), before, task)
                if number in mine and not torch.equal(before.get_state(), generator.get_state()):
                    raise RuntimeError(f"{type(system).__module__}: skip_draws draws other numbers than predict")
                generator.set_state(before.get_state())
        yield [answers for _, answers in share.together(own)]


def batches(units: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the units in order, `size` at a time."""
    for start in range(0, len(units), size):
        yield units[start : start + size]


def _require_named(system: Any, answers: Iterable[Any], task: str) -> None:
    other = {type(answer).__name__ for answer in answers if getattr(answer, "task", task) != task}
    if other:
        raise UserError(
            f"{type(system).__module__}: asked for {task}, it gave {', '.join(sorted(other))}; a system answers the "
            f"tasks that its configuration names ({', '.join(system.tasks)}), each when it is asked"
        )


def _given(items: Sequence[Item], answers: Mapping[str, Sequence[Any]], given: Mapping[str, str]) -> list[Item]:
    """Return the items, told the system's own earlier answers where these are to be given."""
    moments = _first_spans(answers.get("moments", ())) if given["moments"] == "predicted" else None
    steps = _steps(answers.get("steps", ())) if given["steps"] == "predicted" else None
    return [
        replace(
            item,
            told=replace(
                item.told,
                moment=item.told.moment if moments is None else moments.get(item.id),
                steps=item.told.steps if steps is None else steps.get(item.id, ()),
            ),
        )
        for item in items
    ]


def _first_spans(spans: Iterable[Any]) -> dict[str, tuple[float, float]]:
    return {
        span.query_id: (span.start_s, span.end_s)
        for span in spans
        if span.rank == 0 and span.start_s is not None and not span.variant.startswith("predictor:")
    }


def _steps(steps: Iterable[Any]) -> dict[str, tuple[tuple[float, float], ...]]:
    found: dict[str, tuple[tuple[float, float], ...]] = {}
    for step in steps:
        if step.start_s is not None:
            found[step.query_id] = (*found.get(step.query_id, ()), (step.start_s, step.end_s))
    return found


def _askable(items: Sequence[Item], task: str, describes: Sequence[str]) -> tuple[list[Item], Counter]:
    """Return the items that a task can be asked of, and why others cannot, counted."""
    kept: dict[str, Item] = {}
    skipped: Counter = Counter()
    for item in items:
        if not _concerns(item, task, describes):
            continue
        reason = _missing(item, task)
        if reason is None:
            # Queries of one text are one prompt to a corpus.
            kept.setdefault(item.text if task == "videos" else item.id, item)
        else:
            skipped[reason] += 1
    return list(kept.values()), skipped


def _concerns(item: Item, task: str, describes: Sequence[str]) -> bool:
    if task == "captions":
        return ("videos" if item.is_video else "steps") in describes
    return not item.is_video


def _missing(item: Item, task: str) -> str | None:
    if task == "steps" and item.told.moment is None:
        return "no given moment"
    if task == "captions" and not item.is_video and not item.told.steps:
        return "no given steps"
    return None


def join_answers(parts: Iterable[Answered]) -> dict[str, list[Any]]:
    """Return the answers of all parts by task."""
    joined: dict[str, list[Any]] = {}
    for part in parts:
        for task, answers in part.answers.items():
            joined.setdefault(task, []).extend(answers)
    return joined


def to_device(batch: dict[str, Any], device: torch.device | str) -> dict[str, Any]:
    """Move the tensors of a batch."""
    moved = {key: value.to(device, non_blocking=True) for key, value in batch.items() if torch.is_tensor(value)}
    return {**batch, **moved}


def without_rows(items: Iterable[Item]) -> dict[str, int]:
    """Return how many items have no rows of a stream, by stream and reason (`audio: no_audio`)."""
    found: Counter = Counter()
    for item in items:
        for stream, features in item.streams.items():
            lacking = {rows.status for rows in features} - {"ok"}
            found.update(f"{stream}: {status}" for status in lacking)
    return dict(sorted(found.items()))


def summarise_run(
    notes: Mapping[str, Any],
    settings: Mapping[str, Any],
    split: Split,
    answered: Answered,
    seconds: float,
    device: str,
    feature_revisions: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Return what metrics.json says about these answers and where they come from."""
    spans = answered.answers.get("moments", ())
    unreadable = {span.query_id for span in spans if span.start_s is None or not span.is_readable}
    return {
        "tasks": {
            task: {"asked": len(ids), "skipped": dict(split.skipped) | dict(answered.skipped[task])}
            for task, ids in answered.asked.items()
        },
        "unreadable": len(unreadable),
        "without": without_rows(split.items),
        "checkpoint": {key: notes[key] for key in _TOLD_OF_CHECKPOINTS if key in notes},
        "recipes": settings["recipes"],
        "feature_revisions": {name: list(revisions) for name, revisions in feature_revisions.items()},
        "weights": settings["weights"],
        "seconds": {"train": round(notes["train_seconds"], 1), "predict": round(seconds, 1)},
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }
