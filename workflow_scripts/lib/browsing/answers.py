"""What the page asks the searchers: sentences, sentences added and subtracted, and what is like a frame."""

import re
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from models.systems.zero_shot.corpus import Moment
from models.systems.zero_shot.fusion import FusedMoment, fused
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.search.queries import require_words
from workflow_scripts.lib.search.searcher import Searcher

FIRST, MOST = 60, 600
"""Moments of an answer, unless more are asked for, and at most."""
_SIGN = re.compile(r"(?:^|\s)([+-])\s")


def signed_parts(query: str) -> list[tuple[int, str]]:
    """Return the sentences of `a + b - c`, each with 1 or -1; signs stand between blanks, so `T-shirt` is one word."""
    first, *others = _SIGN.split(query.strip())
    found = [(1, first)] if first.strip() else []
    return found + [(1 if sign == "+" else -1, text) for sign, text in zip(others[::2], others[1::2], strict=True)]


class Answers:
    """Moments for what is typed, of all streams together.

    Parameters
    ----------
    searchers : one per stream that is searched
    """

    def __init__(self, searchers: Sequence[Searcher]) -> None:
        self._searchers, self._lock = searchers, Lock()
        self._least = [each.least for each in searchers]

    @property
    def files(self) -> Mapping[str, str | None]:
        """Return the file of each video, below the folder."""
        return self._searchers[0].files

    @property
    def streams(self) -> list[str]:
        """Return what is searched."""
        return [each.stream for each in self._searchers]

    def to(self, query: str, keep: int = FIRST) -> list[dict[str, Any]]:
        """Return the best moments for sentences that are added and subtracted.

        Those of one sentence that unrelated sentences score as much for come last: a stream that knows nothing of it
        has a first rank, too.

        Parameters
        ----------
        query : as it was typed
        keep : most moments

        Raises
        ------
        UserError
            there is nothing to look for
        """
        parts = signed_parts(query)
        if not any(sign > 0 for sign, _ in parts):
            raise UserError(f"{query!r}: nothing to look for; write a sentence, or `a dog + water - snow`")
        require_words([text for _, text in parts])
        # Networks are not made to be asked by several threads at once.
        with self._lock:
            found = [each.moments(each.row_of(parts), keep) for each in self._searchers]
        if len(parts) > 1:
            # Nobody knows what sums of unrelated sentences score.
            return self._told(fused(found)[:keep])
        known = list(zip(found, self._least, strict=True))
        sure = fused([[each for each in moments if each.score >= least] for moments, least in known])
        rest = fused([[each for each in moments if each.score < least] for moments, least in known])
        rest = [each for each in rest if not any(_overlap(each.moment, own.moment) for own in sure)]
        return [*self._told(sure[:keep]), *self._told(rest[: max(keep - len(sure), 0)], is_chance=True)]

    def like(self, video_id: str, time_s: float, keep: int = FIRST) -> list[dict[str, Any]]:
        """Return the best moments that are like what is at a time of a video, in each stream that has a row there."""
        rows = [(number, each.row_at(video_id, time_s)) for number, each in enumerate(self._searchers)]
        found = [[] if row is None else self._searchers[number].moments(row, keep) for number, row in rows]
        return self._told(fused(found)[:keep])

    def _told(self, moments: Sequence[FusedMoment], is_chance: bool = False) -> list[dict[str, Any]]:
        """Return what a page shows."""
        return [
            {
                "video": each.moment.video_id,
                "start": round(each.moment.start_s, 2),
                "end": round(each.moment.end_s, 2),
                "score": round(each.moment.score, 4),
                "streams": [self.streams[source] for source in each.sources],
                "is_chance": is_chance,
            }
            for each in moments
        ]


def _overlap(first: Moment, second: Moment) -> bool:
    return first.video_id == second.video_id and first.start_s < second.end_s and second.start_s < first.end_s
