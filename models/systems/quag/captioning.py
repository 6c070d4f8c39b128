"""Beam search for captions, with the keys and values of all earlier words at hand.

Reproduces the search of CLIP4Caption (after OpenNMT) as tuyunbin/QUAG and j-min/HiREST call it.
"""

from dataclasses import dataclass

import torch
from torch import LongTensor, Tensor

from models.systems.quag.clip4caption import CaptionDecoder
from models.systems.quag.words import PAD, CaptionWords


@dataclass(frozen=True)
class Caption:
    """One caption.

    Attributes
    ----------
    ids : words up to the last round, the end token included where it was written
    score : sum of the words' log-probabilities
    """

    ids: list[int]
    score: float


class CachedDecoder:
    """Scores the next words of several captions per step, one round after the other.

    Parameters
    ----------
    memory : rows of the steps (A, S, width)
    beams : captions per step
    """

    def __init__(self, decoder: CaptionDecoder, memory: Tensor, beams: int) -> None:
        self.decoder, self.beams, self.n_words = decoder, beams, 0
        self.rows = [layer.enc_attn.content(memory) for layer in decoder.layers]
        heads, width = decoder.layers[0].slf_attn.heads, memory.shape[-1]
        empty = memory.new_zeros(len(memory) * beams, heads, 0, width // heads)
        self.words = [(empty, empty) for _ in decoder.layers]

    def next_logits(self, words: LongTensor) -> Tensor:
        """Return the logits (A, beams, vocabulary) that follow the words (A, beams) of this round."""
        x = self.decoder.embeddings(words.view(-1, 1), self.n_words)
        for number, layer in enumerate(self.decoder.layers):
            own = zip(self.words[number], layer.slf_attn.content(x), strict=True)
            self.words[number] = tuple(torch.cat(parts, dim=2) for parts in own)
            x = layer.slf_attn(x, *self.words[number]).view(-1, self.beams, x.shape[-1])
            x = layer.feed_forward(layer.enc_attn(x, *self.rows[number])).view(-1, 1, x.shape[-1])
        self.n_words += 1
        return self.decoder.predictions(x.view(-1, self.beams, x.shape[-1]))

    def choose(self, steps: LongTensor, origins: LongTensor) -> None:
        """Go on with some of the steps (a,) and, of each, with the captions at `origins` (a, beams)."""
        index = (steps[:, None] * self.beams + origins).flatten()
        self.words = [tuple(part[index] for part in pair) for pair in self.words]
        self.rows = [tuple(part[steps] for part in pair) for pair in self.rows]


@torch.no_grad()
def write_captions(
    decoder: CaptionDecoder,
    memory: Tensor,
    words: CaptionWords,
    beams: int,
    max_words: int,
    freeze_finished: bool = False,
) -> list[Caption]:
    """Return the best caption of every step.

    Parameters
    ----------
    decoder : in evaluation mode
    memory : float (B, S, width), steps are independent of one another
    max_words : rounds at most
    freeze_finished : a caption that has ended is left as it is. False (published): it is continued like any other, so
        that one that ended early may still win, and is cut at its end by `CaptionWords.text`

    Notes
    -----
    A step is done when its best caption ends in this round. parity: with a length penalty of none and no score for
    captions that ended and fell behind, which are lost.
    """
    found: list[Caption | None] = [None] * len(memory)
    active = torch.arange(len(memory), device=memory.device)
    cached = CachedDecoder(decoder, memory, beams)
    last = torch.full((len(memory), beams), words.start, device=memory.device)
    texts = last.new_zeros(len(memory), beams, 0)
    scores, has_ended = memory.new_zeros(len(memory), beams), torch.zeros_like(last, dtype=torch.bool)
    for number in range(max_words):
        if not len(active):
            break
        chances = cached.next_logits(last).float().log_softmax(-1)
        if freeze_finished:
            chances = _only_padding(chances, has_ended)
        # In the first round all captions are the same.
        totals = (scores[:, :, None] + chances if number else chances[:, :1]).flatten(1)
        scores, flat = totals.topk(beams, dim=1)
        origins, last = flat // chances.shape[-1], flat % chances.shape[-1]
        texts = torch.cat((_of_origins(texts, origins), last[:, :, None]), dim=2)
        has_ended = has_ended.gather(1, origins) | (last == words.end)
        is_done = has_ended[:, 0] if freeze_finished else last[:, 0] == words.end
        if number == max_words - 1:
            is_done = torch.ones_like(is_done)
        for place in is_done.nonzero()[:, 0].tolist():
            found[int(active[place])] = Caption(texts[place, 0].tolist(), float(scores[place, 0]))
        left = (~is_done).nonzero()[:, 0]
        cached.choose(left, origins[left])
        active, last, texts, scores, has_ended = (part[left] for part in (active, last, texts, scores, has_ended))
    return [caption for caption in found if caption is not None]


def _only_padding(chances: Tensor, has_ended: Tensor) -> Tensor:
    """Return log-probabilities (A, beams, V) where captions that ended go on with padding, at no cost."""
    padding = torch.full_like(chances[0, 0], -torch.inf)
    padding[PAD] = 0.0
    return torch.where(has_ended[:, :, None], padding, chances)


def _of_origins(texts: LongTensor, origins: LongTensor) -> LongTensor:
    """Return the words (A, beams, L) of the captions at `origins` (A, beams)."""
    return texts.gather(1, origins[:, :, None].expand(-1, -1, texts.shape[2]))
