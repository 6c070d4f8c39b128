"""Words, characters and word vectors of the GloVe query encoder.

Reproduces the vocabulary of HuiGuanLab/IMG: `nltk.word_tokenize` on the lower-cased sentence, words and characters
numbered by falling count.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nltk.tokenize import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

N_SPECIAL = 2
PAD_ID, UNKNOWN_ID = range(N_SPECIAL)

# Sentences are split before words, because only a sentence's last full stop is a token of its own. The published
# code used nltk's trained English model, which is a download; of what that model learnt, only the abbreviations matter
# for lower-cased text.
_ABBREVIATIONS = ["a.m", "co", "corp", "dr", "e.g", "i.e", "inc", "jr", "ltd", "mr", "mrs", "ms", "p.m", "prof", "sr"]
_ABBREVIATIONS += ["st", "u.k", "u.s", "vs"]


def _sentence_splitter() -> PunktSentenceTokenizer:
    parameters = PunktParameters()
    parameters.abbrev_types.update(_ABBREVIATIONS)
    return PunktSentenceTokenizer(parameters)


_SENTENCES = _sentence_splitter()
_WORDS = NLTKWordTokenizer()


def tokenise(sentence: str) -> list[str]:
    """Return the lower-cased Treebank-style tokens of a text; a final full stop is a token of its own."""
    text = sentence.strip().lower()
    return [token for part in _SENTENCES.tokenize(text) for token in _WORDS.tokenize(part)]


@dataclass(frozen=True)
class Vocabulary:
    """Known words and characters; id i stands for entry i - 2, id 0 for padding and 1 for anything unknown."""

    words: tuple[str, ...]
    chars: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_word_ids", {word: i for i, word in enumerate(self.words, N_SPECIAL)})
        object.__setattr__(self, "_char_ids", {char: i for i, char in enumerate(self.chars, N_SPECIAL)})

    def word_ids(self, tokens: Sequence[str]) -> list[int]:
        """Return one id per token."""
        return [self._word_ids.get(token, UNKNOWN_ID) for token in tokens]

    def char_ids(self, tokens: Sequence[str]) -> list[list[int]]:
        """Return one list of ids per token, one id per character."""
        return [[self._char_ids.get(char, UNKNOWN_ID) for char in token] for token in tokens]


def build_vocabulary(
    token_lists: Iterable[Sequence[str]], known_words: Collection[str], min_char_count: int = 5
) -> Vocabulary:
    """Count words and characters of tokenised sentences.

    Parameters
    ----------
    token_lists : tokens of every sentence, in the order that settles ties (first seen first)
    known_words : words that have a vector; all others are left out
    min_char_count : characters seen less often are left out

    Returns
    -------
    Vocabulary
        Words and characters by falling count.

    Notes
    -----
    parity: the published vocabularies are built from the training sentences followed by the test sentences.
    """
    words: Counter[str] = Counter()
    chars: Counter[str] = Counter()
    for tokens in token_lists:
        words.update(tokens)
        for token in tokens:
            chars.update(token)
    return Vocabulary(
        tuple(word for word, _ in words.most_common() if word in known_words),
        tuple(char for char, count in chars.most_common() if count >= min_char_count),
    )


def read_word_vectors(path: Path, dim: int, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Read the vectors of some words from a GloVe text file.

    Parameters
    ----------
    path : file with one `word v1 ... v_dim` per line, fields separated by single spaces
    dim : number of values; lines with another number of fields are left out, as in the published reader
    wanted : words to keep, matched case-sensitively; of a repeated word the last line counts

    Returns
    -------
    dict of float32 (dim,)

    Raises
    ------
    ValueError
        If no line of the file has `dim` values.
    """
    vectors: dict[str, np.ndarray] = {}
    n_valid = 0
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = line.strip().split(" ")
            if len(fields) != dim + 1:
                continue
            n_valid += 1
            if fields[0] in wanted:
                vectors[fields[0]] = np.array(fields[1:], dtype=np.float32)
    if not n_valid:
        raise ValueError(f"{path}: no line has a word and {dim} values; is network.query.word_dim right for this file?")
    return vectors
