"""Time and memory of `snakemake -n` on a dataset of many videos, and of a call that finds nothing to do.

The dataset is made of empty files and a list of queries with durations: the job graph needs no more.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.benchmarks.figures import Figure, benchmark_parser, tell

ROOT = Path(__file__).resolve().parents[2]
CODE = ("Snakefile", "rules", "config", "workflow_scripts", "models", "profiles", "envs")
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
DATASET = "many"
FEATURES = {
    "bench_visual_1": {"extends": "clip_b32"},
    "bench_visual_2": {"extends": "clip_tiny"},
    "bench_visual_3": {"extends": "clip_tiny", "sampling": {"rate": 1}},
    "bench_audio_1": {"extends": "cnn14"},
    "bench_audio_2": {"extends": "cnn14_tiny"},
    "bench_text_1": {"extends": "minilm_tokens"},
}
MAX_SECONDS, MAX_MB = 20, 1000
MAX_SECOND_CPU_SECONDS = {10_000: 3.5, 200_000: 9.0}
"""Videos -> what a second dry run may take of the processor, on free cores."""
NOOP_TARGETS = ("results/demo/img/metrics.json", "results/demo/img/report.html")
MAX_NOOP_SECONDS = 10
NOTHING_TO_DO = "Nothing to be done"


@dataclass(frozen=True)
class Call:
    """What one command printed and took; `peak_mb` is the resident memory of its largest process so far.

    `cpu_seconds`, of all its processes, says more than `seconds` on a machine that is busy with other work.
    """

    output: str
    seconds: float
    cpu_seconds: float
    peak_mb: float


def call_snakemake(folder: Path, *arguments: str) -> Call:
    """Run Snakemake in a folder that holds the code and measure it.

    Raises
    ------
    SystemExit
        it failed; its last lines are the message
    """
    command = [str(SNAKEMAKE), "--directory", str(folder), "--snakefile", str(folder / "Snakefile"), *arguments]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}\n" + "\n".join(text.splitlines()[-20:]))
    return Call(text, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def make_dataset(folder: Path, n_videos: int) -> None:
    """Copy the code to `folder` and add a dataset of `n_videos` empty files and six features."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    for name, content in FEATURES.items():
        path = folder / "config" / "features" / f"{name}.yaml"
        path.write_text(yaml.safe_dump({**content, "description": "for a benchmark"}))
    dataset = {
        "title": "Many empty files",
        "videos": "videos",
        "annotations": {"format": "plain", "files": {"test": "queries.jsonl"}},
    }
    (folder / "config" / "datasets" / f"{DATASET}.yaml").write_text(yaml.safe_dump(dataset))
    names = [f"video{i:06d}.mp4" for i in range(n_videos)]
    queries = [{"video": name, "query": "something happens", "duration": 60.0} for name in names]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    (folder / "videos").mkdir()
    for name in names:
        (folder / "videos" / name).touch()


def measure_dry_run(n_videos: int) -> Iterator[Figure]:
    """Measure the first dry run (shard lists are written) and a second one (they are found)."""
    targets = [f"results/{DATASET}/features/{name}/index.parquet" for name in FEATURES]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_dataset(folder, n_videos)
        for label in ("first", "second"):
            call = call_snakemake(folder, "-n", "--", *targets)
            what = f"`snakemake -n`, {n_videos:,} videos x {len(FEATURES)} features, {label} call"
            most = MAX_SECOND_CPU_SECONDS.get(n_videos) if label == "second" else None
            yield Figure(f"{what}: processor time", call.cpu_seconds, "s", asked=most)
            yield Figure(f"{what}: time", call.seconds, "s", asked=seconds_asked(n_videos), is_compared=False)
            yield Figure(f"{what}: memory", call.peak_mb, "MB", asked=MAX_MB)
            yield Figure(f"{what}: jobs", count_jobs(call.output) or 0)


def seconds_asked(n_videos: int) -> float:
    """Return what a dry run may take: in proportion above 10,000 videos."""
    return MAX_SECONDS * max(1.0, n_videos / 10_000)


def count_jobs(output: str) -> int | None:
    """Return the total of the table of jobs that Snakemake prints."""
    match = re.search(r"^total +(\d+)", output, re.MULTILINE)
    return int(match[1]) if match else None


def measure_noop(folder: Path) -> Iterator[Figure]:
    """Measure a call on a finished demo; where there is none it would compute, and not be a measure."""
    finished = all((folder / target).is_file() for target in NOOP_TARGETS)
    if not finished or NOTHING_TO_DO not in call_snakemake(folder, "-n", "--", *NOOP_TARGETS).output:
        print("call with nothing to do: not measured, the demo is not finished here (`make demo`)")
        return
    call = call_snakemake(folder, "--cores", "all", "--", *NOOP_TARGETS)
    yield Figure("`snakemake` with nothing to do (finished demo): processor time", call.cpu_seconds, "s")
    what = "`snakemake` with nothing to do (finished demo): time"
    yield Figure(what, call.seconds, "s", asked=MAX_NOOP_SECONDS, is_compared=False)


def measured(sizes: list[int]) -> Iterator[Figure]:
    for n_videos in sizes:
        yield from measure_dry_run(n_videos)
    yield from measure_noop(ROOT)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[10_000, 20_000], help="sizes of the dataset")
    args = parser.parse_args()
    return tell(measured(args.videos), args.json)


if __name__ == "__main__":
    sys.exit(main())
