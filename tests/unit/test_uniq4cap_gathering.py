"""The three losses of two processes are those of one that has both batches."""

from functools import partial
from pathlib import Path

import pytest
import torch

from models.systems.uniq4cap import losses
from models.systems.uniq4cap.losses import Negatives
from tests.unit.made_processes import by_processes
from tests.unit.made_uniq4cap import made_batch, made_config, made_network

N = 4
MEDIA, TEXTS = torch.tensor([3, 0, 1, 2]), torch.tensor([1, 3, 0, 0])
"""Wrong ones of all four samples; some are the other process's."""
QUIET = {"network": {"dropout": 0.0}}


def config_of(gather):
    return made_config(**QUIET, loss={"gather": gather}).loss


def made(n=N):
    """Return a network and a batch of captions of one length, so that means of words are those of batches."""
    network = made_network(made_config(**QUIET)).train()
    batch = made_batch(n)
    batch["ids"], batch["ids_mask"] = (batch[name][:1].repeat(n, 1) for name in ("ids", "ids_mask"))
    batch["ids"][:, 1] = torch.arange(5, 5 + n)
    return network, batch


def part_of(batch, start, stop):
    return {name: own[start:stop] if torch.is_tensor(own) else own for name, own in batch.items()}


def work(share, gather, sizes):
    """Return the terms and the gradients of one of two processes."""
    network, batch = made(sum(sizes))
    start = sum(sizes[: share.process])
    own = slice(start, start + sizes[share.process])
    drawn = Negatives(MEDIA[own], TEXTS[own])
    terms = losses.loss_terms(network, part_of(batch, own.start, own.stop), config_of(gather), drawn)
    terms["total"].backward()
    gradients = {name: p.grad.numpy() for name, p in network.named_parameters() if p.grad is not None}
    return {name: term.item() for name, term in terms.items()}, gradients


def by_two(folder: Path, gather, sizes=(2, 2)):
    found = by_processes(2, partial(work, gather=gather, sizes=sizes), folder)
    return [(terms, {name: torch.from_numpy(value) for name, value in own.items()}) for terms, own in found]


def by_one():
    network, batch = made()
    terms = losses.loss_terms(network, batch, config_of("none"), Negatives(MEDIA, TEXTS))
    terms["total"].backward()
    return {name: term.item() for name, term in terms.items()}, dict(network.named_parameters())


def test_a_step_of_two_processes_is_that_of_one_with_twice_the_batch(tmp_path):
    (one, one_gradients), (two, two_gradients) = by_two(tmp_path, "gradients")
    expected, parameters = by_one()
    assert one["mtc"] != pytest.approx(two["mtc"], abs=1e-4)
    assert {name: (one[name] + two[name]) / 2 for name in one} == pytest.approx(expected, abs=1e-5)
    for name, parameter in parameters.items():
        mean = (one_gradients[name] + two_gradients[name]) / 2
        torch.testing.assert_close(mean, parameter.grad, atol=2e-5, rtol=1e-3, msg=name)


def test_as_published_the_values_are_the_same_and_gradients_of_the_contrast_stay_at_home(tmp_path):
    (one, one_gradients), (two, two_gradients) = by_two(tmp_path, "published")
    expected, parameters = by_one()
    assert {name: (one[name] + two[name]) / 2 for name in one} == pytest.approx(expected, abs=1e-5)
    mean = {name: (gradient + two_gradients[name]) / 2 for name, gradient in one_gradients.items()}
    assert not torch.allclose(mean["text_proj.weight"], parameters["text_proj.weight"].grad, atol=1e-4)
    torch.testing.assert_close(mean["itm_head.weight"], parameters["itm_head.weight"].grad)


def test_a_last_batch_may_be_smaller_on_one_process(tmp_path):
    (one, _), (two, _) = by_two(tmp_path, "gradients", (3, 1))
    expected, _ = by_one()
    for name in ("mtc", "mtm"):
        assert (3 * one[name] + two[name]) / 4 == pytest.approx(expected[name], abs=1e-5)
