"""One list out of several, by rank: scores of different encoders cannot be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from models.systems.zero_shot.corpus import Moment

DAMPING = 60
"""Cormack, Clarke and Büttcher, Reciprocal rank fusion, SIGIR 2009: a rank counts 1 / (60 + rank), from 1 on."""
SAME = 0.5
"""Part of the shorter of two moments that both share if they are one."""


@dataclass
class FusedMoment:
    """A moment that one or more lists name.

    Attributes
    ----------
    moment : as the list with the best rank has it
    sources : numbers of the lists that name it
    weight : sum over these
    """

    moment: Moment
    sources: list[int]
    weight: float


def fused(lists: Sequence[Sequence[Moment]]) -> list[FusedMoment]:
    """Return the moments of all lists, each best first, in one order; what is one in several lists counts for each."""
    found: list[FusedMoment] = []
    for rank, moments in enumerate(zip_longest(*lists), 1):
        for source, moment in enumerate(moments):
            if moment is None:
                continue
            weight = 1 / (DAMPING + rank)
            same = (each for each in found if source not in each.sources and _are_one(each.moment, moment))
            known = next(same, None)
            if known is None:
                found.append(FusedMoment(moment, [source], weight))
            else:
                known.sources.append(source)
                known.weight += weight
    return sorted(found, key=lambda each: -each.weight)


def fused_spans(lists: Sequence[np.ndarray]) -> np.ndarray:
    """Return the spans of one video, float64 (n, 3): start, end, weight, best first.

    Parameters
    ----------
    lists : (n, 3) each: start, end, score, best first
    """
    found = fused([[Moment("", *span) for span in spans.tolist()] for spans in lists])
    return np.array([[each.moment.start_s, each.moment.end_s, each.weight] for each in found])


def fused_names(lists: Sequence[Sequence[tuple[str, float]]]) -> list[tuple[str, float]]:
    """Return the names of all lists, each of name and score, best first, and the weight of each."""
    weights: dict[str, float] = {}
    for named in lists:
        for rank, (name, _) in enumerate(named, 1):
            weights[name] = weights.get(name, 0.0) + 1 / (DAMPING + rank)
    return sorted(weights.items(), key=lambda entry: -entry[1])


def fused_clips(scores: np.ndarray) -> np.ndarray:
    """Return a weight for every clip, float64 (T,), of scores (lists, T); equal scores share their mean rank."""
    return np.sum([1 / (DAMPING + _mean_ranks(row)) for row in scores], axis=0)


def _mean_ranks(scores: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


def _are_one(first: Moment, second: Moment) -> bool:
    shared = min(first.end_s, second.end_s) - max(first.start_s, second.start_s)
    shorter = min(first.end_s - first.start_s, second.end_s - second.start_s)
    return first.video_id == second.video_id and shared > 0 and shared >= SAME * shorter
