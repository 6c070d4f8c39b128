"""What is asked and what was answered, as the rule sets take it: plain arrays and lists, one entry per query."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workflow_scripts.lib.metrics.clip_saliency import ClipRatings, ClipScores
from workflow_scripts.lib.metrics.windows import Windows


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


@dataclass(frozen=True)
class Captions:
    """Things with reference captions; as answers, every list holds the one caption.

    Attributes
    ----------
    ids, video_ids : N names
    texts : lists of captions
    """

    ids: Sequence[str]
    video_ids: Sequence[str]
    texts: Sequence[Sequence[str]]


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


Question = Moments | Steps | Captions | Rankings
