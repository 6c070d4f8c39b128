"""Captions as word pieces, and back."""

from collections.abc import Sequence
from functools import cache

from models.layers.word_pieces import bert_vocabulary, word_piece_tokenizer

PAD = 0
"""Id of the padding, the first word of BERT's vocabularies."""


class CaptionWords:
    """Word pieces of captions.

    Parameters
    ----------
    vocabulary : words in the order of their ids, `[PAD]` first; see `bert_words` for the published one
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = list(vocabulary)
        self._tokenizer = word_piece_tokenizer(self.vocabulary)
        self.start, self.end = (self.vocabulary.index(token) for token in ("[CLS]", "[SEP]"))

    def pieces(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return self._tokenizer.encode(text.strip(), add_special_tokens=False).ids

    def training_pair(self, text: str, max_words: int) -> tuple[list[int], list[int]]:
        """Return what the decoder reads and what it is to write, of the same length, at most `max_words`."""
        pieces = self.pieces(text)[: max_words - 1]
        return [self.start, *pieces], [*pieces, self.end]

    def text(self, ids: Sequence[int]) -> str:
        """Return the caption that ids spell, up to the first end or padding; it may be empty."""
        words = [self.vocabulary[number] for number in ids]
        for token in ("[SEP]", "[PAD]"):
            words = words[: words.index(token)] if token in words else words
        # parity: a caption's outer number signs are lost, whether or not they mark a word's rest.
        return " ".join(words).replace(" ##", "").strip("#").strip()


@cache
def bert_words() -> CaptionWords:
    """Return the words of bert-base-uncased, with which the published decoder writes."""
    return CaptionWords(bert_vocabulary())
