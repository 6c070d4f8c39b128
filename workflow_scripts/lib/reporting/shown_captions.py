"""Captions as a report shows them: with their scores, words that only sound brings marked."""

import re

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.rule_sets import RULE_SETS

METRIC = "CIDEr"
_WORD = re.compile(r"\w+")


def caption_scores(per_query: pa.Table) -> dict[str, float]:
    """Return the CIDEr of single captions, times 100, by the video or step that they describe.

    Parameters
    ----------
    per_query : table of scores of a run
    """
    rules = [name for name, own in RULE_SETS.items() if own.task == "captions"]
    names, metrics = (per_query[name].cast(pa.string()) for name in ("rules", "metric"))
    rows = (
        per_query.filter(pc.and_(pc.is_in(names, pa.array(rules)), pc.equal(metrics, METRIC)))
        .select(["query_id", "value"])
        .to_pylist()
    )
    return {row["query_id"]: 100 * row["value"] for row in rows}


def marked_words(text: str, unheard: str | None) -> list[tuple[str, bool]]:
    """Return the words of a caption, each with whether it is written only with sound; None: nobody asked without."""
    known = None if unheard is None else _plain(unheard)
    return [(word, known is not None and bool(_plain(word) - known)) for word in text.split()]


def _plain(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
