"""Where the time of a job goes, so that a person can see which side starves."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

log = logging.getLogger(__name__)

Item = TypeVar("Item")

STATES = ("read", "load", "decode", "compute", "write")


class Stalls:
    """A stopwatch of the thread that runs a job: every moment belongs to exactly one state, so that they add up.

    The states: `read` the old store and the cache; `load` the network; wait for `decode`; `compute` in the network;
    `write` finished videos and the store.

    Parameters
    ----------
    clock : callable
        Seconds from any zero.

    Attributes
    ----------
    seconds : dict
        State -> seconds so far.
    decoders_idle_s : float
        Seconds that all decode workers together waited for the network to take what was ready.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds = dict.fromkeys(STATES, 0.0)
        self.decoders_idle_s = 0.0
        self._clock = clock
        self._state = STATES[0]
        self._since = clock()

    def enter(self, state: str) -> str:
        """End the present state, begin another, and return the ended one."""
        now, ended = self._clock(), self._state
        self.seconds[ended] += now - self._since
        self._state, self._since = state, now
        return ended

    def during(self, state: str, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items; every wait for the next one is spent in `state`."""
        source = iter(items)
        while True:
            self.enter(state)
            try:
                item = next(source)
            except StopIteration:
                return
            yield item

    def total_s(self) -> float:
        """Return the seconds from the start to the last change of state."""
        return sum(self.seconds.values())

    def summary(self) -> str:
        """Return one line for the log."""
        parts = ", ".join(f"{state} {seconds:.1f} s" for state, seconds in self.seconds.items())
        return f"{self.total_s():.1f} s in all: {parts}; decoders waited {self.decoders_idle_s:.1f} s for the network"

    def tell(self, name: str) -> None:
        """Write it at the end of a job, whose last moments were spent in writing."""
        self.enter("write")
        log.info("%s: %s", name, self.summary())
