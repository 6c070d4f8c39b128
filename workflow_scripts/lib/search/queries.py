"""Queries as somebody types them, and their rows."""

import logging
import unicodedata
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.extraction.networks import load_encoder

log = logging.getLogger(__name__)


def require_words(queries: Sequence[str]) -> None:
    """Refuse queries that say nothing, and warn of those that the encoders do not know.

    Raises
    ------
    UserError
        a query has neither letter nor digit, or is no text
    """
    for query in queries:
        if any("\ud800" <= letter <= "\udfff" for letter in query):
            raise UserError(f"{query!a}: is not UTF-8; write it in a terminal that is set to UTF-8")
        if not any(letter.isalnum() for letter in query):
            what = repr(query) if query.strip() else "an empty query"
            raise UserError(f'{what}: nothing to look for; write a sentence in English, such as "a dog runs"')
        if not any(letter.isdigit() or unicodedata.name(letter, "").startswith("LATIN") for letter in query):
            log.warning("%r: the encoders have learnt English; what is found for it means nothing", query)


class TextRows:
    """Turns texts into rows; the network is loaded with the first ones, and kept.

    Parameters
    ----------
    settings : of the text feature's jobs
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Return a row for each text, float32 (n, D)."""
        batch_size = self._settings["runtime"]["batch_size"]
        batches = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
        return np.concatenate([row for batch in batches for row in self._encoder.encode(list(batch))])

    @cached_property
    def _encoder(self) -> Any:
        if self._settings["recipe"]["encoder"] == "minilm":
            from models.encoders.networks.sentence_bert import SentenceBert

            return SentenceBert(Path(self._settings["weights"]["path"]).parent)
        return load_encoder(self._settings)
