"""Words of a sentence and their GloVe vectors (Pennington et al. 2014), as HuiGuanLab/IMG reads them."""

import functools
import io
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

# Sentences are split before words, because only a sentence's last full stop is a token of its own. The published
# code used nltk's trained English model, which is a download; of what that model learnt, only the abbreviations matter
# for lower-cased text.
_ABBREVIATIONS = ["a.m", "co", "corp", "dr", "e.g", "i.e", "inc", "jr", "ltd", "mr", "mrs", "ms", "p.m", "prof", "sr"]
_ABBREVIATIONS += ["st", "u.k", "u.s", "vs"]


@functools.cache
def _splitters() -> tuple[Any, Any]:
    """Return nltk's splitters into sentences and into words."""
    # Here, because nltk takes seconds to import, and only GloVe and characters split words.
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer

    parameters = PunktParameters()
    parameters.abbrev_types.update(_ABBREVIATIONS)
    return PunktSentenceTokenizer(parameters), NLTKWordTokenizer()


def tokenise(sentence: str) -> list[str]:
    """Return the lower-cased Treebank-style tokens of a text; a final full stop is a token of its own."""
    sentences, words = _splitters()
    return [token for part in sentences.tokenize(sentence.strip().lower()) for token in words.tokenize(part)]


@contextmanager
def lines_of(path: Path) -> Iterator[TextIO]:
    """Open a text file, or the first one in a zip."""
    if not zipfile.is_zipfile(path):
        with path.open(encoding="utf-8") as lines:
            yield lines
        return
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
        yield io.TextIOWrapper(member, encoding="utf-8")


def read_word_vectors(path: Path, dim: int, wanted: Collection[str]) -> dict[str, np.ndarray]:
    """Read the vectors of some words from a GloVe text file.

    Parameters
    ----------
    path : text file, or zip of one, with a `word v1 ... v_dim` per line, fields separated by single spaces
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
    has_valid_line = False
    with lines_of(path) as lines:
        for line in lines:
            stripped = line.strip()
            # Splitting a line into its numbers costs most; it is needed for the wanted words only.
            if has_valid_line and stripped.partition(" ")[0] not in wanted:
                continue
            fields = stripped.split(" ")
            if len(fields) != dim + 1:
                continue
            has_valid_line = True
            if fields[0] in wanted:
                vectors[fields[0]] = np.array(fields[1:], dtype=np.float32)
    if not has_valid_line:
        raise ValueError(f"{path}: no line has a word and {dim} values; is `dim` (network.query.word_dim) right?")
    return vectors
