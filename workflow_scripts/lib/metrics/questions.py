"""What is asked and what was answered, as the rule sets take it: plain arrays and lists, one entry per query.

Everything has `rows(chosen)`: the same for some of the queries, given by their places.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from workflow_scripts.lib.metrics.clip_saliency import ClipRatings, ClipScores
from workflow_scripts.lib.metrics.errors import EmptyPrediction
from workflow_scripts.lib.metrics.windows import Windows

Entry = TypeVar("Entry")


def _some(entries: Sequence[Entry], chosen: np.ndarray) -> list[Entry]:
    return [entries[i] for i in chosen]


@dataclass(frozen=True)
class Moments:
    """Queries with annotated moments.

    Attributes
    ----------
    ids, video_ids : N names
    durations_s : float64 (N,)
    targets : Windows, at least one of every query
    ratings : raters' saliency of the videos' clips; None if nobody rated
    """

    ids: Sequence[str]
    video_ids: Sequence[str]
    durations_s: np.ndarray
    targets: Windows
    ratings: ClipRatings | None = None

    def rows(self, chosen: np.ndarray) -> "Moments":
        """Return some of the queries; `chosen` is int (M,)."""
        ratings = None if self.ratings is None else self.ratings.rows(chosen)
        ids, videos = _some(self.ids, chosen), _some(self.video_ids, chosen)
        return Moments(ids, videos, self.durations_s[chosen], self.targets.rows(chosen), ratings)


@dataclass(frozen=True)
class Spans:
    """Answers to `Moments`.

    Attributes
    ----------
    windows : Windows of the same queries, best first if they have no scores; None if only saliency was predicted.
        `UNREADABLE` (-1, -1) stands for an answer that could not be read.
    clips : predicted saliency; None if there is none
    """

    windows: Windows | None
    clips: ClipScores | None = None

    @property
    def moments(self) -> Windows:
        """The windows, for rule sets that know nothing else.

        Raises
        ------
        EmptyPrediction
            Only saliency was predicted.
        """
        if self.windows is None:
            raise EmptyPrediction("only saliency was predicted: this rule set is about moments")
        return self.windows

    def rows(self, chosen: np.ndarray) -> "Spans":
        """Return the answers to some of the queries; `chosen` is int (M,)."""
        windows = None if self.windows is None else self.windows.rows(chosen)
        return Spans(windows, None if self.clips is None else self.clips.rows(chosen))


@dataclass(frozen=True)
class Steps:
    """Videos with annotated steps, or (as answers) with predicted ones.

    Attributes
    ----------
    ids, video_ids : N names
    bounds : lists of start and end in seconds
    """

    ids: Sequence[str]
    video_ids: Sequence[str]
    bounds: Sequence[Sequence[Sequence[float]]]

    def rows(self, chosen: np.ndarray) -> "Steps":
        """Return some of the videos; `chosen` is int (M,)."""
        return Steps(_some(self.ids, chosen), _some(self.video_ids, chosen), _some(self.bounds, chosen))


@dataclass(frozen=True)
class Captions:
    """Things with reference captions; as answers, every list holds the one caption.

    Attributes
    ----------
    ids, video_ids : N names
    texts : lists of captions
    pictures : files that show each thing, for CLIPScore; None in answers, and where nobody asks for it
    """

    ids: Sequence[str]
    video_ids: Sequence[str]
    texts: Sequence[Sequence[str]]
    pictures: Sequence[Sequence[Path]] | None = None

    def rows(self, chosen: np.ndarray) -> "Captions":
        """Return some of the things; `chosen` is int (M,)."""
        pictures = None if self.pictures is None else _some(self.pictures, chosen)
        ids, video_ids = _some(self.ids, chosen), _some(self.video_ids, chosen)
        return Captions(ids, video_ids, _some(self.texts, chosen), pictures)


@dataclass(frozen=True)
class Rankings:
    """Prompts with their videos; as answers, with the videos ranked by `scores`.

    Attributes
    ----------
    ids : N prompts
    videos : lists of file names
    scores : lists of scores; None in annotations
    """

    ids: Sequence[str]
    videos: Sequence[Sequence[str]]
    scores: Sequence[Sequence[float]] | None = None

    @property
    def video_ids(self) -> Sequence[str]:
        """No single video belongs to a prompt."""
        return [""] * len(self.ids)

    def rows(self, chosen: np.ndarray) -> "Rankings":
        """Return some of the prompts; `chosen` is int (M,)."""
        scores = None if self.scores is None else _some(self.scores, chosen)
        return Rankings(_some(self.ids, chosen), _some(self.videos, chosen), scores)


Question = Moments | Steps | Captions | Rankings
Answers = Spans | Steps | Captions | Rankings
