"""The two tokenizers of CALCE, and the way it writes numbers.

Reproduces tjhd1475/CALCE (after sudo-Boris/mr-Blip, `lavis/models/blip2_mr_models`): Flan-T5 reads every second of a
video as one token, and numbers that its vocabulary cannot write as one are replaced by a neighbour.
"""

import gzip
import re
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from models.layers.word_pieces import bert_vocabulary, word_piece_tokenizer

FOLDER = Path(__file__).parent / "tokenizers"
MAX_TOKENS = 200
"""Texts are cut to so many tokens, the closing one included."""

PAD, END, SPACE = 0, 1, 3
"""Ids of `<pad>`, `</s>` and the piece that is a lone space."""
FIRST_SENTINEL, SECOND_SENTINEL = 32099, 32098
"""Ids of `<extra_id_0>` and `<extra_id_1>`, which end the frames and the captions."""
N_SENTINELS = 100
N_CHECKED_NUMBERS = 200
"""Only numbers below this one are replaced."""


class T5Text:
    """Flan-T5's tokenizer in its legacy behaviour: line breaks vanish, a text begins with a space piece.

    Use `t5()`, which reads the file once.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text, with `</s>`, cut to `MAX_TOKENS`; `</s>` stays when the tail is cut."""
        return [*self.pieces(text)[: MAX_TOKENS - 1], END]

    @property
    def n_pieces(self) -> int:
        """Number of pieces of the vocabulary."""
        return self._tokenizer.get_vocab_size()

    def piece(self, number: int) -> str:
        """Return how the piece of an id is written; ▁ stands for the space before a word."""
        return self._tokenizer.id_to_token(number)

    def pieces(self, text: str) -> list[int]:
        """Return the ids of a text without `</s>`, all of them."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def sign(self, text: str) -> list[int]:
        """Return the ids of a sign such as `[`, without lone spaces."""
        return [piece for piece in self.pieces(text) if piece != SPACE]

    def number(self, number: int) -> list[int]:
        """Return the ids of a whole number as it is, without the lone space before it."""
        pieces = self.pieces(str(number))
        return pieces[1:] if pieces[0] == SPACE else pieces

    def seconds(self, time_s: float) -> list[int]:
        """Return the ids of a time: rounded half to even, replaced where it would be several tokens."""
        rounded = round(time_s)
        return self.number(self.replacements.get(rounded, rounded))

    @cached_property
    def replacements(self) -> dict[int, int]:
        """Numbers below 200 that are several tokens, ascending, with the nearest one that is not, the larger first."""
        split = [number for number in range(N_CHECKED_NUMBERS) if self._is_split(number)]
        return {number: self._nearest(number, set(split)) for number in split}

    def _is_split(self, number: int) -> bool:
        pieces = self.pieces(str(number))
        return len(pieces) > 1 and pieces[0] != SPACE

    @staticmethod
    def _nearest(number: int, split: set[int]) -> int:
        distance = 1
        while True:
            for candidate in (number + distance, number - distance):
                if candidate not in split:
                    return candidate
            distance += 1

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of generated ids without special tokens; no space stays before a full stop or a comma."""
        text = self._tokenizer.decode([i for i in ids if i < self.n_pieces])
        # parity: the clean-up that transformers 4 applies by default when it decodes
        text = re.sub(r" ([.?!,])", r"\1", text).replace(" ' ", "'")
        return re.sub(r" (n't|'m|'s|'ve|'re)", r"\1", text)


class BertText:
    """The tokenizer of bert-base-uncased, for the text branch of the Q-Former. Use `bert()`, which reads it once.

    The published code adds a token `[DEC]` with the id 30522; no text contains it.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def ids(self, text: str) -> list[int]:
        """Return the ids of a text between `[CLS]` and `[SEP]`, at most `MAX_TOKENS`."""
        return self._tokenizer.encode(text).ids


@cache
def t5() -> T5Text:
    """Return the tokenizer of google/flan-t5-xl."""
    tokenizer = Tokenizer.from_buffer(gzip.decompress((FOLDER / "t5_tokenizer.json.gz").read_bytes()))
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>", *(f"<extra_id_{i}>" for i in range(N_SENTINELS))])
    return T5Text(tokenizer)


@cache
def bert() -> BertText:
    """Return the tokenizer of bert-base-uncased."""
    tokenizer = word_piece_tokenizer(bert_vocabulary())
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(MAX_TOKENS)
    return BertText(tokenizer)
