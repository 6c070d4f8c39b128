"""What `make demo` takes from nothing, once the packages are there: `python -m tests.benchmarks.whole_demo`.

The same targets as the Makefile's, in a temporary folder, with as many cores as this machine has.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell

ROOT = Path(__file__).resolve().parents[2]
METRICS = "results/demo/img/metrics.json"
TARGETS = (METRICS, "results/demo/img/report.html")
MAX_SECONDS = 150


def measured() -> Iterator[Figure]:
    """Yield the time of the demo, and how good its system is afterwards."""
    snakemake = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
    with tempfile.TemporaryDirectory() as folder:
        command = [*snakemake, "--directory", folder, "--cores", "all", "--", *TARGETS]
        for label, asked in (("from nothing", MAX_SECONDS), ("with nothing to do", None)):
            started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            if subprocess.run(command, cwd=folder, check=False).returncode:
                sys.exit("the demo failed")
            seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            what = f"demo {label}, {os.cpu_count()} cores"
            yield Figure(f"{what}: time", seconds, "s", asked=asked, is_compared=False)
            yield Figure(f"{what}: processor time", used_s, "s")
        scores = json.loads((Path(folder) / METRICS).read_text(encoding="utf-8"))["metrics"]
    for name in ("R1@0.5", "mIoU"):
        yield Figure(f"demo, IMG: {name}", scores[name], "%", "larger")


def main() -> int:
    return tell(measured(), benchmark_parser(__doc__).parse_args().json)


if __name__ == "__main__":
    sys.exit(main())
