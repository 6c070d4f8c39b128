"""Train UniQ4Cap on the demo with several seeds: CIDEr beside floor and bound, and which sounds are named rightly.

python -m tests.benchmarks.uniq4cap_demo [--directory FOLDER]. The bound is what perfect captions score.
"""

import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.benchmarks.demo_seeds import per_seed, run_demo, seeds_parser, working_folder
from tests.benchmarks.figures import Figure, tell
from workflow_scripts.lib.datasets.demo.sentences import SOUND_NAMES
from workflow_scripts.lib.predictions.answer_tables import read_answers
from workflow_scripts.lib.store.tables import read_table

SYSTEM = "uniq4cap"
METRIC, GOAL = "CIDEr", 5
PERFECT = 1000.0
"""CIDEr of captions that are their references, times 100."""


class Named(NamedTuple):
    """How often a sound is named, should be, and both."""

    said: int
    there: int
    both: int

    @property
    def precision(self) -> float:
        """Share of the captions that name it which should."""
        return self.both / self.said if self.said else float("nan")

    @property
    def recall(self) -> float:
        """Share of the captions that should name it which do."""
        return self.both / self.there if self.there else float("nan")


def main() -> int:
    args = seeds_parser(__doc__).parse_args()
    with working_folder(args.directory) as folder:
        metrics = run_demo(folder, [SYSTEM], args.seeds)
        print("\n".join(score_lines(per_seed(metrics))))
        results, split = folder / "results/demo", metrics["split"]
        references: dict[str, list[str]] = {}
        for row in read_table(folder / "results/demo_tasks/annotations/captions.parquet").to_pylist():
            references.setdefault(row["video_id"], []).append(row["text"])
        runs = [results / SYSTEM / f"seed{seed}" / split for seed in args.seeds]
        for variant, title in (("", "with sound"), ("zero:audio", "sound set to zero")):
            counted = [sound_words(read_answers(run, "captions", variant).to_pylist(), references) for run in runs]
            print(f"\nsounds, {title}, all seeds\n" + "\n".join(sound_lines(counted)))
    return tell(figures(per_seed(metrics)), args.json)


def figures(runs: Sequence[Mapping[str, Any]]) -> Iterator[Figure]:
    """Yield CIDEr over that of the most frequent caption, with and without each stream."""
    what = f"UniQ4Cap on the demo, mean of {len(runs)} seeds: {METRIC}"
    floor = statistics.fmean(run["baselines"]["floor"]["metrics"][METRIC] for run in runs)
    mean = statistics.fmean(run["metrics"][METRIC] for run in runs)
    yield Figure(f"{what} over that of the most frequent caption", mean / floor, "x", "larger", asked=GOAL)
    for stream in runs[0]["ablations"]:
        without = statistics.fmean(run["ablations"][stream]["metrics"][METRIC] for run in runs)
        yield Figure(f"{what} without {stream}, over the same", without / floor, "x")


def score_lines(runs: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return CIDEr of the system, its ablations and the floor: every seed, mean, spread, multiple of the floor."""
    runs = list(runs)
    rows = {SYSTEM: [run["metrics"][METRIC] for run in runs]}
    for stream in runs[0]["ablations"]:
        rows[f"{stream} set to zero"] = [run["ablations"][stream]["metrics"][METRIC] for run in runs]
    rows["most frequent caption"] = [run["baselines"]["floor"]["metrics"][METRIC] for run in runs]
    floor = statistics.fmean(rows["most frequent caption"])
    lines = [f"{METRIC}, perfect captions: {PERFECT:.0f}, {PERFECT / floor:.1f} times the floor"]
    for name, values in rows.items():
        mean, spread = statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
        each = " ".join(f"{value:7.1f}" for value in values)
        lines.append(f"{name:24}{each}  mean {mean:7.1f}  sd {spread:6.1f}  {mean / floor:.2f} times the floor")
    return lines


def sound_words(answers: Iterable[Mapping[str, Any]], references: Mapping[str, Sequence[str]]) -> dict[str, Named]:
    """Return for every sound how often answers name it, and references.

    Parameters
    ----------
    answers : rows of the table of captions
    references : video -> its annotated captions, one of which names the sound that is heard for longest
    """
    rows = list(answers)
    found = {}
    for sound in SOUND_NAMES.values():
        name = sound.removeprefix("a ")
        said = [name in row["text"] for row in rows]
        there = [any(name in text for text in references[row["video_id"]]) for row in rows]
        both = sum(one and other for one, other in zip(said, there, strict=True))
        found[sound] = Named(sum(said), sum(there), both)
    return found


def sound_lines(counted: Iterable[Mapping[str, Named]]) -> list[str]:
    """Return a line per sound, and one of all, of all seeds together."""
    runs = list(counted)
    total = {name: Named(*map(sum, zip(*(run[name] for run in runs), strict=True))) for name in runs[0]}
    total["all"] = Named(*map(sum, zip(*total.values(), strict=True)))
    return [
        f"{name:12} said {own.said:4}  there {own.there:4}  precision {own.precision:.2f}  recall {own.recall:.2f}"
        for name, own in total.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
