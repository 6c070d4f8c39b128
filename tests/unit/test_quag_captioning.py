"""Captions of QUAG: words, beam search with a cache, and its options."""

import itertools
import math

import pytest
import torch

from models.layers.word_pieces import bert_vocabulary
from models.systems.quag import predicting
from models.systems.quag.captioning import CachedDecoder, write_captions
from models.systems.quag.words import PAD, CaptionWords, bert_words
from tests.unit.made_quag import WORDS, made_batch, made_config, made_network, made_plain

MAX_WORDS = 8


def decoder_of(seed: int = 0, form: str = "quag"):
    return made_network(made_config(form), seed).clip4cap_model.decoder


def memories(n_steps: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n_steps, 5, 24, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", ["quag", "hirest"])
def test_cached_words_have_the_logits_of_the_whole_text(form):
    decoder, memory = decoder_of(form=form), memories(3)
    words = torch.randint(5, len(WORDS.vocabulary), (6, 7))
    plain = made_plain(made_network(made_config(form))).clip4cap_model
    cached = CachedDecoder(decoder, memory, beams=2)
    with torch.no_grad():
        expected = plain.word_logits(memory.repeat_interleave(2, 0), words, torch.ones_like(words))
        for position in range(7):
            found = cached.next_logits(words[:, position].view(3, 2))
            torch.testing.assert_close(found.flatten(0, 1), expected[:, position], atol=1e-3, rtol=1e-3)


def test_chosen_captions_go_on_from_their_own_past():
    decoder, memory = decoder_of(), memories(2)
    cached, again = CachedDecoder(decoder, memory, beams=2), CachedDecoder(decoder, memory[1:], beams=2)
    first, second = torch.tensor([[5, 6], [7, 8]]), torch.tensor([[9, 10]])
    with torch.no_grad():
        cached.next_logits(first)
        cached.choose(torch.tensor([1]), torch.tensor([[1, 1], [0, 0]])[:1])
        again.next_logits(torch.tensor([[8, 8]]))
        torch.testing.assert_close(cached.next_logits(second), again.next_logits(second), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_one_beam_is_greedy(seed):
    decoder, memory = decoder_of(seed), memories(2, seed)
    for step, caption in zip(memory, write_captions(decoder, memory, WORDS, 1, MAX_WORDS), strict=True):
        text, score = [WORDS.start], 0.0
        while len(text) <= MAX_WORDS and text[-1] != WORDS.end:
            words = torch.tensor([text])
            with torch.no_grad():
                chances = decoder(step[None], words, torch.ones_like(words, dtype=torch.bool))[0, -1].log_softmax(0)
            text.append(int(chances.argmax()))
            score += float(chances.max())
        assert caption.ids == text[1:]
        assert caption.score == pytest.approx(score, abs=1e-2)


@pytest.mark.parametrize("seed", range(4))
def test_as_many_beams_as_words_find_the_best_text_of_two(seed):
    decoder, memory = decoder_of(seed), memories(1, seed)
    vocabulary = len(WORDS.vocabulary)
    (found,) = write_captions(decoder, memory, WORDS, vocabulary, 2)
    best = -float("inf")
    for first, second in itertools.product(range(vocabulary), repeat=2):
        words = torch.tensor([[WORDS.start, first]])
        with torch.no_grad():
            chances = decoder(memory, words, torch.ones_like(words, dtype=torch.bool))[0].log_softmax(1)
        best = max(best, float(chances[0, first] + chances[1, second]))
    assert found.ids[0] != WORDS.end
    assert found.score == pytest.approx(best, abs=1e-2)


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_captions_do_not_depend_on_the_steps_described_with_them(freeze, seed):
    decoder, memory = decoder_of(seed), memories(6, seed)
    together = write_captions(decoder, memory, WORDS, 3, MAX_WORDS, freeze)
    alone = [write_captions(decoder, step[None], WORDS, 3, MAX_WORDS, freeze)[0] for step in memory]
    assert [caption.ids for caption in together] == [caption.ids for caption in alone]
    assert write_captions(decoder, memory[:0], WORDS, 3, MAX_WORDS, freeze) == []


CUT, EGG, PAN = (WORDS.vocabulary.index(word) for word in ("cut", "egg", "pan"))
START, END = WORDS.start, WORDS.end


def scripted(monkeypatch, table: dict[int, dict[int, float]], freeze: bool, rounds: int):
    """Search with two beams where the next word depends on the last one alone; other words share what is left."""
    chances = torch.full((len(WORDS.vocabulary),) * 2, 1 / len(WORDS.vocabulary))
    for last, row in table.items():
        chances[last] = (1 - sum(row.values())) / (chances.shape[1] - len(row)) + 1e-9
        for word, chance in row.items():
            chances[last, word] = chance
    monkeypatch.setattr(CachedDecoder, "next_logits", lambda self, words: chances[words].log())
    monkeypatch.setattr(CachedDecoder, "choose", lambda self, steps, origins: None)
    return write_captions(decoder_of(), memories(1), WORDS, 2, rounds, freeze)[0]


def test_a_caption_that_ended_and_goes_on_may_win_as_published(monkeypatch):
    table = {
        START: {EGG: 0.5, CUT: 0.4},
        CUT: {END: 0.9},
        END: {PAN: 0.99},
        EGG: {PAN: 0.99},
        PAN: {PAN: 0.2},
    }
    found = scripted(monkeypatch, table, freeze=False, rounds=3)
    assert found.ids == [CUT, END, PAN]
    assert WORDS.text(found.ids) == "cut"
    assert found.score == pytest.approx(math.log(0.4 * 0.9 * 0.99), abs=1e-4)


def test_a_caption_that_ended_and_fell_behind_is_lost_as_published_and_kept_on_request(monkeypatch):
    table = {
        START: {EGG: 0.5, CUT: 0.4},
        CUT: {END: 0.9},
        END: {PAN: 0.01},
        EGG: {PAN: 0.99},
        PAN: {PAN: 0.6},
    }
    assert scripted(monkeypatch, table, freeze=False, rounds=5).ids == [EGG, PAN, PAN, PAN, PAN]
    kept = scripted(monkeypatch, table, freeze=True, rounds=5)
    # Done in the third round, when nothing that goes on is as likely.
    assert kept.ids == [CUT, END, PAD]
    assert kept.score == pytest.approx(math.log(0.4 * 0.9), abs=1e-4)


def test_the_search_ends_when_its_best_caption_ends(monkeypatch):
    table = {START: {CUT: 0.9}, CUT: {END: 0.9}}
    assert scripted(monkeypatch, table, freeze=False, rounds=6).ids == [CUT, END]
    assert scripted(monkeypatch, {START: {END: 0.9}}, freeze=False, rounds=6).ids == [END]


def test_captions_are_cut_at_their_end_and_their_pieces_joined():
    spell = WORDS.text
    ids = {word: number for number, word in enumerate(WORDS.vocabulary)}
    assert spell([ids["cut"], ids["the"], ids["rib"], ids["##bon"], ids["##s"], 3, ids["egg"]]) == "cut the ribbons"
    assert spell([ids["egg"], 0, ids["pan"], 3]) == "egg"
    assert spell([3, ids["egg"]]) == ""
    assert spell([]) == ""
    # parity: signs at both ends are lost, those of a word's rest at the start too.
    assert spell([ids["##bon"], ids["egg"], ids["#"]]) == "bon egg"


def test_a_caption_is_read_from_its_start_and_written_to_its_end():
    read, written = WORDS.training_pair("  Cut the RIBBONS. ", 8)
    words = [WORDS.vocabulary[number] for number in read]
    assert words == ["[CLS]", "cut", "the", "rib", "##bon", "##s", "."]
    assert written == [*read[1:], 3]


def test_a_caption_that_is_too_long_loses_its_end():
    read, written = WORDS.training_pair("egg " * 60, 48)
    assert len(read) == len(written) == 48
    assert written[-1] == 3
    batch = made_batch("captions", made_config(data={"max_words": 3}))
    assert batch["words"].shape == (3, 3)


def test_words_are_those_of_bert():
    assert len(bert_vocabulary()) == 30522
    read, _ = bert_words().training_pair("Café twist & wire-free, 2x", 48)
    words = [bert_words().vocabulary[number] for number in read]
    assert words == ["[CLS]", "cafe", "twist", "&", "wire", "-", "free", ",", "2", "##x"]
    assert CaptionWords(bert_vocabulary()).pieces("") == []


def test_steps_of_many_batches_may_be_described_together():
    config = made_config()
    network = made_network(config)
    batch = made_batch("captions", config, lengths=(20, 25, 31, 9, 14))
    found = predicting.describe_steps(network, batch, config, WORDS)
    assert len(found) == 5
    assert all(1 <= len(caption.ids) <= config.data.max_words for caption in found)
