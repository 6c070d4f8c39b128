"""What many short videos cost before a network sees them: `python -m tests.benchmarks.short_clips`.

Clips of 5 s go through probe, sampling plan and extraction of one visual feature without a network, a shard at a time.
In turns with that, PyAV alone decodes the same clips: all their frames, and as far as the last wanted one with the
wanted ones made pictures of the feature's size. Printed is what a video costs in each, and how often it was opened.
"""

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
from workflow_scripts.lib.store.tables import read_table

FEATURE = "rgb_histogram"
SIZE, SECONDS = (320, 240), 5
SHARD = 50
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
    return cost(module.main)


def cost(work: Callable[[], object]) -> np.ndarray:
    """Return the seconds that something takes, and those of the processor."""
    started = np.array([time.perf_counter(), processor_s()])
    work()
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


def measure_bare(folder: Path) -> dict[str, np.ndarray]:
    """Return the seconds of PyAV alone for the videos that `measure` has planned."""
    plan = read_table(folder / "plan.parquet", ["video_id", "frame_idx"]).to_pylist()
    videos = {folder / "videos" / f"{row['video_id']}.mp4": set(row["frame_idx"]) for row in plan}
    size = feature_settings(Configuration({}, ROOT / "config"), "demo", FEATURE)["recipe"]["resize"]["size"]

    def all_frames() -> None:
        for path in videos:
            for _ in bare_frames(path):
                pass

    def wanted_frames() -> None:
        for path, wanted in videos.items():
            for number, frame in zip(range(max(wanted) + 1), bare_frames(path), strict=False):
                if number in wanted:
                    frame.to_ndarray(format="rgb24", width=size, height=size)

    return {"bare, all frames": cost(all_frames), "bare, wanted frames": cost(wanted_frames)}


def bare_frames(path: Path) -> Iterator[av.VideoFrame]:
    """Yield the frames of a video, decoded by one thread, as in a job."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        yield from container.decode(video=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=4, help=f"shards of {SHARD} clips (default: %(default)s)")
    args = parser.parse_args()
    rounds, opens = [], 0
    for _ in range(args.shards):
        with tempfile.TemporaryDirectory() as folder:
            seconds, counts = measure(Path(folder), SHARD)
            rounds.append(seconds | measure_bare(Path(folder)))
            opens += sum(counts.values())
    per_clip = {name: np.median([seconds[name] for seconds in rounds], axis=0) / SHARD for name in rounds[0]}
    for name, (wall_s, used_s) in per_clip.items():
        over_bare = used_s / per_clip["bare, all frames"][1]
        print(
            f"{name}: {wall_s * 1e3:.1f} ms, {used_s * 1e3:.1f} ms of the processor, {over_bare:.2f} of bare decoding"
        )
    n_clips = args.shards * SHARD
    print(f"{n_clips} clips of {SECONDS} s, medians of {args.shards} shards; opens per video: {opens / n_clips:g}")


if __name__ == "__main__":
    main()
