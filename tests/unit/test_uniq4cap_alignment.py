"""Stage 1 of UniQ4Cap: pictures and sounds find captions, and what it leaves is what the captioner starts from."""

import random
from pathlib import Path

import pytest
import torch

from models.systems.interface import Caption
from models.systems.uniq4cap.alignment import alignment_terms, chosen_candidates, media_vectors
from models.systems.uniq4cap.config import AlignConfig
from models.systems.uniq4cap.system import System
from tests.unit.made_uniq4cap import DIMS, TEXTS, VOCABULARY, made_config, made_item, made_system
from tests.unit.test_chain import PREDICTED, reader
from workflow_scripts.lib.configuration.compose import Configuration

BAGS = ("bags", "bags_mask")
CONFIG = Path(__file__).resolve().parents[2] / "config"


def aligning(dims=DIMS, **changes) -> System:
    config = made_config(stage="align", **changes)
    return System(config, {"words": VOCABULARY, "candidates": list(TEXTS)}, dims)


def batch_of(system, items, seed=0):
    rng = None if seed is None else random.Random(seed)
    return system.collate([system.sample((None, item), rng) for item in items])


def test_bags_hold_different_captions_of_a_video_as_many_as_there_are():
    system = aligning(align={"bag": 2})
    batch = batch_of(system, [made_item(0, captions=(*TEXTS, "")), made_item(1, captions=TEXTS[:1])])
    assert batch["bags"].shape == batch["bags_mask"].shape == (2, 2, system.config.data.max_words)
    assert batch["is_text"].tolist() == [[True, True], [True, False]]
    known = {tuple(system.words.encode(text, 9)) for text in TEXTS}
    found = {tuple(ids[: sum(mask)]) for ids, mask in zip(*(batch[n][0].tolist() for n in BAGS), strict=True)}
    assert len(found) == 2
    assert found < known
    assert "ids" not in batch


def test_every_part_that_is_compared_learns_and_nothing_else():
    torch.manual_seed(0)
    system = aligning()
    network = system.network()
    terms = system.loss(network, batch_of(system, [made_item(n) for n in range(3)]), 0)
    assert terms.keys() == {"total", "nce", "mil_nce"}
    assert float(terms["total"]) == pytest.approx(float(terms["nce"] + terms["mil_nce"]))
    terms["total"].backward()
    still = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert still == {"Qformer", "itm_head"}
    assert network.Qformer.cls.predictions.bias.grad is None
    assert all(p.grad is not None for p in network.Qformer.bert.parameters())


def test_a_silent_video_is_no_negative_of_sounds_and_a_deaf_batch_has_no_such_term():
    torch.manual_seed(0)
    system = aligning(network={"dropout": 0.0})
    network = system.network().eval()
    items = [made_item(0), made_item(1), made_item(2, n_audio=0)]
    config = AlignConfig(nce=0.0)
    with_silent = alignment_terms(network, batch_of(system, items), config)["mil_nce"]
    torch.testing.assert_close(with_silent, alignment_terms(network, batch_of(system, items[:2]), config)["mil_nce"])
    silent = alignment_terms(network, batch_of(system, items[2:]), AlignConfig())
    assert silent.keys() == {"total", "nce"}
    assert torch.isfinite(silent["total"])
    deaf = aligning({"visual": DIMS["visual"]})
    assert deaf.loss(deaf.network(), batch_of(deaf, items), 0).keys() == {"total", "nce"}
    with pytest.raises(ValueError, match="nothing would be learnt"):
        made_config(align={"nce": 0, "mil_nce": 0})


def test_padding_of_media_does_not_count():
    torch.manual_seed(0)
    system = aligning()
    network = system.network().eval()
    batch = batch_of(system, [made_item(0, n_video=3), made_item(1, n_video=5)])
    both = media_vectors(network, network.see(batch["video"]), batch["valid_video"])
    alone = batch_of(system, [made_item(0, n_video=3)])
    one = media_vectors(network, network.see(alone["video"]), alone["valid_video"])
    torch.testing.assert_close(both[:1], one)


def test_videos_learn_to_find_their_captions_by_sight_and_by_sound():
    torch.manual_seed(0)
    system = aligning(network={"dropout": 0.0}, train={"learning_rate": 0.003})
    network, items = system.network(), [made_item(number) for number in range(3)]
    optimiser = system.optimiser(system.parameter_groups(network))
    found = []
    for step in range(151):
        if step in (0, 150):
            answers = system.predict(network.eval(), batch_of(system, items, None), None, "captions")
            found.append([answer.text for answer in answers])
            network.train()
        optimiser.zero_grad()
        system.loss(network, batch_of(system, items), 0)["total"].backward()
        optimiser.step()
    assert found[0] != list(TEXTS)
    assert found[1] == list(TEXTS)
    silent = system.predict(network.eval(), batch_of(system, [made_item(1, n_audio=0)], None), None, "captions")
    assert [(type(c), c.video_id, c.step_index, c.text) for c in silent] == [(Caption, "v1", None, TEXTS[1])]


def test_answers_are_chosen_from_the_captions_of_training_each_once():
    config = made_config(stage="align", align={"candidates": 2})
    items = [made_item(n, captions=own) for n, own in enumerate((TEXTS, TEXTS[:1], ("", " ")))]
    chosen = chosen_candidates(items, config)
    assert len(chosen) == 2
    assert set(chosen) < set(TEXTS)
    assert chosen == chosen_candidates(items, config)
    fitted = System.fit(made_config(stage="align", network={"bert": "uncased"}), items)
    assert sorted(fitted["candidates"]) == sorted(TEXTS)
    assert "candidates" not in System.fit(made_config(network={"bert": "uncased"}), items)


def test_the_captioner_starts_from_stage_1_and_is_told_nothing_by_it(tmp_path):
    configuration = Configuration({}, CONFIG)
    system = configuration.system("msrvtt", "uniq4cap_aligned")
    assert (system.prior.system, system.prior.weights, system.prior.answers) == ("uniq4cap_align", True, "none")
    assert configuration.system("msrvtt", "uniq4cap_align").settings["network"] == system.settings["network"]
    made_system().network().load_state_dict(aligning().network().state_dict(), strict=True)
    split = reader(tmp_path / "made", prior=PREDICTED | {"answers": "none"}).read("val")
    assert not split.skipped
    assert {item.told.prior_spans for item in split.items} == {None}
