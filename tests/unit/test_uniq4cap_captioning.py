"""UniQ4Cap writes: the cache, beam search against all captions there are, drawing, restrictions."""

import itertools

import pytest
import torch

from models.systems.uniq4cap.captioning import CachedWriter, Written, chances, restricted, write_captions
from models.systems.uniq4cap.config import DecodingConfig
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.words import Ids
from tests.unit.made_uniq4cap import WORDS, made_batch, made_network

SMALL = Ids(pad=0, start=1, end=2, start_writing=3)


def asked_pairs(network: Captioner, n: int = 3) -> list:
    batch = made_batch(n)
    with torch.no_grad():
        return network.ask(network.media(batch["video"], batch["audio"])).pairs


def one_of(pairs: list, number: int) -> list:
    return [(keys[number : number + 1], values[number : number + 1]) for keys, values in pairs]


class Table(CachedWriter):
    """Scores that depend on sample, position and the last word; what it is told to go on with is remembered."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores, self.n_words = scores, 0
        self.samples = torch.arange(len(scores))

    def next_logits(self, words: torch.Tensor) -> torch.Tensor:
        found = self.scores[self.samples, self.n_words, words]
        self.n_words += 1
        return found

    def choose(self, places: torch.Tensor) -> None:
        self.samples = self.samples[places]


def with_table(monkeypatch, scores: torch.Tensor, **options) -> list[Written]:
    monkeypatch.setattr("models.systems.uniq4cap.captioning.CachedWriter", lambda network, pairs: Table(scores))
    pairs = [(torch.zeros(len(scores), 1, 1, 1), torch.zeros(len(scores), 1, 1, 1))]
    return write_captions(None, pairs, SMALL, DecodingConfig(**{"min_length": 0, **options}))


def best_of_all(scores: torch.Tensor, max_length: int, min_length: int, penalty: float) -> list[int]:
    """Return the best caption of a sample, of all that there are."""
    found = {}
    n_words, logs = scores.shape[-1], scores.log_softmax(-1)
    for length in range(1, max_length):
        for words in itertools.product(range(n_words), repeat=length):
            is_cut = length == max_length - 1 and words[-1] != SMALL.end
            if SMALL.end in words[:-1] or not (words[-1] == SMALL.end or is_cut) or length < min_length - 0:
                continue
            total, last = 0.0, SMALL.start_writing
            for position, word in enumerate(words):
                total += float(logs[position, last, word])
                last = word
            counted = length + 1 if is_cut else length
            found[words] = total / counted**penalty
    return [SMALL.start_writing, *max(found, key=found.get)]


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0])
def test_a_search_with_enough_beams_finds_the_best_caption(monkeypatch, penalty):
    torch.manual_seed(1)
    scores = 2 * torch.randn(6, 4, 5, 5)
    found = with_table(monkeypatch, scores, beams=200, max_length=4, length_penalty=penalty)
    assert [written.ids for written in found] == [best_of_all(own, 4, 0, penalty) for own in scores]


def test_a_search_keeps_the_best_captions_that_ended_and_stops_when_none_can_beat_them(monkeypatch):
    scores = torch.full((1, 6, 5, 5), -20.0)
    # Round 1: word 4 or the end; word 4 goes on to the end for sure.
    scores[0, 0, 3, [4, 2]] = torch.tensor([0.6, 0.4]).log()
    scores[0, 1, 4, [2, 4]] = torch.tensor([0.5, 0.5]).log()
    (short,) = with_table(monkeypatch, scores, beams=2, max_length=6, length_penalty=0.0)
    assert short.ids == [3, 2]
    (long,) = with_table(monkeypatch, scores, beams=2, max_length=6, length_penalty=2.0)
    assert long.ids[:2] == [3, 4]
    assert len(long.ids) > 2


@pytest.mark.parametrize("mode", ["greedy", "beam"])
def test_captions_do_not_depend_on_their_neighbours(mode):
    network, options = made_network(), DecodingConfig(mode=mode, beams=3, max_length=9, min_length=2)
    pairs = asked_pairs(network)
    together = write_captions(network, pairs, WORDS.ids, options)
    for number, written in enumerate(together):
        (alone,) = write_captions(network, one_of(pairs, number), WORDS.ids, options)
        assert alone.ids == written.ids
        assert alone.score == pytest.approx(written.score, abs=1e-4)
    assert len({tuple(written.ids) for written in together}) > 1


def test_cached_scores_are_those_of_whole_texts():
    network, texts = made_network(), torch.tensor([[22, 5, 6, 8, 9], [22, 11, 12, 5, 6]])
    pairs = asked_pairs(network, 2)
    with torch.no_grad():
        whole = network.write(pairs, texts, torch.ones_like(texts, dtype=torch.bool))
        writer = CachedWriter(network, pairs)
        for position in range(texts.shape[1]):
            found = writer.next_logits(texts[:, position])
            torch.testing.assert_close(found, whole[:, position], atol=1e-5, rtol=0)
            if position == 2:
                writer.choose(torch.tensor([1, 0]))
                texts, whole = texts.flip(0), whole.flip(0)


def test_an_early_end_is_ruled_out_and_repetitions_cost():
    scores = torch.tensor([[1.0, -1.0, 4.0, 3.0]])
    text = torch.tensor([[3, 1]])
    found = restricted(scores, text, SMALL, DecodingConfig(min_length=3, repetition_penalty=2.0))
    assert found.tolist() == [[1.0, -2.0, -torch.inf, 1.5]]
    assert restricted(scores, text, SMALL, DecodingConfig(min_length=2)).tolist() == scores.tolist()


def test_a_caption_is_no_longer_and_no_shorter_than_allowed():
    network = made_network()
    with torch.no_grad():
        network.Qformer.cls.predictions.bias[WORDS.ids.end] += 1000
    for mode in ("greedy", "beam", "nucleus"):
        options = DecodingConfig(mode=mode, beams=2, max_length=8, min_length=5)
        for written in write_captions(network, asked_pairs(network), WORDS.ids, options):
            assert written.ids.index(WORDS.ids.end) == 5
        network.Qformer.cls.predictions.bias.data[WORDS.ids.end] -= 2000
        for written in write_captions(network, asked_pairs(network), WORDS.ids, options):
            assert len(written.ids) == 8
        network.Qformer.cls.predictions.bias.data[WORDS.ids.end] += 2000


def test_words_are_drawn_from_the_fewest_that_reach_the_share():
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()
    none = chances(scores, DecodingConfig(mode="nucleus", top_p=1.0, top_k=0))
    torch.testing.assert_close(none, scores.exp())
    assert (chances(scores, DecodingConfig(mode="nucleus", top_p=0.7, top_k=0)) > 0).tolist() == [
        [True, True, False, False]
    ]
    assert (chances(scores, DecodingConfig(mode="nucleus", top_p=0.1, top_k=0)) > 0).sum() == 1
    assert (chances(scores, DecodingConfig(mode="nucleus", top_p=1.0, top_k=3)) > 0).sum() == 3
    warm = chances(scores, DecodingConfig(mode="nucleus", top_p=1.0, top_k=0, temperature=2.0))
    torch.testing.assert_close(warm, (scores / 2).softmax(1))


def test_drawn_captions_follow_their_generator():
    network, options = made_network(), DecodingConfig(mode="nucleus", max_length=9, min_length=1, top_p=1.0)

    def drawn(seed: int) -> list[list[int]]:
        generator = torch.Generator().manual_seed(seed)
        return [w.ids for w in write_captions(network, asked_pairs(network), WORDS.ids, options, generator)]

    assert drawn(1) == drawn(1)
    assert len({str(drawn(seed)) for seed in range(5)}) > 1
