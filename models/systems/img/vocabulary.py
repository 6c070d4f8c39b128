"""Words and characters of the GloVe query encoder.

Reproduces the vocabulary of HuiGuanLab/IMG: words and characters numbered by falling count.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

N_SPECIAL = 2
PAD_ID, UNKNOWN_ID = range(N_SPECIAL)


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
