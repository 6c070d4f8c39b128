"""Captions are written without the width of media in between; nothing but rounding changes."""

import pytest
import torch

from models.systems.uniq4cap.folding import FoldedBridges
from tests.unit.made_uniq4cap import VIDEO, made_item, made_network, made_system

WIDE = {"network": {"media_width": 20}}
NARROW = {"network": {"media_width": 9}}


def batch_of(system, items):
    return system.collate([system.sample(unit, None) for unit in system.units(items, "captions")])


@pytest.mark.parametrize("n_video", [5, 3])
def test_the_queries_find_out_the_same(n_video):
    network, system = made_network(), made_system()
    batch = batch_of(system, [made_item(0), made_item(1, n_video=n_video)])
    media = {name: batch[name] for name in ("video", "audio", "valid_media") if name in batch}
    assert ("valid_media" in media) == (n_video != 5)
    with torch.no_grad():
        plain = network.ask_memory(network.memory(**media), 2)
        found = network.ask_memory(FoldedBridges(network).memory(**media), 2)
    torch.testing.assert_close(found.rows, plain.rows, atol=1e-5, rtol=1e-4)
    for one, two in zip(found.pairs, plain.pairs, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)


def test_what_is_only_seen_is_folded_too():
    torch.manual_seed(0)
    system = made_system({"visual": [VIDEO]})
    network, batch = system.network().eval(), batch_of(system, [made_item(0)])
    with torch.no_grad():
        found, plain = (reader.memory(batch["video"]) for reader in (FoldedBridges(network), network))
    for one, two in zip(found.pairs, plain.pairs, strict=True):
        assert (one is None) == (two is None)
        if one is not None:
            torch.testing.assert_close(one, two)


def test_it_is_done_where_media_are_wider_than_tokens_and_captions_stay(monkeypatch):
    items = [made_item(number) for number in range(11)]
    for changes, pays in ((WIDE, True), (NARROW, False)):
        system = made_system(**changes)
        torch.manual_seed(0)
        network = system.network().eval()
        assert FoldedBridges.pays(network) is pays
        batch = batch_of(system, items)
        written = system.predict(network, batch, None, "captions")
        assert len(written) == 11
        monkeypatch.setattr(FoldedBridges, "pays", lambda network: False)
        plain = system.predict(network, batch, None, "captions")
        monkeypatch.undo()
        assert [caption.text for caption in written] == [caption.text for caption in plain]
        assert [caption.score for caption in written] == pytest.approx([c.score for c in plain], abs=1e-4)


def test_what_is_made_of_weights_follows_them():
    network, made = made_network(), []

    def count(given):
        made.append(given.video_project.weight.clone())
        return len(made)

    assert [network.made_of_weights(count), network.made_of_weights(count)] == [1, 1]
    optimiser = made_system().optimiser([{"params": list(network.train().parameters())}])
    network.media(torch.zeros(1, 2, VIDEO)).sum().backward()
    optimiser.step()
    network.eval()
    assert network.made_of_weights(count) == 2
    network.load_state_dict({name: 2 * tensor for name, tensor in network.state_dict().items()})
    assert network.made_of_weights(count) == 3
    assert not any(torch.equal(made[0], other) for other in made[1:])
