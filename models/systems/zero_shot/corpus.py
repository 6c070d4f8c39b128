"""Moments of many videos at once: every row is compared, few videos are looked into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.systems.interface import FeatureRows
from models.systems.zero_shot.config import Config
from models.systems.zero_shot.moments import localised
from models.systems.zero_shot.ranking import directions
from models.systems.zero_shot.timed_scores import TimedScores, usable_rows

REACH_S = 1.0
"""So far from a time a row may lie and still stand for it: players round."""
NOISE_LEVELS = 3.0
"""Spreads above the median of unrelated sentences from which a sentence counts as found."""


@dataclass(frozen=True)
class Moment:
    """A moment of a video; `score` is the cosine of its best row with the query."""

    video_id: str
    start_s: float
    end_s: float
    score: float


class Corpus:
    """The rows of all videos, of length 1, one video after the other.

    Parameters
    ----------
    videos : id -> rows; those without any are left out
    config : how moments are made
    """

    def __init__(self, videos: Mapping[str, FeatureRows], config: Config) -> None:
        # A video ends with its last row: nothing is known of what comes after.
        usable = {
            name: usable_rows(rows, float(rows.times[:, 1].max())) for name, rows in videos.items() if rows.n_rows
        }
        self._config, self.video_ids = config, list(usable)
        self._ends = np.cumsum([rows.n_rows for rows in usable.values()], dtype=int)
        self._starts = self._ends - [rows.n_rows for rows in usable.values()]
        self._rows = directions(np.concatenate([rows.values for rows in usable.values()])) if usable else None
        self._times = np.concatenate([rows.times for rows in usable.values()]).astype(np.float64) if usable else None

    def best_scores(self, texts: np.ndarray) -> np.ndarray:
        """Return what the best row of all videos gives each text (Q, D), float32 (Q,)."""
        return np.array([(self._rows @ text).max() for text in directions(texts)])

    def moments(self, text: np.ndarray, keep: int, least: float) -> list[Moment]:
        """Return the best moments for a text (D,), best first.

        Parameters
        ----------
        keep : most moments
        least : score that a moment must have
        """
        [text] = directions(text[None])
        scores = self._rows @ text
        best = np.maximum.reduceat(scores, self._starts)
        found: list[Moment] = []
        for number in np.argsort(-best, kind="stable"):
            # No moment is better than the best row of its video.
            worst_kept = found[keep - 1].score if len(found) >= keep else least
            if best[number] < max(worst_kept, least):
                break
            found = sorted([*found, *self._in_video(number, text, scores)], key=lambda moment: -moment.score)
        return [moment for moment in found[:keep] if moment.score >= least]

    def row_at(self, video_id: str, time_s: float) -> np.ndarray | None:
        """Return the row (D,) of a video that is nearest to a time, None if it is known by none there."""
        if video_id not in self.video_ids:
            return None
        number = self.video_ids.index(video_id)
        rows = slice(self._starts[number], self._ends[number])
        times = self._times[rows]
        away_s = np.maximum(np.maximum(times[:, 0] - time_s, time_s - times[:, 1]), 0)
        nearest = np.lexsort((np.abs(times.mean(axis=1) - time_s), away_s))[0]
        return self._rows[rows][nearest] if away_s[nearest] <= REACH_S else None

    def _in_video(self, number: int, text: np.ndarray, scores: np.ndarray) -> list[Moment]:
        rows = slice(self._starts[number], self._ends[number])
        own, times = scores[rows], self._times[rows]
        scored, end_s = TimedScores(own[None], times), float(times[:, 1].max())
        spans = localised(text[None], self._rows[rows], scored, end_s, self._config)
        found = []
        for start, end, _ in spans:
            inside = (times[:, 0] < end) & (times[:, 1] > start)
            # Clips without a row, where nobody speaks for example, may stand at the ends.
            first, last = max(start, times[inside, 0].min()), min(end, times[inside, 1].max())
            found.append(Moment(self.video_ids[number], float(first), float(last), float(own[inside].max())))
        return found


def least_score(unrelated: Sequence[float]) -> float:
    """Return the score from which something counts as found, given the best scores of sentences about anything.

    Some of these sentences may be true of the videos; the median and the spread of what lies below it hardly move then.
    """
    lower, middle = np.percentile(unrelated, [15.87, 50])
    return float(middle + NOISE_LEVELS * (middle - lower))
