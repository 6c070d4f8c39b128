"""Processes that compute losses of different parts of a network end with the gradients that one would have."""

import random
from typing import Any

import pytest
import torch

from models.systems.calce.system import System as Calce
from models.systems.interface import System
from models.systems.quag.system import System as Quag
from tests.unit import made_calce, made_quag
from tests.unit.made_processes import by_processes
from workflow_scripts.lib.training.network_loss import SharedLoss
from workflow_scripts.lib.training.sharing import Share

PARTS = ("both", "first", "shown", "never")


class Parts(torch.nn.Module):
    """One number per part, and a running mean."""

    def __init__(self) -> None:
        super().__init__()
        self.values = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.ones(1)) for name in PARTS})
        self.norm = torch.nn.BatchNorm1d(1, affine=False, momentum=1.0)
        self.register_buffer("table", torch.full((1,), 0.1))


class Made(System):
    """Whose loss needs only some of the parts."""

    def loss(self, network: Parts, batch: dict[str, float], epoch: int) -> dict[str, torch.Tensor]:
        network.norm(torch.tensor([[batch["value"]], [batch["value"]]]))
        total = batch["value"] * network.values["both"] + epoch
        if batch["has_first"]:
            total = total + 3 * batch["value"] * network.values["first"]
        return {"total": total.sum(), "shown": network.values["shown"].sum()}


MADE = Made(None, {}, {})


def gradients(share: Share) -> tuple[dict[str, float | None], float, float]:
    """Return what two steps of two batches per process leave; the last batch of each process has no `first`."""
    network = Parts()
    shared = SharedLoss(network, MADE, share.n_processes)
    for step in range(2):
        network.zero_grad()
        for place in range(2):
            number = share.n_processes * place + share.process
            batch = {"value": float(10 * step + number), "has_first": number == 0}
            with shared.of_batch(is_last=place == 1):
                shared(batch, 0)["total"].backward()
        shared.average_statistics()
    left = {name: None if value.grad is None else value.grad.item() for name, value in network.values.items()}
    return left, network.norm.running_mean.item(), network.table.item()


@pytest.mark.parametrize("n_processes", [2, 3])
def test_gradients_are_the_mean_of_all_processes_over_all_batches_of_the_step(tmp_path, n_processes):
    total = sum(10 + number for number in range(2 * n_processes))
    expected = {"both": total / n_processes, "first": 30 / n_processes, "shown": None, "never": None}
    mean = sum(10 + n_processes + process for process in range(n_processes)) / n_processes
    for left, running_mean, table in by_processes(n_processes, gradients, tmp_path):
        assert left == pytest.approx(expected)
        assert running_mean == pytest.approx(mean)
        assert table == torch.full((1,), 0.1).item()


def test_one_process_shares_nothing():
    left, running_mean, _ = gradients(Share())
    assert left == {"both": 21.0, "first": 30.0, "shown": None, "never": None}
    assert running_mean == 11.0


def test_terms_that_are_only_shown_lead_nowhere():
    terms = SharedLoss(Parts(), MADE, 1)({"value": 1.0, "has_first": False}, 4)
    assert terms["total"].requires_grad
    assert terms["total"].item() == 5.0
    assert not terms["shown"].requires_grad


def made_quag_step() -> tuple[System, torch.nn.Module, list[dict[str, Any]]]:
    """Return a step in which every batch is of another task, and needs other parts of the network."""
    config = made_quag.made_config()
    dims = {name: [dim] for name, dim in zip(("visual", "text", "speech"), made_quag.DIMS, strict=True)}
    batches = [made_quag.made_batch(task, config) for task in ("moments", "captions", "steps", "moments")]
    return Quag(config, {}, dims), made_quag.made_network(config), batches


def made_calce_step() -> tuple[System, torch.nn.Module, list[dict[str, Any]]]:
    """Return a step of a network that is mostly frozen, and computed again in the backward pass."""
    undropped = {"t5": {"dropout": 0.0}, "lora": {"dropout": 0.0}}
    config = made_calce.made_config(network={"gradient_checkpointing": True} | undropped)
    system = Calce(config, Calce.fit(config, []), {"visual": [made_calce.TOKENS * made_calce.WIDTH]})
    torch.manual_seed(0)
    samples = [system.sample(made_calce.made_item(number), random.Random(number)) for number in range(4)]
    network = system.network().train()
    network.qformer.eval()
    return system, network, [system.collate([sample]) for sample in samples]


@pytest.mark.parametrize("made", [made_quag_step, made_calce_step], ids=["quag", "calce"])
def test_a_system_is_taught_by_two_processes_what_one_teaches_it(tmp_path, made):
    def gradients(share: Share) -> dict[str, torch.Tensor]:
        system, network, batches = made()
        shared = SharedLoss(network, system, share.n_processes)
        own = batches[share.process :: share.n_processes]
        for place, batch in enumerate(own):
            with shared.of_batch(is_last=place + 1 == len(own)):
                (shared(batch, 0)["total"] / len(own)).backward()
        return {name: value.grad for name, value in network.named_parameters() if value.grad is not None}

    (expected,) = by_processes(1, gradients, tmp_path / "one")
    for found in by_processes(2, gradients, tmp_path / "two"):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5 * value.abs().max().item())
