"""A folder that can be searched by one system."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from models.systems.zero_shot.corpus import Moment
from models.systems.zero_shot.ranking import directions
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.search.compared import compared_by
from workflow_scripts.lib.search.index import SearchIndex
from workflow_scripts.lib.search.queries import TextRows

log = logging.getLogger(__name__)


class Searcher:
    """Rows of the videos of a dataset, made where they are missing, and what queries find in them.

    Parameters
    ----------
    dataset, system : names
    make : lets the workflow make files and returns whether it did
    localiser : how moments are made; None: as the system's settings say

    Raises
    ------
    UserError
        the system is none for this, the workflow failed, or no video has rows
    """

    def __init__(
        self,
        configuration: Configuration,
        dataset: str,
        system: str,
        make: Callable[[list[str]], bool],
        localiser: str | None = None,
    ) -> None:
        found, compared = configuration.dataset(dataset), compared_by(configuration, dataset, system, localiser)
        self.stream = compared.stream
        self._index = SearchIndex(Path("results") / dataset, found, compared)
        self._encode = TextRows(compared.text)
        is_ready = self._index.is_fresh() and not compared.missing
        if not is_ready and not make([str(self._index.target), *compared.missing]):
            raise UserError(f"{found.videos}: could not be prepared, see above{compared.without_weights()}")
        self._index.note_fresh()
        self._corpus, without_rows = self._index.corpus()
        if not self._corpus.video_ids:
            raise UserError(f"{found.videos}: nothing for --system {system} to compare: {_counted(without_rows)}")
        if without_rows:
            log.warning("%s has nothing to compare in some videos: %s", system, _counted(without_rows))

    @property
    def files(self) -> dict[str, str | None]:
        """Return the file of each video, below the folder."""
        return self._index.files

    @cached_property
    def least(self) -> float:
        """Return the score that a moment needs to count as found."""
        return self._index.least_score(self._corpus, self._encode)

    def search(self, queries: Sequence[str], keep: int, least: float | None) -> list[tuple[list[Moment], str]]:
        """Return the moments of every query, best first, and why there are none.

        Parameters
        ----------
        keep : most moments
        least : score that a moment needs; None: `self.least`
        """
        least, rows = self.least if least is None else least, self._encode(list(queries))
        return [(self._corpus.moments(row, keep, least), self._why_not(row, least)) for row in rows]

    def row_of(self, parts: Sequence[tuple[int, str]]) -> np.ndarray:
        """Return the row (D,) of sentences that are added (1) and subtracted (-1), each of the same weight."""
        rows = directions(self._encode([text for _, text in parts]))
        return np.array([sign for sign, _ in parts], rows.dtype) @ rows

    def row_at(self, video_id: str, time_s: float) -> np.ndarray | None:
        """Return the row (D,) of a video at a time in seconds; None where it has none."""
        return self._corpus.row_at(video_id, time_s)

    def moments(self, row: np.ndarray, keep: int) -> list[Moment]:
        """Return the best moments for a row (D,), best first, however little they have of it."""
        return self._corpus.moments(row, keep, -1.0)

    def _why_not(self, row: np.ndarray, least: float) -> str:
        best = self._corpus.best_scores(row[None])[0]
        return f"{self.stream}: best score {best:.3f}, needed {least:.3f}"


def _counted(without_rows: Counter) -> str:
    """Return how many videos have no rows, and why."""
    reasons = {"no_audio": "without sound", "no_speech": "in which nobody speaks", "failed": "that cannot be read"}
    return ", ".join(
        f"{number} video{'s' * (number > 1)} {reasons.get(status, f'with the status {status}')}"
        for status, number in without_rows.items()
    )
