"""Run benchmarks one after the other, compare their figures with the stored ones, and make the table of them anew.

`python -m tests.benchmarks.table` takes the quick ones, `python -m tests.benchmarks.table NAME ...` those that are
named, `all` every one. A figure that got worse by more than 15 % is marked. A benchmark that fails is counted and does
not stop the others. The figures are stored in `tests/benchmarks/figures.json`, where a `note` may be written to each,
which stays; the table is in `docs/benchmarks.md`.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, amount, handed_over

ROOT = Path(__file__).resolve().parents[2]
STORED = Path(__file__).with_name("figures.json")
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HEAD = "| figure | asked | measured | when and where | command | remark |\n|---|---|---|---|---|---|"
MARKED_ABOVE = 0.15

Records = dict[str, dict[str, dict[str, Any]]]
"""Benchmark -> label of a figure -> what is stored of it."""


@dataclass(frozen=True)
class Benchmark:
    """A module that hands figures over, and how it is called; the quick ones take ten minutes together."""

    command: str
    is_quick: bool = True


BENCHMARKS = {
    "dry_run": Benchmark("tests.benchmarks.dry_run --videos 10000"),
    "preflight": Benchmark("tests.benchmarks.preflight", is_quick=False),
    "rerun": Benchmark("tests.benchmarks.rerun --videos 1000", is_quick=False),
    "kill_trials": Benchmark("tests.benchmarks.kill_trials", is_quick=False),
    "remote_start": Benchmark("tests.benchmarks.remote_start --videos 100 50000"),
    "job_starts": Benchmark("tests.benchmarks.job_starts --repeat 2"),
    "imports": Benchmark("tests.benchmarks.imports --videos 1000"),
    "store": Benchmark("tests.benchmarks.store --videos 500"),
    "reads": Benchmark("tests.benchmarks.reads --videos 300"),
    "rows": Benchmark("tests.benchmarks.rows"),
    "slurm_overhead": Benchmark("tests.benchmarks.slurm_overhead --videos 48", is_quick=False),
    "shard_memory": Benchmark("tests.benchmarks.shard_memory", is_quick=False),
    "clips": Benchmark("tests.benchmarks.clip_figures"),
    "one_pass": Benchmark("tests.benchmarks.one_pass"),
    "decoders": Benchmark("tests.benchmarks.decoders", is_quick=False),
    "long_video": Benchmark("tests.benchmarks.long_video", is_quick=False),
    "overlap": Benchmark("tests.benchmarks.overlap", is_quick=False),
    "encoders": Benchmark("tests.benchmarks.encoders clip_b32 clip_b32_sentence minilm sentence_mean --runs 2"),
    "other_encoders": Benchmark(
        "tests.benchmarks.encoders clip_l14 eva_clip_g blip2_tokens eva_clip_g_text vgg16 languagebind_video "
        "languagebind_audio beats wav2vec2_base",
        is_quick=False,
    ),
    "audio_encoders": Benchmark("tests.benchmarks.audio_encoders", is_quick=False),
    "windowed_encoders": Benchmark("tests.benchmarks.windowed_encoders", is_quick=False),
    "img_training": Benchmark("tests.benchmarks.img_training --rounds 3"),
    "mrnet_training": Benchmark("tests.benchmarks.mrnet_training", is_quick=False),
    "mrnet_conv": Benchmark("tests.benchmarks.mrnet_conv --conv-dim 64"),
    "two_processes": Benchmark("tests.benchmarks.two_processes", is_quick=False),
    "calce_selection": Benchmark("tests.benchmarks.calce_selection"),
    "calce_loader": Benchmark("tests.benchmarks.calce_loader --videos 4 --samples 16 --workers 2", is_quick=False),
    "quag_speed": Benchmark("tests.benchmarks.quag_speed", is_quick=False),
    "uniq4cap_speed": Benchmark("tests.benchmarks.uniq4cap_speed", is_quick=False),
    "metrics_speed": Benchmark("tests.benchmarks.metrics_speed"),
    "search_speed": Benchmark("tests.benchmarks.search_speed"),
    "report_page": Benchmark("tests.benchmarks.report_page"),
    "whole_demo": Benchmark("tests.benchmarks.whole_demo", is_quick=False),
    "demo_seeds": Benchmark("tests.benchmarks.demo_seeds", is_quick=False),
    "demo_seeds_calce": Benchmark("tests.benchmarks.demo_seeds --systems calce_stage1", is_quick=False),
    "quag_demo": Benchmark("tests.benchmarks.quag_demo", is_quick=False),
    "uniq4cap_demo": Benchmark("tests.benchmarks.uniq4cap_demo", is_quick=False),
    "calce_memory": Benchmark("tests.benchmarks.calce_memory"),
    "speech_memory": Benchmark("tests.benchmarks.speech_memory", is_quick=False),
}
"""In the order of the table."""


class Failed(Exception):
    """A benchmark ended without figures."""


def run(benchmark: Benchmark) -> list[Figure]:
    """Run a benchmark in a process of its own, which prints what it does, and return its figures.

    Raises
    ------
    Failed
        it broke off, or handed nothing over; a bound that is missed is no failure
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [sys.executable, "-m", *benchmark.command.split(), "--json", str(path)]
        status = subprocess.run(command, cwd=ROOT).returncode
        if not path.is_file():
            raise Failed(f"status {status}, no figures")
        return handed_over(path)


def machine() -> str:
    """Return model and number of the processors that this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{models[0] if models else platform.machine()}, {cores} cores"


def compared(figures: Iterable[Figure], stored: Mapping[str, Mapping[str, Any]], told: dict[str, Any]) -> dict:
    """Return what to store of figures that were just measured, each compared with what was stored of it.

    `told` (when, where, how) is stored with each. A figure that was not measured this time stays as it was; a remark
    stays in any case. `before` is what a marked one is compared with, until it is as good again or `before` is deleted.
    """
    records = dict(stored)
    for figure in figures:
        old = stored.get(figure.label, {})
        record = {
            "value": float(f"{figure.value:.4g}"),
            "unit": figure.unit,
            "better": figure.better,
            "asked": figure.asked,
            "is_compared": figure.is_compared,
            **told,
        }
        before = old.get("before", old.get("value"))
        if before is not None and figure.worse_than(before) > MARKED_ABOVE:
            record["before"] = before
        if "note" in old:
            record["note"] = old["note"]
        records[figure.label] = record
    return records


def figure_of(label: str, record: Mapping[str, Any]) -> Figure:
    """Return a stored figure."""
    fields = ("value", "unit", "better", "asked", "is_compared")
    return Figure(label, **{name: record[name] for name in fields})


def mark(record: Mapping[str, Any]) -> str:
    """Return by how much a figure got worse; nothing if it is not marked."""
    if "before" not in record:
        return ""
    before = record["before"]
    return f"{figure_of('', record).worse_than(before):.0%} worse than {amount(before, record['unit'])}"


def table(records: Records) -> str:
    """Return the stored figures as a table."""
    rows = [HEAD]
    for name in sorted(records, key=list(BENCHMARKS).index):
        for label, record in records[name].items():
            figure = figure_of(label, record)
            measured = [amount(figure.value, figure.unit)]
            measured += [f"**{verdict}**" for verdict in ("" if figure.is_held else "missed", mark(record)) if verdict]
            where = f"{record['date']}, {record['machine']}, load {record['load']:.1f}"
            note = record.get("note", "")
            rows.append(
                f"| {label} | {figure.bound} | {', '.join(measured)} | {where} | `{record['command']}` | {note} |"
            )
    return "\n".join(rows)


def page(text: str, records: Records) -> str:
    """Return a page with the table between its markers.

    Raises
    ------
    SystemExit
        the page has no markers
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE}: the table goes between {BEGIN} and {END}, which are not there")
    return f"{head}{BEGIN}\n\n{table(records)}\n\n{END}{tail}"


def read(path: Path) -> Records:
    """Return what is stored, nothing if there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measure(names: list[str], stored_path: Path, page_path: Path | None) -> int:
    """Run benchmarks, tell how they compare with what is stored, and store them unless there is no page to write.

    Returns
    -------
    1 if a benchmark failed, or if nothing is stored and a figure is marked; else 0
    """
    records, failed, marks = read(stored_path), [], []
    for number, name in enumerate(names, 1):
        benchmark, load = BENCHMARKS[name], os.getloadavg()[0]
        print(f"[{number}/{len(names)}] python -m {benchmark.command}", flush=True)
        started = time.monotonic()
        try:
            figures = run(benchmark)
        except Failed as error:
            failed.append(f"{name}: {error}")
            print(f"FAILED: {error}", flush=True)
            continue
        told = {
            "command": f"python -m {benchmark.command}",
            "machine": machine(),
            "date": time.strftime("%Y-%m-%d"),
            "load": round(load, 1),
        }
        old = records.get(name, {})
        records[name] = compared(figures, old, told)
        for label, record in records[name].items():
            if record is not old.get(label) and "before" in record:
                other = old[label]["machine"]
                where = "" if other == record["machine"] else f" on another machine ({other})"
                marks.append(f"{name}, {figure_of(label, record)}, {mark(record)}{where}")
                print(f"WORSE: {marks[-1]}", flush=True)
        lacking = sorted(set(old) - {figure.label for figure in figures})
        if lacking:
            print(f"not measured this time, stays as it is: {'; '.join(lacking)}")
        print(f"{name}: {len(figures)} figures after {time.monotonic() - started:.0f} s", flush=True)
        if page_path:
            write(records, stored_path, page_path)
    print("\n".join([f"{len(marks)} figures are worse by more than {MARKED_ABOVE:.0%}", *marks]))
    print("\n".join([f"{len(failed)} of {len(names)} benchmarks failed", *failed]))
    return int(bool(failed or (marks and not page_path)))


def write(records: Records, stored_path: Path, page_path: Path) -> None:
    """Write what is stored, and the page."""
    stored_path.write_text(json.dumps(records, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page_path.write_text(page(page_path.read_text(encoding="utf-8"), records), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(name if benchmark.is_quick else f"({name})" for name, benchmark in BENCHMARKS.items())
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"the quick ones if none is given; long ones in brackets; `all`: {names}",
    )
    parser.add_argument("--check", action="store_true", help="compare, write nothing; a marked figure is status 1")
    parser.add_argument("--page", action="store_true", help="measure nothing, make the table from what is stored")
    args = parser.parse_args()
    unknown = sorted({*args.names} - {*BENCHMARKS, "all"})
    if unknown:
        parser.error(f"unknown benchmark {unknown[0]!r}; known: {', '.join(BENCHMARKS)}")
    if args.page:
        write(read(STORED), STORED, PAGE)
        return 0
    quick = [name for name, benchmark in BENCHMARKS.items() if benchmark.is_quick]
    names = list(BENCHMARKS) if "all" in args.names else list(dict.fromkeys(args.names)) or quick
    return measure(names, STORED, None if args.check else PAGE)


if __name__ == "__main__":
    sys.exit(main())
