"""UniQ4Cap as the workflow sees it: units, batches, captions, words, learning rate, settings."""

import random
from pathlib import Path

import pytest
import torch

from models.systems.interface import Caption
from models.systems.uniq4cap import optimisation
from models.systems.uniq4cap.config import BLIP2, Config, TrainConfig, base_weights
from models.systems.uniq4cap.system import System
from models.systems.uniq4cap.words import CaptionWords
from tests.unit.made_uniq4cap import (
    TEXTS,
    VIDEO,
    VOCABULARY,
    WORDS,
    made_config,
    made_item,
    made_network,
    made_system,
)
from tests.unit.test_uniq4cap_checkpoint import bert, blip2, published


def batch_of(system: System, items: list, seed: int | None = 0) -> dict:
    rng = None if seed is None else random.Random(seed)
    return system.collate([system.sample(unit, rng) for unit in system.units(items)])


def test_every_video_gets_one_caption_however_its_tokens_are_batched():
    system, network = made_system(), made_network()
    items = [made_item(0), made_item(1, n_audio=0), made_item(2, n_video=4), made_item(3)]
    found = system.predict(network, batch_of(system, items, None), None, "captions")
    assert [(type(c), c.query_id, c.video_id, c.step_index, c.rank) for c in found] == [
        (Caption, "", f"v{n}", None, 0) for n in range(4)
    ]
    alone = [system.predict(network, batch_of(system, [item], None), None, "captions")[0] for item in items]
    assert [caption.text for caption in alone] == [caption.text for caption in found]
    assert len({caption.text for caption in found}) > 1
    assert "[" not in "".join(caption.text for caption in found)


def test_sound_counts_and_a_system_without_it_needs_none():
    system, network = made_system(), made_network()
    with_sound, without = (
        system.predict(network, batch_of(system, [made_item(0, n_audio=n)], None), None, "captions")[0] for n in (3, 0)
    )
    assert with_sound.score != pytest.approx(without.score, abs=1e-4)
    deaf = made_system({"visual": [VIDEO]})
    batch = batch_of(deaf, [made_item(0), made_item(1)])
    assert "audio" not in batch
    deaf.loss(deaf.network(), batch, 0)["total"].backward()


def test_all_three_losses_are_finite_and_reach_every_parameter():
    torch.manual_seed(0)
    system = made_system()
    network = system.network()
    terms = system.loss(network, batch_of(system, [made_item(n) for n in range(3)]), 0)
    assert terms.keys() == {"total", "mtc", "mtm", "mgm"}
    assert torch.isfinite(terms["total"])
    terms["total"].backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


def test_what_is_only_heard_is_learnt_by_heart():
    """Training and writing agree on positions, starts and ends, and sound tells videos of one picture apart."""
    torch.manual_seed(0)
    system = made_system(
        network={"dropout": 0.0},
        train={"learning_rate": 0.003, "weight_decay": 0.0},
        loss={"label_smoothing": 0.0, "mtc": 0.0, "mtm": 0.0},
    )
    network, items = system.network(), [made_item(0), made_item(1, captions=("Dog ringing a bell .",)), made_item(2)]
    items[1].streams["visual"][0].values[:] = items[0].streams["visual"][0].values
    optimiser, batch = system.optimiser(system.parameter_groups(network)), batch_of(system, items)
    for _ in range(100):
        optimiser.zero_grad()
        system.loss(network, batch, 0)["total"].backward()
        optimiser.step()
    found = system.predict(network.eval(), batch_of(system, items, None), None, "captions")
    assert [caption.text for caption in found] == ["a dog barks", "Dog ringing a bell.", "Dog"]


def test_videos_are_left_out_by_name():
    system, strict = made_system(), made_system(data={"missing_audio": "skip"})
    assert system.skip_reason(made_item(0, n_video=0), False) == "no_visual"
    assert system.skip_reason(made_item(0, n_audio=0), False) is None
    assert strict.skip_reason(made_item(0, n_audio=0), False) == "no_audio"
    blank = made_item(0, captions=("", " "))
    assert system.skip_reason(blank, True) == "no_caption"
    assert system.skip_reason(blank, False) is None
    kept = made_system(data={"empty_captions": "keep"})
    assert kept.skip_reason(blank, True) is None
    assert kept.sample((None, blank), random.Random(0))["ids"] == [WORDS.ids.start, WORDS.ids.end]
    assert kept.skip_reason(made_item(0, captions=()), True) == "no_caption"


def test_one_of_a_videos_captions_is_trained_with():
    item = made_item(0, captions=("", *TEXTS))
    expected = [WORDS.encode(text, 9) for text in TEXTS]
    drawn = [made_system().sample((None, item), random.Random(seed))["ids"] for seed in range(30)]
    assert {tuple(own) for own in drawn} == {tuple(own) for own in expected}
    first = made_system(data={"references": "first"})
    assert all(first.sample((None, item), random.Random(seed))["ids"] == expected[0] for seed in range(9))
    assert "ids" not in first.sample((None, item), None)


def test_training_sees_some_of_the_tokens_in_their_order_and_answers_are_given_from_all():
    item, rng = made_item(0, n_video=8, n_audio=5), random.Random(0)
    half = made_system(data={"drop_tokens": 0.5})
    for medium, stream, n_kept in (("video", "visual", 4), ("audio", "audio", 2)):
        whole = item.streams[stream][0].values
        drawn = [half.sample((None, item), rng)[medium] for _ in range(40)]
        places = [[next(n for n, row in enumerate(whole) if (row == kept).all()) for kept in rows] for rows in drawn]
        assert all(own == sorted(set(own)) and len(own) == n_kept for own in places)
        assert {place for own in places for place in own} == set(range(len(whole)))
        assert len(half.sample((None, item), None)[medium]) == len(whole)
        assert len(made_system().sample((None, item), rng)[medium]) == len(whole)
    nearly_all = made_system(data={"drop_tokens": 0.99})
    assert len(nearly_all.sample((None, item), rng)["video"]) == 1
    assert len(nearly_all.sample((None, made_item(0, n_audio=0)), rng)["audio"]) == 0


@pytest.mark.parametrize("dims", [{}, {"visual": [4, 4]}, {"visual": [4], "audio": [2, 2]}])
def test_other_numbers_of_features_are_refused(dims):
    with pytest.raises(ValueError, match="one visual feature"):
        made_system(dims)


def test_the_vocabulary_is_read_where_it_is_not_in_the_repository(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    config = made_config(data={"vocabulary": str(path)})
    assert config.fit_files == {"data.vocabulary": str(path)}
    fitted = System.fit(config, [])
    assert System(config, fitted, {"visual": [4]}).words.vocabulary == [*VOCABULARY, "[DEC]"]
    with pytest.raises(ValueError, match=r"data\.vocabulary: no file"):
        System.fit(made_config(data={"vocabulary": str(Path(tmp_path) / "none")}), [])
    small = made_config(network={"bert": "uncased"})
    assert small.fit_files == System.fit(small, []) == {}
    assert len(System(small, {}, {"visual": [4]}).words.vocabulary) == 30523


def test_a_small_network_may_know_the_words_of_its_captions_only():
    config = made_config(network={"bert": "captions"})
    assert (config.fit_files, base_weights(config)) == ({}, ())
    fitted = System.fit(config, [made_item(0), made_item(1, captions=("A Dog's bell.",))])
    assert fitted["words"][5:] == ["'", ".", "a", "barks", "bell", "dog", "s"]
    words = System(config, fitted, {"visual": [4]}).words
    assert words.text(words.pieces("A dog barks.")) == "a dog barks."


def test_words_keep_their_case_or_lose_it_and_long_captions_lose_their_end():
    assert WORDS.pieces("Dog dog") == [VOCABULARY.index("Dog"), VOCABULARY.index("dog")]
    lower = CaptionWords(VOCABULARY, lowercase=True)
    assert lower.pieces("DOG Dog") == [VOCABULARY.index("dog")] * 2
    ids = WORDS.encode("a dog barks .", 5)
    assert ids == [WORDS.ids.start, *WORDS.pieces("a dog bark"), WORDS.ids.end]
    assert WORDS.text([WORDS.ids.start_writing, *WORDS.pieces("a dog 's bell rings , Dog ."), WORDS.ids.end]) == (
        "a dog's bell rings, Dog."
    )
    with pytest.raises(ValueError, match=r"\[MASK\]"):
        CaptionWords(["[PAD]", "[UNK]", "[CLS]", "[SEP]"], lowercase=True)


def test_the_rate_rises_in_the_first_epoch_and_then_has_one_value_per_epoch():
    train = TrainConfig(epochs=3, learning_rate=1.0, min_rate=0.1, warmup_rate=0.2, warmup_steps=4)
    weight = torch.nn.Parameter(torch.zeros(2))
    optimiser = optimisation.optimiser([{"params": [weight]}], train)
    schedule = optimisation.schedule(optimiser, 6, train)
    found = []
    for _ in range(6):
        found.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert found == pytest.approx([0.2, 0.4, 0.775, 0.775, 0.325, 0.325])


def test_vectors_and_biases_are_not_decayed_but_the_temperature_is():
    network = made_network()
    names = {parameter: name for name, parameter in network.named_parameters()}
    decayed, free = ({names[p] for p in g["params"]} for g in made_system().parameter_groups(network))
    assert {"temp", "query_tokens", "itm_head.weight"} <= decayed
    assert {"ln_video.weight", "itm_head.bias", "Qformer.cls.predictions.bias"} <= free
    assert decayed | free == set(names.values())


def test_a_network_starts_from_its_base_weights_and_a_published_one_is_imported():
    system = made_system(network={"start": "published"})
    assert base_weights(system.config) == ("bert_base_cased", BLIP2)
    assert base_weights(made_config()) == ()
    other = made_network()
    body = blip2(other)
    started = system.network({"bert_base_cased": bert(other), BLIP2: body})
    assert torch.equal(started.itm_head.weight, body["model"]["itm_head.weight"])
    assert system.import_checkpoint(published(other)).keys() == other.state_dict().keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"heads": 5}}, "multiple of network.heads"),
        ({"network": {"drop_embeddings": False}}, "bert: uncased"),
        ({"data": {"max_words": 17}}, "network.positions"),
        ({"decoding": {"max_length": 17}}, "network.positions"),
        ({"decoding": {"min_length": 12}}, "exceeds max_length"),
        ({"loss": {"mgm": 0}}, "greater than 0"),
        ({"network": {"start": "published", "bert": "captions"}}, "needs network.start random"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        made_config(**changes)


def test_the_defaults_are_those_of_the_published_recipe():
    config = Config()
    assert (config.tasks, config.captions_of) == (("captions",), ("videos",))
    assert (config.network.queries, config.network.shared_width, config.data.max_words) == (64, 256, 32)
