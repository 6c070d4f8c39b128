"""What many short videos cost before a network sees them: `python -m tests.benchmarks.short_clips`.

Clips of 5 s go through probe, sampling plan and extraction of one visual feature without a network. Printed are the
seconds of each, and how often a video was opened.
"""

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from tests.benchmarks.made_video import make_video
from tests.encoder_table import ROOT
from tests.unit.made_settings import feature_options, settings_options
from workflow_scripts import extract_visual, probe_media, sample_frames
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.store.shards import shard_list_text

FEATURE = "rgb_histogram"
SIZE, SECONDS = (320, 240), 5
DIFFERENT = 10
"""Clips that are made; the others are copies, which cost the same."""


@contextlib.contextmanager
def counted_opens() -> Iterator[Counter[str]]:
    """Count how often a file is opened as a container, by this process or by an ffmpeg program."""
    counts: Counter[str] = Counter()
    open_here, start = av.open, subprocess.Popen

    def opened(file, *arguments, **options):
        counts[Path(file).name] += 1
        return open_here(file, *arguments, **options)

    def started(command, *arguments, **options):
        if "-i" in command:
            counts[Path(command[command.index("-i") + 1].removeprefix("file:")).name] += 1
        return start(command, *arguments, **options)

    av.open, subprocess.Popen = opened, started
    try:
        yield counts
    finally:
        av.open, subprocess.Popen = open_here, start


def run(module, *arguments: object) -> np.ndarray:
    """Run an entry point in this process; return its seconds, and those of the processor."""
    sys.argv = [module.__name__, *map(str, arguments)]
    started = np.array([time.perf_counter(), processor_s()])
    module.main()
    return np.array([time.perf_counter(), processor_s()]) - started


def processor_s() -> float:
    """Return the processor seconds of this process and of those that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def make_clips(folder: Path, n_videos: int) -> list[str]:
    """Write the clips; return their ids."""
    folder.mkdir()
    names = [f"clip{number:04}" for number in range(n_videos)]
    made = [make_video(folder / f"{name}.mp4", *SIZE, SECONDS, seed) for seed, name in enumerate(names[:DIFFERENT])]
    for number, name in enumerate(names[DIFFERENT:]):
        # Of their own content, so that no rows are shared.
        (folder / f"{name}.mp4").write_bytes(made[number % DIFFERENT].read_bytes() + bytes(8 + number))
    return names


def measure(folder: Path, n_videos: int) -> tuple[dict[str, np.ndarray], Counter[str]]:
    """Return the seconds of every step, and the opens by file."""
    names = make_clips(folder / "videos", n_videos)
    settings = feature_settings(Configuration({}, ROOT / "config"), "demo", FEATURE)
    settings["folder"] = videos = str(folder / "videos")
    (folder / "0000.tsv").write_text(shard_list_text(dict.fromkeys(names, "x")))
    media, plan = folder / "media.parquet", folder / "plan.parquet"
    known = {
        "probe": settings_options(folder / "probe.json", {"videos": videos, "extensions": ["mp4"]}),
        "plan": settings_options(folder / "plan.json", {"videos": videos, "sampling": settings["recipe"]["sampling"]}),
        "extract": feature_options(folder / "settings.json", settings),
    }
    tables = ("--rows-of", plan, "--media", media)
    with counted_opens() as counts:
        seconds = {
            "probe": run(probe_media, *known["probe"], "--shard-list", folder / "0000.tsv", "--out", media),
            "plan": run(sample_frames, *known["plan"], "--media", media, "--out", plan),
            "extract": run(extract_visual, *known["extract"], *tables, "--store", folder / "0000.zarr"),
        }
    return seconds, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200, help="number of clips (default: %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, counts = measure(Path(folder), args.clips)
    for name, (wall_s, used_s) in {**seconds, "all": sum(seconds.values())}.items():
        print(f"{name}: {wall_s:.1f} s, {used_s:.1f} s of the processor")
    print(f"{args.clips} clips of {SECONDS} s; opens per video: {sum(counts.values()) / args.clips:g}")


if __name__ == "__main__":
    main()
