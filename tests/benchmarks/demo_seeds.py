"""Train and evaluate a system on the demo with several seeds: mean, spread and ratio to the best constant answer."""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, benchmark_parser, tell

ROOT = Path(__file__).resolve().parents[2]
HEADLINE = "R1@0.5"
LOST_WITHOUT = (("audio", "sound", 50), ("visual", "picture", 40))
"""Stream, the kind of queries that needs it, and the points that these should lose without it."""

Scores = Mapping[str, Mapping[str, Any]]
Line = tuple[str, str, Sequence[float], float | None]


def run_demo(folder: Path, systems: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Run the workflow in `folder` and return the metrics file of the last system; what is finished is not made again.

    Every system that it follows (`prior`) must be named before it.
    """
    target = f"results/demo/{systems[-1]}/metrics.json"
    seeded = [f"{name}: {{seeds: {list(seeds)}}}" for name in systems]
    command = [
        str(Path(sys.executable).with_name("snakemake")),
        *("--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--cores", "all"),
        *("--config", f"systems={{{', '.join(seeded)}}}", "--", target),
    ]
    status = subprocess.run(command, cwd=folder, check=False).returncode
    if status:
        sys.exit(f"snakemake ended with status {status} in {folder}")
    return json.loads((folder / target).read_text(encoding="utf-8"))


def per_seed(metrics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the scores of every seed, in order of the seeds."""
    if not isinstance(metrics["seeds"], Mapping):
        return [metrics]
    return [
        scores for _, scores in sorted(metrics["seeds"].items(), key=lambda item: int(item[0].removeprefix("seed")))
    ]


def table_lines(metrics: Mapping[str, Any]) -> list[Line]:
    """Return (what is scored, metric, one value per seed, value of the best constant span)."""
    runs, constant = per_seed(metrics), metrics["baselines"]["best_constant"]
    lines: list[Line] = [
        ("all", name, [run["metrics"][name] for run in runs], constant["metrics"].get(name))
        for name in metrics["metrics"]
    ]
    for group in metrics["groups"]:
        values = [run["groups"][group][HEADLINE] for run in runs]
        lines.append((group, HEADLINE, values, constant["groups"][group][HEADLINE]))
    for stream in metrics["ablations"]:
        ablated = [run["ablations"][stream] for run in runs]
        lines.append((f"all, {stream} zeroed", HEADLINE, [run["metrics"][HEADLINE] for run in ablated], None))
        for group in metrics["groups"]:
            values = [run["groups"][group][HEADLINE] for run in ablated]
            lines.append((f"{group}, {stream} zeroed", HEADLINE, values, None))
    return lines


def format_table(lines: Sequence[Line]) -> str:
    """Return the lines as text: every seed, mean, standard deviation, constant span and ratio to it."""
    n_seeds = len(lines[0][2])
    titles = [*(f"run {i}" for i in range(1, n_seeds + 1)), "mean", "sd", "constant", "ratio"]
    text = [f"{'queries':24}{'metric':8}" + "".join(f"{title:>10}" for title in titles)]
    for label, metric, values, constant in lines:
        mean = statistics.fmean(values)
        cells = [*(f"{value:.1f}" for value in values), f"{mean:.1f}"]
        cells.append(f"{statistics.stdev(values):.1f}" if n_seeds > 1 else "-")
        cells += ["", ""] if constant is None else [f"{constant:.1f}", f"{mean / constant:.1f}" if constant else "-"]
        text.append(f"{label:24}{metric:8}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(text)


def figures(system: str, metrics: Mapping[str, Any]) -> Iterator[Figure]:
    """Yield the headline over that of the best constant span, and what each stream that is zeroed costs its queries."""
    lines = {label: statistics.fmean(values) for label, metric, values, _ in table_lines(metrics) if metric == HEADLINE}
    what = f"{system} on the demo, mean of {len(per_seed(metrics))} seeds"
    constant = metrics["baselines"]["best_constant"]["metrics"][HEADLINE]
    yield Figure(f"{what}: {HEADLINE}", lines["all"], "%", "larger")
    yield Figure(f"{what}: {HEADLINE} over the best constant span", lines["all"] / constant, "x", "larger", asked=2)
    for stream, kind, asked in LOST_WITHOUT:
        without = f"{kind}, {stream} zeroed"
        if without in lines:
            lost = lines[kind] - lines[without]
            label = f"{what}: {HEADLINE} of the kind {kind} lost without {stream}"
            yield Figure(label, lost, "points", "larger", asked)


def seeds_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of what every measurement of the demo is told: `seeds` and `directory`."""
    parser = benchmark_parser(description)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="seeds (default: 0 1 2)")
    parser.add_argument("--directory", type=Path, help="folder to work in and keep (default: a temporary one)")
    return parser


@contextlib.contextmanager
def working_folder(directory: Path | None) -> Iterator[Path]:
    """Give the folder to work in, or one that is gone afterwards."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (directory or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def main() -> int:
    parser = seeds_parser(__doc__)
    parser.add_argument(
        "--systems", nargs="+", default=["img"], help="the system, after those it follows, e.g. calce_stage1 calce"
    )
    args = parser.parse_args()
    with working_folder(args.directory) as folder:
        started = time.monotonic()
        metrics = run_demo(folder, args.systems, args.seeds)
        seconds = time.monotonic() - started
    subject = f"{args.systems[-1]} on the demo, {metrics['split']} split"
    print(f"{subject}, percent; seeds {args.seeds}; {seconds:.0f} s for everything")
    print(format_table(table_lines(metrics)))
    return tell(figures(args.systems[-1], metrics), args.json)


if __name__ == "__main__":
    sys.exit(main())
