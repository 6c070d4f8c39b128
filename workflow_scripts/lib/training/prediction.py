"""Run a trained network over items."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from models.systems.interface import Item, Prediction
from workflow_scripts.lib.training.items import prepared, units


def batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the items in order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def predict_items(
    system: Any,
    network: torch.nn.Module,
    items: Sequence[Item],
    prepare: Callable[[Item], Item],
    batch_size: int,
    device: torch.device | str,
    seed: int,
    progress: str | None = None,
) -> list[Prediction]:
    """Return the ranked spans of all items.

    Parameters
    ----------
    prepare : applied to every item first (standardisation, ablation)
    batch_size : items, or videos with all their items, per forward pass; in published protocols a prediction may
        depend on who shares its batch
    seed : of the generator for systems that draw at evaluation
    progress : label of the progress bar; None for no bar
    """
    network.eval()
    generator = torch.Generator().manual_seed(seed)
    found: list[Prediction] = []
    bar = tqdm(total=len(items), desc=progress, unit="query", disable=progress is None, mininterval=1)
    with torch.inference_mode(), bar:
        for part in batches(units(system, items), batch_size):
            samples = [system.sample(prepared(unit, prepare), None) for unit in part]
            found += system.predict(network, to_device(system.collate(samples), device), generator)
            bar.update(sum(1 if isinstance(unit, Item) else len(unit) for unit in part))
    return found


def predict_details(
    system: Any,
    network: torch.nn.Module,
    items: Sequence[Item],
    prepare: Callable[[Item], Item],
    batch_size: int,
    device: torch.device | str,
    seed: int,
) -> tuple[dict[str, list[Prediction]], dict[str, dict[str, float]]]:
    """Return what a system reports beside its answers; arguments as for `predict_items`.

    Returns
    -------
    spans : name of a predictor -> ranked spans
    scores : name of a score -> query id -> value
    """
    if not hasattr(system, "details"):
        return {}, {}
    network.eval()
    generator = torch.Generator().manual_seed(seed)
    spans: dict[str, list[Prediction]] = {}
    scores: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for part in batches(units(system, items), batch_size):
            batch = system.collate([system.sample(prepared(unit, prepare), None) for unit in part])
            found, of_queries = system.details(network, to_device(batch, device), generator)
            for name, predictions in found.items():
                spans.setdefault(name, []).extend(predictions)
            for name, values in of_queries.items():
                scores.setdefault(name, {}).update(zip(batch["query_ids"], values, strict=True))
    return spans, scores


def to_device(batch: dict[str, Any], device: torch.device | str) -> dict[str, Any]:
    """Move the tensors of a batch."""
    moved = {key: value.to(device, non_blocking=True) for key, value in batch.items() if torch.is_tensor(value)}
    return {**batch, **moved}


def top_spans(predictions: Sequence[Prediction]) -> dict[str, tuple[float, float] | None]:
    """Return the first span of every query, None for an answer that could not be read."""
    first = {p.query_id: p for p in predictions if p.rank == 0}
    return {query: None if p.start_s is None else (p.start_s, p.end_s) for query, p in first.items()}


def summarise_run(
    notes: Mapping[str, Any],
    settings: Mapping[str, Any],
    skipped: Mapping[str, int],
    predictions: Sequence[Prediction],
    seconds: float,
    device: str,
) -> dict[str, Any]:
    """Return what metrics.json says about these predictions and where they come from."""
    return {
        "skipped": dict(skipped),
        "unreadable": len({p.query_id for p in predictions if p.start_s is None or not p.is_readable}),
        "checkpoint": {key: notes[key] for key in ("dataset", "seed", "epoch", "score", "imported") if key in notes},
        "recipes": settings["recipes"],
        "weights": settings["weights"],
        "seconds": {"train": round(notes["train_seconds"], 1), "predict": round(seconds, 1)},
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
    }
