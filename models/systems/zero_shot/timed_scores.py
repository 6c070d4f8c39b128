"""What the texts of a query give the rows of a video, and where in the video these rows lie."""

from dataclasses import dataclass

import numpy as np

from models.systems.interface import FeatureRows, Rows
from models.systems.zero_shot.ranking import directions


@dataclass(frozen=True)
class TimedScores:
    """Scores of the rows of a video, or of its clips, in time.

    Attributes
    ----------
    scores : float32 (texts, T), T at least 1
    times : float64 (T, 2), seconds, inside the video
    """

    scores: np.ndarray
    times: np.ndarray

    def on_clips(self, clip_s: float, n_clips: int) -> "TimedScores":
        """Return the scores of equal clips: means of the rows by how long each lies in the clip.

        A clip in which no row lies, where nobody speaks for example, gets the worst score of each text.
        """
        starts, ends = self.times.T
        first = np.floor(starts / clip_s).astype(int)
        seconds, totals = np.zeros(n_clips), np.zeros((n_clips, len(self.scores)))
        for offset in range(int(np.max(np.ceil(ends / clip_s) - first))):
            clips = first + offset
            shared = np.minimum(ends, (clips + 1) * clip_s) - np.maximum(starts, clips * clip_s)
            is_inside = (shared > 0) & (clips < n_clips)
            np.add.at(seconds, clips[is_inside], shared[is_inside])
            np.add.at(totals, clips[is_inside], (self.scores * shared)[:, is_inside].T)
        means = totals.T / np.where(seconds > 0, seconds, 1)
        scores = np.where(seconds > 0, means, self.scores.min(axis=1, keepdims=True)).astype(np.float32)
        bounds = np.arange(n_clips + 1) * clip_s
        return TimedScores(scores, np.stack([bounds[:-1], bounds[1:]], axis=1))


def usable_rows(rows: Rows, duration_s: float) -> FeatureRows:
    """Return the rows that say something about a video, in time: inside it and not of zeros; a row of zeros if none."""
    values, times = rows.read(), rows.times
    is_usable = values.any(axis=1) & (times[:, 0] < duration_s)
    order = np.flatnonzero(is_usable)[np.argsort(times[is_usable, 0], kind="stable")]
    if not len(order):
        return FeatureRows(np.zeros((1, values.shape[1]), np.float32), np.array([[0.0, duration_s]]))
    return FeatureRows(values[order], np.minimum(times[order], duration_s))


def timed_scores(texts: np.ndarray, rows: FeatureRows) -> TimedScores:
    """Return the cosines of texts (texts, D) with rows."""
    return TimedScores(directions(texts) @ directions(rows.values).T, np.asarray(rows.times, dtype=np.float64))
