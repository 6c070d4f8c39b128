"""One list of moments out of several, by rank: scores of different encoders cannot be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

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


def _are_one(first: Moment, second: Moment) -> bool:
    shared = min(first.end_s, second.end_s) - max(first.start_s, second.start_s)
    shorter = min(first.end_s - first.start_s, second.end_s - second.start_s)
    return first.video_id == second.video_id and shared > 0 and shared >= SAME * shorter
