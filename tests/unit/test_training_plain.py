"""The training loop against the plainest one that does the same: same weights, to the last bit."""

import random
from typing import Any

import pytest
import torch
from accelerate.utils import set_seed

from tests.unit.made_training import DIMS, made_settings, made_splits, made_training
from workflow_scripts.lib.training.checkpoint import system_class, system_config
from workflow_scripts.lib.training.standardiser import Standardiser
from workflow_scripts.lib.training.units import prepared

SEED = 5


def plainly_trained(settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the weights after the last epoch."""
    system_type, config = system_class("img"), system_config("img", settings["config"]["settings"])
    items = made_splits()[0].items
    fitted, standardiser = system_type.fit(config, items), Standardiser.fit(items, ["visual"])
    items = [prepared(item, standardiser.apply) for item in items]
    train = config.train
    set_seed(SEED)
    system = system_type(config, fitted, DIMS)
    network = system.network().train()
    optimiser = system.optimiser(system.parameter_groups(network))
    n_batches = -(-len(items) // train.batch_size)
    schedule = system.schedule(optimiser, train.epochs * -(-n_batches // train.accumulation))
    for epoch in range(train.epochs):
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(SEED * 1_000_003 + epoch)).tolist()
        for number in range(n_batches):
            numbers = order[number * train.batch_size :][: train.batch_size]
            if train.accumulation > 1:
                set_seed(random.Random(f"{SEED}/{epoch}/batch {number}").getrandbits(32))
            batch = system.collate([system.sample(items[i], random.Random(f"{SEED}/{epoch}/{i}")) for i in numbers])
            (system.loss(network, batch, epoch)["total"] / train.accumulation).backward()
            if (number + 1) % train.accumulation == 0 or number + 1 == n_batches:
                torch.nn.utils.clip_grad_norm_(network.parameters(), train.clip_norm)
                optimiser.step()
                schedule.step()
                optimiser.zero_grad()
    return network.state_dict()


@pytest.mark.parametrize(
    ("accumulation", "clip_norm"), [(1, 0.05), (2, 0.05), (2, 1e6)], ids=["clipped", "accumulated", "not clipped"]
)
def test_a_training_gives_the_weights_of_the_plainest_loop(tmp_path, accumulation, clip_norm):
    settings = made_settings(
        config__settings__train__epochs=3,
        config__settings__train__accumulation=accumulation,
        config__settings__train__clip_norm=clip_norm,
    )
    training = made_training(tmp_path, settings, seed=SEED)
    training.run()
    expected = plainly_trained(settings)
    found = training.network.state_dict()
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
