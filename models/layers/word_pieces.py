"""BERT's word pieces, for any vocabulary and for the one of bert-base-uncased."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

BERT_VOCABULARY = Path(__file__).parent / "vocabularies" / "bert_base_uncased_vocab.txt"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_piece_tokenizer(vocabulary: Sequence[str], lowercase: bool = True) -> Tokenizer:
    """Return the tokenizer of a vocabulary (words in the order of their ids); it adds no start or end.

    Where it lower-cases it takes accents away too.
    """
    tokenizer = Tokenizer(WordPiece({word: number for number, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL_TOKENS if token in vocabulary])
    return tokenizer


@cache
def bert_vocabulary() -> tuple[str, ...]:
    """Return the 30,522 word pieces of bert-base-uncased in the order of their ids."""
    return tuple(BERT_VOCABULARY.read_text(encoding="utf-8").splitlines())
