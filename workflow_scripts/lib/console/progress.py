"""How far a workflow is: jobs by rule, how long they took, and how long the rest may take."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """A job that was started.

    Attributes
    ----------
    rule : str
    names : str
        What tells it apart from others of its rule.
    logs : tuple of Path
    speaks : bool
        It writes to the console itself.
    started : float
        Seconds of the clock.
    """

    rule: str
    names: str
    logs: tuple[Path, ...]
    speaks: bool
    started: float

    def __str__(self) -> str:
        return f"{self.rule} {self.names}".strip()


class CallProgress:
    """Counts and times of the jobs of one call.

    Parameters
    ----------
    started : float
        When the first job could start, seconds of the clock.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        self.planned: Counter[str] = Counter()
        self.done: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()
        self.begun: dict[str, float] = {}
        self.running: dict[int, Job] = {}
        self.failed: dict[int, Job] = {}
        self.total = 0

    def plan(self, jobs: Mapping[str, int]) -> None:
        """Take the number of jobs by rule."""
        self.planned.update(jobs)
        self.total = self.planned.total()

    def start(self, number: int, job: Job) -> None:
        """Note a job that starts; one that nobody planned, as after a checkpoint, is planned now."""
        self.failed.pop(number, None)
        self.running[number] = job
        self.begun.setdefault(job.rule, job.started)
        seen = self.done[job.rule] + sum(other.rule == job.rule for other in self.running.values())
        self.planned[job.rule] = max(self.planned[job.rule], seen)
        self.total = max(self.total, self.planned.total())

    def finish(self, number: int, now: float) -> Job | None:
        """Note a job that ended well; None if its start was not seen."""
        job = self.running.pop(number, None)
        if job:
            self.done[job.rule] += 1
            self.seconds[job.rule] += now - job.started
        return job

    def fail(self, number: int) -> Job | None:
        """Note a job that failed; None if its start was not seen."""
        job = self.running.pop(number, None)
        if job:
            self.failed[number] = job
        return job

    def is_through(self, rule: str) -> bool:
        """Tell whether all jobs of a rule are done."""
        return self.done[rule] == self.planned[rule]

    def left(self, now: float) -> tuple[float, bool] | None:
        """Return the seconds that the rest may take, and whether that is all of it; None if nothing is known.

        Jobs take as long as those of their rule did so far, and as many run at once.
        """
        rest = {rule: planned - self.done[rule] for rule, planned in self.planned.items() if planned > self.done[rule]}
        known = sum(n * self.seconds[rule] / self.done[rule] for rule, n in rest.items() if self.done[rule])
        if not known or now <= self.started:
            return None
        at_once = self.seconds.total() / (now - self.started)
        return known / at_once, all(self.done[rule] for rule in rest) and self.total == self.planned.total()


def time_words(seconds: float) -> str:
    """Return a duration for people."""
    minutes, hours = round(seconds / 60), seconds / 3600
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{hours:.1f} h"
