"""Train QUAG on the demo with several seeds: each task beside its floor, and spoken queries without speech.

python -m tests.benchmarks.quag_demo [--directory FOLDER]
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.benchmarks.demo_seeds import per_seed, run_demo, seeds_parser, working_folder
from tests.benchmarks.figures import Figure, tell

SYSTEM, SPEECH, MOMENTS = "quag", "speech", "R@0.5"


class Measure(NamedTuple):
    """One number of a task, what it is compared with, and how many times that it should be."""

    task: str
    rules: str
    metric: str
    floor: str
    """A section of `baselines`: the best constant span of the test queries, or `floor`, learnt without looking."""
    goal: float
    perfect: float


MEASURES = (
    Measure("moments", "hirest_moments", MOMENTS, "best_constant", 3, 100),
    Measure("steps", "hirest_steps", "recall@0.5", "floor", 2, 100),
    Measure("captions of steps", "hirest_captions", "CIDEr", "floor", 5, 1000),
)


def main() -> int:
    args = seeds_parser(__doc__).parse_args()
    with working_folder(args.directory) as folder:
        runs = per_seed(run_demo(folder, [SYSTEM], args.seeds))
    print("\n".join(score_lines(runs)))
    return tell(figures(runs), args.json)


def figures(runs: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """Yield each task over its floor, and how many points spoken queries lose without speech."""
    what = f"QUAG on the demo, mean of {len(runs)} seeds"
    for measure in MEASURES:
        values, floor = _values(runs, measure)
        label = f"{what}: {measure.task}, {measure.metric} over the floor"
        yield Figure(label, statistics.fmean(values) / floor, "x", "larger", measure.goal)
    heard, unheard = (
        statistics.fmean(run["groups"][SPEECH][MOMENTS] for run in kept)
        for kept in (runs, [run["ablations"][SPEECH] for run in runs])
    )
    yield Figure(f"{what}: {MOMENTS} of spoken queries lost without speech", heard - unheard, "points", "larger")


def _values(runs: Sequence[Mapping[str, Any]], measure: Measure) -> tuple[list[float], float]:
    """Return the value of every seed, and the mean of the floors."""
    values = [run["rule_sets"][measure.rules]["metrics"][measure.metric] for run in runs]
    floors = [run["baselines"][measure.floor]["rule_sets"][measure.rules][measure.metric] for run in runs]
    return values, statistics.fmean(floors)


def score_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per task, and one of spoken queries: every seed, mean, spread, multiple of the floor and goal."""
    lines = []
    for measure in MEASURES:
        values, floor = _values(runs, measure)
        lines.append(
            f"{measure.task + ', ' + measure.metric:30}{_each(values)}  floor {floor:6.1f}: "
            f"{statistics.fmean(values) / floor:5.2f} times "
            f"(goal {measure.goal:g}, perfect answers {measure.perfect / floor:.2f})"
        )
    for title, kept in (("as they are", runs), ("without speech", [run["ablations"][SPEECH] for run in runs])):
        values = [run["groups"][SPEECH][MOMENTS] for run in kept]
        lines.append(f"{'spoken queries ' + title:30}{_each(values)}")
    return lines


def _each(values: Sequence[float]) -> str:
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    each = "".join(f"{value:7.1f}" for value in values)
    return f"{each}  mean {statistics.fmean(values):6.1f}  sd {spread:5.1f}"


if __name__ == "__main__":
    sys.exit(main())
