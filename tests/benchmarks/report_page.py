"""Bytes, time and first paint of a report with 1,550 queries: `python -m tests.benchmarks.report_page`.

As many as the split `val` of QVHighlights has, with 10 ranked moments, a saliency curve and speech each, of two seeds.
The page is loaded several times in a browser that already runs; how busy the machine was stands beside the figures, and
the time that the page's own thread worked says what other processes do not change. This and accessibility need chromium
and chromedriver, Selenium, and the file of axe-core (`--axe`); what is not there is said and left out.
"""

import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.report_browser import browser, violations
from tests.unit.test_reporting import metrics
from workflow_scripts.lib.predictions.references import Reference
from workflow_scripts.lib.reporting.entries import SeedAnswers, query_entries
from workflow_scripts.lib.reporting.html import Shown, render_report

DURATION_S, RANKS, CLIPS = 150.0, 10, 75
MAX_MB, MAX_PROCESSOR_S, MAX_PAINT_MS = 5, 30, 1000
WORDS = ("person", "opens", "the", "door", "of", "blue", "car", "while", "dog", "waits", "beside", "wet", "road")


class Rated:
    """Annotations with ratings of every clip."""

    def __init__(self, n_queries: int) -> None:
        self._n = n_queries

    def table(self, name: str) -> "Rated":
        """Return the table of ratings; the others are empty."""
        return self if name == "saliency" else Rated(0)

    def to_pylist(self) -> list[dict]:
        """Return ten rated clips of every query."""
        clips = [{"clip_index": i, "clip_length_s": 2.0, "scores": [1, 3, 4]} for i in range(10)]
        return [{"query_id": f"q{n}", **clip} for n in range(self._n) for clip in clips]


def made_seed(name: str, n_queries: int) -> SeedAnswers:
    """Return random answers."""
    draw = random.Random(name)
    moments, highlights = [], []
    for n in range(n_queries):
        starts = [draw.uniform(0, 140) for _ in range(RANKS)]
        moments += [
            {"query_id": f"q{n}", "rank": rank, "start_s": start, "end_s": start + 10, "score": draw.random()}
            for rank, start in enumerate(starts)
        ]
        highlights.append({"query_id": f"q{n}", "scores": [draw.gauss(0, 1) for _ in range(CLIPS)]})
    answers = {"moments": moments, "highlights": highlights, "steps": [], "captions": [], "videos": []}
    return SeedAnswers(name, answers)


def made_report(n_queries: int) -> str:
    """Return the page."""
    draw = random.Random(0)
    text = [" ".join(draw.sample(WORDS, 10)) for _ in range(n_queries)]
    spans = [[(start, start + 12.0) for start in (draw.uniform(0, 60), draw.uniform(70, 130))] for _ in text]
    references = [
        Reference(f"q{n}", f"video{n}", text[n], DURATION_S, spans[n][0], {"kind": "picture"}, spans[n])
        for n in range(n_queries)
    ]
    entries = query_entries(Rated(n_queries), references, [made_seed(name, n_queries) for name in ("seed0", "seed1")])
    speech = [[2.0 * i, 2.0 * i + 2, " ".join(draw.sample(WORDS, 6))] for i in range(15)]
    videos = {f"video{n}": {"src": f"../videos/video{n}.mp4", "speech": speech} for n in range(n_queries)}
    return render_report("made", metrics(), Shown(entries, ["seed0", "seed1"], videos))


def first_paint_ms(driver: Any, page: Path) -> float:
    """Load a page anew and return when the browser first painted something of it."""
    driver.get("about:blank")
    driver.get(page.resolve().as_uri())
    return driver.execute_async_script(
        "const done = arguments[0];"
        "new PerformanceObserver(list => done(list.getEntries()[0].startTime)).observe({type: 'paint', buffered: true})"
    )


def thread_ms(driver: Any, page: Path) -> float:
    """Load a page anew and return for how long its main thread worked, without what it waited for a processor."""
    driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    first_paint_ms(driver, page)
    found = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return 1000 * next(each["value"] for each in found if each["name"] == "TaskDuration")


def measured(n_queries: int, n_loads: int, axe: Path | None) -> Iterator[Figure]:
    what = f"report of {n_queries:,} queries"
    wall, processor = time.perf_counter(), time.process_time()
    text = made_report(n_queries)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: made in {wall:.1f} s by the clock")
    yield Figure(f"{what}: size", len(text.encode()) / 1e6, "MB", asked=MAX_MB)
    yield Figure(f"{what}: processor time to make it", processor, "s", asked=MAX_PROCESSOR_S)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        page.write_text(text, encoding="utf-8")
        with browser(page, 1280) as driver:
            if driver is None:
                print("first paint and accessibility: not measured, there is no Chromium or no Selenium")
                return
            paints = sorted(first_paint_ms(driver, page) for _ in range(n_loads))
            busy = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
            print(f"first paint after {paints[0]:.0f} to {paints[-1]:.0f} ms in {n_loads} loads ({busy})")
            paint = f"{what}: first paint, median of {n_loads} loads"
            yield Figure(paint, statistics.median(paints), "ms", asked=MAX_PAINT_MS, is_compared=False)
            yield Figure(f"{what}: work of the page's main thread", thread_ms(driver, page), "ms")
            if axe:
                broken = violations(driver, axe)
                print(f"accessibility: rules that are broken: {broken}")
                yield Figure(f"{what}: violations that axe-core finds", len(broken), asked=0)
            else:
                print("accessibility: not measured (--axe)")


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--queries", type=int, default=1550)
    parser.add_argument("--loads", type=int, default=9, help="of which the median first paint is told (default 9)")
    parser.add_argument("--axe", type=Path, help="axe.min.js of the package axe-core")
    args = parser.parse_args()
    return tell(measured(args.queries, args.loads, args.axe), args.json)


if __name__ == "__main__":
    sys.exit(main())
