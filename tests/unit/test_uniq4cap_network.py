"""UniQ4Cap's passes and losses: who sees whom, what is left out, which pairs are drawn."""

import pytest
import torch
import torch.nn.functional as F

from models.systems.uniq4cap import alignment, losses
from models.systems.uniq4cap.config import LossConfig
from models.systems.uniq4cap.losses import Negatives, Similarities
from models.systems.uniq4cap.network import Captioner
from tests.unit.made_uniq4cap import AUDIO, TEXTS, VIDEO, WORDS, made_batch, made_config, made_network

CLOSE = {"atol": 1e-5, "rtol": 0}


def asked(network: Captioner, batch: dict) -> losses.Any:
    return network.ask(network.media(batch["video"], batch["audio"]), batch.get("valid_media"))


@torch.no_grad()
def test_words_that_are_written_see_queries_and_earlier_words_and_queries_see_no_word():
    network, batch = made_network(), made_batch()
    found, bert = asked(network, batch), network.Qformer.bert
    n_queries, length = network.query_tokens.shape[1], batch["ids"].shape[1]
    mask = torch.zeros(3, n_queries + length, n_queries + length, dtype=torch.bool)
    mask[:, :, :n_queries] = True
    mask[:, n_queries:, n_queries:] = batch["ids_mask"][:, None] & torch.ones(length, length, dtype=torch.bool).tril()
    rows = torch.cat([network.query_tokens.expand(3, -1, -1), bert.embeddings.words(batch["ids"])], dim=1)
    together, _ = bert(rows, n_queries, found.memory, mask)
    torch.testing.assert_close(together[:, :n_queries], found.rows, **CLOSE)
    written = network.write(found.pairs, batch["ids"], batch["ids_mask"])
    torch.testing.assert_close(network.Qformer.logits(together[:, n_queries:]), written, **CLOSE)


@torch.no_grad()
def test_padding_changes_nothing():
    network, batch = made_network(), made_batch()
    short = batch["ids_mask"].sum(1).min()
    number = int(batch["ids_mask"].sum(1).argmin())
    one = {name: batch[name][number : number + 1] for name in ("video", "audio", "ids", "ids_mask")}
    ids, valid, found = one["ids"][:, :short], one["ids_mask"][:, :short], asked(network, one)
    torch.testing.assert_close(network.read(ids, valid), network.read(one["ids"], one["ids_mask"]), **CLOSE)
    matched = network.match(found.memory, one["ids"], one["ids_mask"])
    torch.testing.assert_close(network.match(found.memory, ids, valid), matched, **CLOSE)
    one, other = (
        losses.loss_terms(network, made_batch(config=made_config(data={"max_words": n})), LossConfig(mtm=0))
        for n in (12, 15)
    )
    for name in ("mtc", "mgm"):
        torch.testing.assert_close(one[name], other[name], **CLOSE)


@torch.no_grad()
def test_tokens_that_are_not_there_are_not_looked_at():
    network, batch = made_network(), made_batch()
    batch["valid_media"] = torch.tensor([[True] * 8, [True] * 5 + [False] * 3, [True] * 4 + [False] + [True] * 3])
    found = asked(network, batch)
    silent = network.ask(network.media(batch["video"][1:2]))
    torch.testing.assert_close(found.rows[1:2], silent.rows, **CLOSE)
    shorter = network.ask(network.media(batch["video"][2:3, :4], batch["audio"][2:3]))
    torch.testing.assert_close(found.rows[2:3], shorter.rows, **CLOSE)
    order = torch.tensor([2, 1, 1])
    ids, valid = batch["ids"], batch["ids_mask"]
    matched = network.match(found.memory.of(order), ids, valid)
    moved = network.ask(network.media(batch["video"][order], batch["audio"][order]), batch["valid_media"][order])
    torch.testing.assert_close(network.match(moved.memory, ids, valid), matched, **CLOSE)


def test_queries_look_in_every_second_layer_and_a_deaf_network_has_no_ear():
    network = made_network()
    looks = [layer.crossattention is not None for layer in network.Qformer.bert.encoder.layer]
    assert looks == [True, False, True]
    deaf = Captioner(made_config().network, len(WORDS.vocabulary), VIDEO, 0)
    assert {name for name, _ in network.named_parameters()} - {name for name, _ in deaf.named_parameters()} == {
        *(f"ln_audio.{part}" for part in ("weight", "bias")),
        *(f"audio_project.{part}" for part in ("weight", "bias")),
    }
    assert network.audio_project.in_features == AUDIO


def test_the_total_is_the_weighted_sum_and_terms_of_weight_0_are_not_computed():
    network, batch, drawn = made_network(), made_batch(), Negatives(torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1]))
    terms = losses.loss_terms(network, batch, LossConfig(mtc=0.5, mtm=2.0, mgm=3.0), drawn)
    torch.testing.assert_close(terms["total"], 0.5 * terms["mtc"] + 2 * terms["mtm"] + 3 * terms["mgm"])
    alone = losses.loss_terms(network, batch, LossConfig(mtc=0, mtm=0))
    assert alone.keys() == {"total", "mgm"}
    torch.testing.assert_close(alone["mgm"], terms["mgm"])
    alone["total"].backward()
    without = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is None}
    assert without == {"temp", "vision_proj", "text_proj", "itm_head", "Qformer"}


def test_matching_is_left_out_where_there_is_no_wrong_pair():
    network = made_network()
    assert "mtm" not in losses.loss_terms(network, made_batch(1), LossConfig())
    equal = made_batch()
    equal["ids"], equal["ids_mask"] = (equal[name][:1].expand(3, -1) for name in ("ids", "ids_mask"))
    assert "mtm" not in losses.loss_terms(network, equal, LossConfig(same_caption_negatives=False))
    assert "mtm" in losses.loss_terms(network, equal, LossConfig())


def test_the_more_alike_the_likelier_drawn_and_never_the_own_one():
    alike = torch.tensor([[9.0, 3.0, 2.0], [0.0, 9.0, 0.0], [5.0, 1.0, 9.0]])
    expected = torch.tensor([[0, 3.0, 2.0], [0.0, 0, 0.0], [5.0, 1.0, 0]]).exp() * (1 - torch.eye(3))
    expected /= expected.sum(1, keepdim=True)
    torch.testing.assert_close(losses.negative_weights(alike, torch.arange(3)), expected)
    far = Similarities(
        torch.tensor([[0.0, 90, 0], [90, 0, 0], [90, 0, 0]]), torch.tensor([[0.0, 0, 90], [0, 0, 90], [0, 90, 0]])
    )
    drawn = losses.draw_negatives(far)
    assert drawn.media.tolist() == [2, 2, 1]
    assert drawn.texts.tolist() == [1, 0, 0]
    texts = torch.tensor([[1, 2], [1, 3], [1, 2]])
    excluded = losses.equal_texts(texts, texts)
    assert excluded.tolist() == [[True, False, True], [False, True, False], [True, False, True]]
    assert losses.draw_negatives(far, excluded).media.tolist() == [1, 2, 1]


@torch.no_grad()
def test_matching_sees_right_pairs_first_then_wrong_media_then_wrong_texts():
    network, batch, drawn = made_network(), made_batch(), Negatives(torch.tensor([1, 2, 0]), torch.tensor([2, 0, 1]))
    found = asked(network, batch)
    ids, valid = batch["ids"], batch["ids_mask"]
    scores = losses.matching_logits(network, found.memory, ids, valid, drawn, losses.Choice(ids, valid))
    for start, media, texts in ((0, [0, 1, 2], [0, 1, 2]), (3, drawn.media, [0, 1, 2]), (6, [0, 1, 2], drawn.texts)):
        own = network.match(found.memory.of(torch.as_tensor(media)), ids[texts], valid[texts])
        torch.testing.assert_close(scores[start : start + 3], own, **CLOSE)
    sure = torch.tensor([[-50.0, 50.0]] * 3 + [[50.0, -50.0]] * 6)
    assert losses.matching(sure) < 1e-6
    assert losses.matching(-sure) > 90


def test_the_best_query_counts_and_both_directions_are_contrasted():
    network, batch = made_network(), made_batch()
    with torch.no_grad():
        network.temp.fill_(0.5)
        rows = asked(network, batch).rows
        found = losses.similarities(network, rows, batch["ids"], batch["ids_mask"])
        text = network.compared_texts(network.read(batch["ids"], batch["ids_mask"]))
        by_hand = max(float(query @ text[2]) for query in network.compared_media(rows)[0]) / 0.5
    assert float(found.of_media[0, 2]) == pytest.approx(by_hand, abs=1e-5)
    alike = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    one, other = (F.cross_entropy(s, torch.arange(2), label_smoothing=0.1) for s in (alike, alike.t()))
    torch.testing.assert_close(losses.contrast(Similarities(alike, alike.t()), 0.1), (one + other) / 2)


def test_each_word_is_to_follow_the_one_before_it_and_padding_does_not_count():
    labels = torch.tensor([[3, 1, 2, losses.IGNORED]])
    logits = torch.full((1, 4, 5), -50.0)
    logits[0, 0, 1] = logits[0, 1, 2] = 50.0
    assert losses.writing(logits, labels, 0.0) < 1e-6
    assert losses.writing(logits.roll(1, 1), labels, 0.0) > 10
    assert len(TEXTS) == 3


def test_one_text_per_medium_is_the_plain_contrast():
    torch.manual_seed(0)
    media, texts = (F.normalize(torch.randn(4, 6), dim=1) for _ in range(2))
    scale = torch.tensor(5.0)
    found = alignment.mil_nce(media, texts[:, None], torch.ones(4, 1, dtype=torch.bool), scale)
    torch.testing.assert_close(sum(found) / 2, alignment.nce(media, texts, scale))


def test_any_text_of_a_bag_will_do_and_missing_ones_do_not_count():
    media = torch.eye(2)
    bags = torch.stack([torch.stack([media[0], media[1]]), torch.stack([media[1], media[0]])])
    both, first = torch.ones(2, 2, dtype=torch.bool), torch.tensor([[True, False], [True, False]])
    one_right = alignment.mil_nce(media, bags, first, torch.tensor(30.0))
    assert max(one_right) < 1e-6
    assert min(alignment.mil_nce(media, bags, both, torch.tensor(30.0))) == pytest.approx(0.6931, abs=1e-3)
