"""The texts of queries: each alone, or with its other wordings."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError


def texts_of(query: Mapping[str, Any], wordings: str | None) -> list[str]:
    """Return the text of a query and those of its other wordings, as far as it has any.

    Parameters
    ----------
    query : `query_id`, `text` and `extra_json` of the table of queries
    wordings : field of the extra data that holds them; None: they are not wanted

    Raises
    ------
    UserError
        the field is no list of texts
    """
    others = json.loads(query["extra_json"] or "{}").get(wordings, []) if wordings else []
    if not (isinstance(others, list) and all(isinstance(text, str) for text in others)):
        raise UserError(f"query {query['query_id']}: {wordings} is {others!r}, not a list of texts (`wordings`)")
    return [query["text"], *others]


def encode_texts(
    encode: Callable[[list[str]], Sequence[np.ndarray]], texts: Sequence[Sequence[str]]
) -> list[np.ndarray]:
    """Return the rows (T, D) of every query: of its one text, or a row for each of its texts.

    Raises
    ------
    UserError
        the encoder gives rows of tokens, and a query has several texts
    """
    rows = iter(encode([text for own in texts for text in own]))
    found = []
    for own in texts:
        parts = [next(rows) for _ in own]
        if len(parts) > 1 and any(len(part) != 1 for part in parts):
            raise UserError("`wordings` needs one row per text; choose an `output` of the encoder for sentences")
        found.append(np.concatenate(parts))
    return found
