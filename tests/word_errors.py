"""Word error rate: how far recognised words are from what was said."""

import re
from collections.abc import Sequence


def words(text: str) -> list[str]:
    """Return lower-case words without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions between two lists."""
    row = list(range(len(hypothesis) + 1))
    for i, said in enumerate(reference, start=1):
        above, row = row, [i]
        for j, heard in enumerate(hypothesis, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (said != heard)))
    return row[-1]


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Return the edits of all sentences over the number of words that were said."""
    pairs = [(words(said), words(heard)) for said, heard in zip(references, hypotheses, strict=True)]
    return sum(edits(said, heard) for said, heard in pairs) / sum(len(said) for said, _ in pairs)
