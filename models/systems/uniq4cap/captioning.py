"""Writing captions: greedy, by beam search, or by drawing words; many at once, earlier words are never computed again.

The queries are asked once. What is kept of them and of the words written so far are keys and values per layer; the
media are not looked at again. Rules and order of operations are those of transformers 4.33.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import LongTensor, Tensor

from models.layers.qformer import Pair
from models.systems.uniq4cap.config import DecodingConfig
from models.systems.uniq4cap.network import Captioner
from models.systems.uniq4cap.words import Ids

OUT_OF_REACH = -1e9
"""Score of all beams but the first in the first round, where they are equal."""


@dataclass(frozen=True)
class Written:
    """One caption.

    Attributes
    ----------
    ids : from `[DEC]` to the end token, which is missing where the caption was cut off
    score : sum of log-probabilities, of beam search divided by the length penalty; of greedy and drawn captions before
        words were ruled out
    """

    ids: list[int]
    score: float


class CachedWriter:
    """Scores the next words of captions, one round after the other; the queries have been asked.

    Parameters
    ----------
    pairs : keys and values of the queries, as `Captioner.ask` returns them
    """

    def __init__(self, network: Captioner, pairs: list[Pair]) -> None:
        self.network, self.pairs, self.n_words = network, pairs, 0

    def next_logits(self, words: LongTensor) -> Tensor:
        """Return the scores (n, V) of what follows the words (n,) of this round, float32."""
        qformer = self.network.Qformer
        rows = qformer.bert.embeddings.words(words[:, None], self.n_words)
        rows, self.pairs = qformer.bert(rows, past=self.pairs)
        self.n_words += 1
        return qformer.logits(rows)[:, 0].float()

    def choose(self, places: LongTensor) -> None:
        """Go on with the captions at these places, which may repeat."""
        self.pairs = [(keys[places], values[places]) for keys, values in self.pairs]


@torch.no_grad()
def write_captions(
    network: Captioner, pairs: list[Pair], ids: Ids, options: DecodingConfig, generator: torch.Generator | None = None
) -> list[Written]:
    """Return one caption per sample.

    Parameters
    ----------
    network : in evaluation mode
    pairs : keys and values of the queries
    generator : what mode nucleus draws with; None: torch's global one
    """
    if options.mode == "beam" and options.beams > 1:
        return _search(network, pairs, ids, options)
    if options.mode == "nucleus":
        return _step_by_step(network, pairs, ids, options, lambda scores: draw(scores, options, generator))
    return _step_by_step(network, pairs, ids, options, lambda scores: scores.argmax(dim=1))


def restricted(scores: Tensor, texts: LongTensor, ids: Ids, options: DecodingConfig) -> Tensor:
    """Return scores (n, V) of the words after texts (n, L): repetitions cost, an early end is ruled out."""
    if options.repetition_penalty != 1:
        repeated = scores.gather(1, texts)
        penalty = options.repetition_penalty
        scores = scores.scatter(1, texts, torch.where(repeated < 0, repeated * penalty, repeated / penalty))
    if texts.shape[1] < options.min_length:
        scores = scores.index_fill(1, torch.tensor([ids.end], device=scores.device), -torch.inf)
    return scores


def chances(scores: Tensor, options: DecodingConfig) -> Tensor:
    """Return the probabilities (n, V) with which mode nucleus draws words of these scores."""
    scores = scores / options.temperature
    if options.top_k:
        least = scores.topk(min(options.top_k, scores.shape[1])).values[:, -1:]
        scores = scores.masked_fill(scores < least, -torch.inf)
    ordered, places = scores.sort(dim=1)
    is_rest = ordered.softmax(dim=1).cumsum(dim=1) <= 1 - options.top_p
    is_rest[:, -1] = False
    return scores.masked_fill(is_rest.scatter(1, places, is_rest), -torch.inf).softmax(dim=1)


def draw(scores: Tensor, options: DecodingConfig, generator: torch.Generator | None) -> LongTensor:
    """Return words (n,) drawn by their chances."""
    # Drawn where the generator is, so that a seed gives the same captions on every device.
    found = chances(scores, options)
    device = found.device if generator is None else generator.device
    return torch.multinomial(found.to(device), 1, generator=generator)[:, 0].to(scores.device)


def _step_by_step(
    network: Captioner, pairs: list[Pair], ids: Ids, options: DecodingConfig, next_words: Callable[[Tensor], LongTensor]
) -> list[Written]:
    n, device = len(pairs[0][0]), pairs[0][0].device
    writer, active = CachedWriter(network, pairs), torch.arange(n, device=device)
    texts, sums = torch.full((n, 1), ids.start_writing, device=device), torch.zeros(n, device=device)
    found: list[Written | None] = [None] * n
    while len(active):
        logits = writer.next_logits(texts[:, -1])
        words = next_words(restricted(logits, texts, ids, options))
        sums = sums + logits.log_softmax(dim=1).gather(1, words[:, None])[:, 0]
        texts = torch.cat([texts, words[:, None]], dim=1)
        is_done = (words == ids.end) | (texts.shape[1] >= options.max_length)
        for place in is_done.nonzero()[:, 0].tolist():
            found[int(active[place])] = Written(texts[place].tolist(), float(sums[place]))
        left = (~is_done).nonzero()[:, 0]
        if len(left) < len(active):
            writer.choose(left)
            active, texts, sums = active[left], texts[left], sums[left]
    return [written for written in found if written is not None]


@dataclass
class _Finished:
    """The best captions of a sample that have ended, at most `size`."""

    size: int
    length_penalty: float
    captions: list[Written] = field(default_factory=list)

    def add(self, ids: list[int], total: float, end: list[int]) -> None:
        """Take a caption without its end token, if it is good enough."""
        score = total / len(ids) ** self.length_penalty
        if len(self.captions) == self.size and score <= self.worst:
            return
        self.captions.append(Written(ids + end, score))
        # The first of equal ones stays.
        self.captions = sorted(self.captions, key=lambda caption: -caption.score)[: self.size]

    @property
    def worst(self) -> float:
        return self.captions[-1].score

    def is_full(self, best_total: float, length: int) -> bool:
        """Return whether nothing that goes on can get better than what is there."""
        return len(self.captions) == self.size and self.worst >= best_total / length**self.length_penalty


def _search(network: Captioner, pairs: list[Pair], ids: Ids, options: DecodingConfig) -> list[Written]:
    n, beams, device = len(pairs[0][0]), options.beams, pairs[0][0].device
    writer = CachedWriter(network, pairs)
    writer.choose(torch.arange(n, device=device).repeat_interleave(beams))
    texts = torch.full((n, beams, 1), ids.start_writing, device=device)
    totals = torch.full((n, beams), OUT_OF_REACH, device=device)
    totals[:, 0] = 0
    finished = [_Finished(beams, options.length_penalty) for _ in range(n)]
    active = list(range(n))
    while active and texts.shape[2] < options.max_length:
        length = texts.shape[2]
        scores = writer.next_logits(texts[:, :, -1].flatten()).log_softmax(dim=1)
        scores = restricted(scores, texts.flatten(0, 1), ids, options).unflatten(0, (-1, beams))
        n_words = scores.shape[2]
        best, flat = (totals[:, :, None] + scores).flatten(1).topk(2 * beams, dim=1)
        origins, words = flat // n_words, flat % n_words
        for place, sample in enumerate(active):
            for rank in (words[place, :beams] == ids.end).nonzero()[:, 0].tolist():
                text = texts[place, origins[place, rank]].tolist()
                finished[sample].add(text, float(best[place, rank]), [ids.end])
        # The best ones that go on; a sample has at most as many ends as beams among twice as many candidates.
        kept = (words == ids.end).long().sort(dim=1, stable=True).indices[:, :beams]
        best_totals = best[:, 0].tolist()
        totals, origins, words = (part.gather(1, kept) for part in (best, origins, words))
        texts = texts.gather(1, origins[:, :, None].expand(-1, -1, length))
        texts = torch.cat([texts, words[:, :, None]], dim=2)
        left = [
            place for place, sample in enumerate(active) if not finished[sample].is_full(best_totals[place], length + 1)
        ]
        index = torch.tensor(left, dtype=torch.long, device=device)
        writer.choose((index[:, None] * beams + origins[index]).flatten())
        texts, totals, active = texts[index], totals[index], [active[place] for place in left]
    for place, sample in enumerate(active):
        for beam in range(beams):
            finished[sample].add(texts[place, beam].tolist(), float(totals[place, beam]), [])
    return [own.captions[0] for own in finished]
