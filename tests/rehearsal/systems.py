"""One system at full size: a training step, a prediction, a checkpoint that is written, read and gone on from."""

import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.systems.interface import Item
from tests.rehearsal.machine import Machine
from tests.rehearsal.made import made_file, made_items, stream_dims
from tests.rehearsal.whole_run import whole_disk, whole_run
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.training.checkpoint import Trained, read_checkpoint, system_class, system_config
from workflow_scripts.lib.training.checkpoint import write_checkpoint as write
from workflow_scripts.lib.training.standardiser import Standardiser

WITHOUT_FILES: Mapping[str, Mapping[str, Any]] = {
    "calce": {"network": {"weights": "random(0)"}},
    "quag": {"network": {"start": "random"}},
    "uniq4cap": {"network": {"start": "random", "drop_embeddings": True}},
}
"""Settings by which a network starts without published weights, sizes unchanged."""
ON_A_CPU: Mapping[str, Mapping[str, Any]] = {
    "calce": {
        "network": {
            "t5": {"layers": 2},
            "vision": {"layers": 2},
            "vision_precision": "fp32",
            "precision": "fp32",
            "gradient_checkpointing": True,
        }
    },
}
"""What is cut down where there is no GPU."""


def rehearse(
    configuration: Configuration, dataset: str, name: str, machine: Machine, duration_s: float
) -> dict[str, str]:
    """Return what was seen, by heading.

    Raises
    ------
    RuntimeError
        What was read is not what was written, or a training that goes on from it goes elsewhere.
    """
    system_file = configuration.system(dataset, name)
    cut = {} if machine.is_gpu else ON_A_CPU.get(system_file.system, {})
    settings = merge(merge(system_file.settings, WITHOUT_FILES.get(system_file.system, {})), cut)
    with tempfile.TemporaryDirectory() as folder:
        settings = _with_made_files(system_file.system, settings, Path(folder))
        config = system_config(system_file.system, settings)
        items = made_items(configuration, dataset, system_file, max(2, config.train.batch_size), duration_s)
        kind = system_class(system_file.system)
        system = kind(config, kind.fit(config, items), stream_dims(configuration, dataset, system_file))
    torch.manual_seed(0)
    network = machine.filled(system)
    optimiser = system.optimiser(system.parameter_groups(network))
    started = time.perf_counter()
    batch = machine.moved(_batch(system, items[: config.train.batch_size]))
    loaded_s = time.perf_counter() - started
    first, _ = machine.timed(lambda: _step(system, network, optimiser, batch))
    second, step_s = machine.timed(lambda: _step(system, network, optimiser, batch))
    answers, answer_s = machine.timed(lambda: _answers(system, network, items[:1], machine))
    checkpoint_bytes, state_bytes = _go_on(system, network, optimiser, batch, machine)
    return {
        "system": name,
        "dataset": dataset,
        "card": machine.name,
        "cut down": _flat(cut) or "nothing",
        "parameters": f"{sum(p.numel() for p in network.parameters()):,}",
        "s per step": f"{step_s:.2f}",
        "queries per step": str(config.train.batch_size),
        "s per answer": f"{answer_s:.2f}",
        **whole_run(system_file, dataset, step_s / config.train.batch_size, answer_s, bool(cut)),
        **whole_disk(configuration, dataset, system_file, checkpoint_bytes, state_bytes),
        "samples per s of one worker": f"{config.train.batch_size / loaded_s:.1f}",
        "peak memory": machine.peak(),
        "attention": machine.attention(config),
        "loss": f"{first:.3f}, then {second:.3f}",
        "answers": str(len(answers)),
    }


def _with_made_files(kind: str, settings: dict[str, Any], folder: Path) -> dict[str, Any]:
    for setting in getattr(system_config(kind, settings), "fit_files", {}):
        change: Any = str(made_file(setting, folder))
        for key in reversed(setting.split(".")):
            change = {key: change}
        settings = merge(settings, change)
    return settings


def _batch(system: Any, items: Sequence[Item]) -> dict[str, Any]:
    units = system.units(items)
    numbers = system.batches(units, len(items), random.Random(0), 0)
    chosen = units[: len(items)] if numbers is None else [units[number] for number in numbers[0]]
    return system.collate([system.sample(unit, random.Random(number)) for number, unit in enumerate(chosen)])


def _step(system: Any, network: nn.Module, optimiser: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    network.train()
    loss = system.loss(network, batch, 0)["total"]
    loss.backward()
    optimiser.step()
    optimiser.zero_grad()
    return loss.item()


def _answers(system: Any, network: nn.Module, items: Sequence[Item], machine: Machine) -> list[Any]:
    network.eval()
    task = system.tasks[0]
    batch = machine.moved(system.collate([system.sample(unit, None) for unit in system.units(items, task)]))
    with torch.inference_mode():
        return list(system.predict(network, batch, torch.Generator().manual_seed(0), task))


def _go_on(
    system: Any, network: nn.Module, optimiser: torch.optim.Optimizer, batch: dict[str, Any], machine: Machine
) -> tuple[int, int]:
    """Write a checkpoint and the optimiser's state, and compare what goes on from them; return the bytes of both."""
    notes = {"stream_dims": system.stream_dims}
    with tempfile.TemporaryDirectory() as folder:
        path, state = Path(folder) / "checkpoint.safetensors", Path(folder) / "optimiser.pt"
        write(path, Trained(network.state_dict(), Standardiser({}), notes))
        torch.save(optimiser.state_dict(), state)
        sizes = path.stat().st_size, state.stat().st_size
        losses = []
        for _ in range(2):
            network.load_state_dict(read_checkpoint(path).state)
            optimiser.load_state_dict(torch.load(state, machine.device, weights_only=True))
            torch.manual_seed(1)
            losses.append(_step(system, network, optimiser, batch))
    if not losses[0] == losses[1]:
        raise RuntimeError(f"going on from one checkpoint twice gave the losses {losses}: they must be equal numbers")
    return sizes


def _flat(changes: Mapping[str, Any], before: str = "") -> str:
    parts = [
        _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else f"{before}{key} {value}"
        for key, value in changes.items()
    ]
    return ", ".join(parts)
