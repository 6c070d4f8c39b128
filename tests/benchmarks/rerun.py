"""Adding one video to a finished dataset of many: seconds until the first useful work starts, and what is started.

The videos are links to one short clip, and the feature is the colour histogram, so that the dataset is finished in
minutes. The first useful work is the probe of the added video's shard; the first extraction is timed too.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from tests.benchmarks.dry_run import CODE, DATASET, ROOT, SNAKEMAKE, count_jobs
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.made_clips import make_clip

FEATURE = "rgb_histogram"
TARGET = f"results/{DATASET}/features/{FEATURE}/index.parquet"
MAX_SECONDS = 20
ADDED = "video_added"


def make_dataset(folder: Path, n_videos: int) -> None:
    """Copy the code to `folder` and add a dataset of links to one clip."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "videos").mkdir()
    make_clip(folder / "clip.mp4", n_frames=10)
    for number in range(n_videos):
        (folder / "videos" / f"video{number:06d}.mp4").hardlink_to(folder / "clip.mp4")
    dataset = {
        "title": "Many links to one clip",
        "videos": "videos",
        "annotations": {"format": "plain", "files": {"test": "queries.jsonl"}},
    }
    (folder / "config" / "datasets" / f"{DATASET}.yaml").write_text(yaml.safe_dump(dataset))
    list_queries(folder, [f"video{number:06d}" for number in range(n_videos)])


def list_queries(folder: Path, names: list[str]) -> None:
    """Write one query per video."""
    rows = [{"video": f"{name}.mp4", "query": "something happens", "duration": 1.0} for name in names]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def call(folder: Path) -> tuple[str, dict[str, float], float]:
    """Run Snakemake to the end; return what it printed, when each rule's first job was started, and the total time."""
    command = [str(SNAKEMAKE), "--cores", "all", "--directory", str(folder), "--", TARGET]
    cache = f"paths={json.dumps({'feature_cache': 'cache'})}"
    command[1:1] = ["--snakefile", str(folder / "Snakefile"), "--config", cache]
    started, printed, first = time.perf_counter(), [], {}
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout:
            printed.append(line)
            words = line.split()
            if len(words) == 2 and words[0] in ("rule", "localrule"):
                first.setdefault(words[1].rstrip(":"), time.perf_counter() - started)
    if process.returncode:
        sys.exit("".join(printed[-20:]))
    return "".join(printed), first, time.perf_counter() - started


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=10_000, help="size of the dataset (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_dataset(folder, args.videos)
        output, _, seconds = call(folder)
        print(f"{args.videos} videos from nothing: {count_jobs(output)} jobs, {seconds:.0f} s", flush=True)
        make_clip(folder / "videos" / f"{ADDED}.mp4", n_frames=11)
        list_queries(folder, [*(f"video{number:06d}" for number in range(args.videos)), ADDED])
        output, first, seconds = call(folder)
    print(f"one video more: {count_jobs(output)} jobs, {seconds:.1f} s in all")
    figures = [
        Figure(f"one video added to {args.videos:,}: {what} started", first[rule], "s", asked=asked, is_compared=False)
        for what, rule, asked in (
            ("first probe", "probe_media", MAX_SECONDS),
            ("first extraction", "extract_visual", None),
        )
    ]
    return tell(figures, args.json)


if __name__ == "__main__":
    sys.exit(main())
