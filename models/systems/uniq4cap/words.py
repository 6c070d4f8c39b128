"""Captions as BERT's word pieces, and back. One word is added: `[DEC]`, with which a written caption starts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.layers.word_pieces import SPECIAL_TOKENS, bert_vocabulary, word_piece_tokenizer

START_WRITING = "[DEC]"
JOINED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
"""What loses the spaces around it, in this order, as transformers cleans up."""
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Ids:
    """Ids of the words that mean something to the network."""

    pad: int
    start: int
    end: int
    start_writing: int


class CaptionWords:
    """Word pieces of captions.

    Parameters
    ----------
    vocabulary : words in the order of their ids; `[DEC]` is put at its end if it is not there
    lowercase : whether case is lost
    """

    def __init__(self, vocabulary: Sequence[str], lowercase: bool) -> None:
        missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
        if missing:
            raise ValueError(f"not a vocabulary of BERT: {', '.join(missing)} is not in it")
        self.vocabulary = [word for word in vocabulary if word != START_WRITING] + [START_WRITING]
        self._tokenizer = word_piece_tokenizer(self.vocabulary, lowercase)
        place = {word: number for number, word in enumerate(self.vocabulary)}
        self.ids = Ids(place["[PAD]"], place["[CLS]"], place["[SEP]"], place[START_WRITING])
        self._special = {place[token] for token in (*SPECIAL_TOKENS, START_WRITING)}

    def pieces(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def encode(self, text: str, max_words: int) -> list[int]:
        """Return the ids of a text between start and end, at most `max_words`."""
        return [self.ids.start, *self.pieces(text)[: max_words - 2], self.ids.end]

    def text(self, ids: Sequence[int]) -> str:
        """Return the caption that ids spell, special words left out; it may be empty."""
        words = [self.vocabulary[number] for number in ids if number not in self._special]
        text = " ".join(words).replace(" ##", "").strip()
        for mark in JOINED:
            text = text.replace(mark, mark.strip())
        return text


def read_vocabulary(path: Path) -> list[str]:
    """Return the words of a file with one per line.

    Raises
    ------
    ValueError
        If there is no such file.
    """
    if not path.is_file():
        raise ValueError(
            f"data.vocabulary: no file {path}; network.bert cased needs the vocabulary of bert-base-cased (vocab.txt)"
        )
    return path.read_text(encoding="utf-8").splitlines()


def words_of(texts: Iterable[str]) -> list[str]:
    """Return a vocabulary of the words and marks of texts, in small letters."""
    return [*SPECIAL_TOKENS, *sorted({word for text in texts for word in _WORD.findall(text.lower())})]


def uncased_words() -> CaptionWords:
    """Return the words of bert-base-uncased, which are in the repository."""
    return CaptionWords(bert_vocabulary(), lowercase=True)
