"""Decoders beside one another on generated clips and on your own: `python -m tests.benchmarks.decoders [VIDEO ...]`.

Every case is decoded by each decoder in turns, several times; wall and processor seconds are medians. The share of the
sound is what reading the sound of a clip costs beside one pass over its pictures.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.made_video import make_video
from tests.decoded import decoded
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.lib.media.decode import check_decoder
from workflow_scripts.lib.media.media_error import NoAudioStream
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import plan_frames

RESIZE = {"rule": "hero", "size": 224}
CASES: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("1 fps, 224 px", {"rule": "ffmpeg_fps", "rate": 1}, RESIZE),
    ("60 frames, 224 px", {"rule": "lavis_head", "n_frames": 60}, {"rule": "squash", "size": 224}),
    ("30 fps, 224 px", {"rule": "ffmpeg_fps", "rate": 30}, RESIZE),
    ("1 fps, native size", {"rule": "ffmpeg_fps", "rate": 1}, None),
]
CLIPS = {"360p 5 s": (640, 360, 5), "360p 30 s": (640, 360, 30), "720p 10 s": (1280, 720, 10)}
SAMPLE_RATE = 32000


def measured(function: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and processor seconds of a call, those of ended child processes included."""
    before, started = os.times(), time.perf_counter()
    function()
    wall_s, after = time.perf_counter() - started, os.times()
    return wall_s, sum(after[:4]) - sum(before[:4])


def pass_over(path: Path, sampling: dict[str, Any], resize: dict[str, Any] | None, decoder: str) -> None:
    """Decode what the sampling rule asks for and throw it away."""
    for _ in decoded(path, plan_frames(sampling, frame_times(path)).frame_idx, resize, decoder=decoder):
        pass


def available_decoders() -> list[str]:
    """Return the decoders that work on this machine."""
    found = ["pyav", "ffmpeg"]
    try:
        check_decoder("nvdec")
    except UserError as error:
        print(f"nvdec left out: {error}")
        return found
    return [*found, "nvdec"]


def compare(path: Path, label: str, decoders: list[str], repeats: int) -> Iterator[Figure]:
    """Yield median processor seconds of each decoder, case by case; those by the clock are printed."""
    for case, sampling, resize in CASES:
        runs: dict[str, list[tuple[float, float]]] = {decoder: [] for decoder in decoders}
        for _ in range(repeats):
            for decoder in decoders:
                runs[decoder].append(measured(partial(pass_over, path, sampling, resize, decoder)))
        for decoder in decoders:
            wall_s, cpu_s = (statistics.median(values) for values in zip(*runs[decoder], strict=True))
            print(f"by the clock: {wall_s:.3f} s")
            yield Figure(f"decoding {label}, {case}, {decoder}: processor time", cpu_s, "s")


def compare_sound(path: Path, label: str, repeats: int) -> Iterator[Figure]:
    """Yield what a pass over the sound costs beside a pass over the pictures."""
    try:
        sound_s = statistics.median(measured(partial(read_audio, path, SAMPLE_RATE))[1] for _ in range(repeats))
    except NoAudioStream:
        return
    picture_s = statistics.median(measured(lambda: pass_over(path, *CASES[0][1:], "auto"))[1] for _ in range(repeats))
    print(f"{label}, sound at {SAMPLE_RATE} Hz: {sound_s:.2f} s of processor")
    yield Figure(f"decoding {label}, sound over pictures at 1 fps: processor time", sound_s / picture_s, "x")


def figures(videos: list[Path], repeats: int) -> Iterator[Figure]:
    decoders = available_decoders()
    with tempfile.TemporaryDirectory() as temporary:
        clips = [(Path(temporary) / f"{name}.mp4", name) for name in CLIPS]
        for path, name in clips:
            make_video(path, *CLIPS[name], sound=True)
        for path, name in [*clips, *((video, video.name) for video in videos)]:
            yield from compare(path, name, decoders, repeats)
            yield from compare_sound(path, name, repeats)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("videos", nargs="*", type=Path, help="also measure these")
    parser.add_argument("--repeats", type=int, default=5, help="passes per case (default: %(default)s)")
    args = parser.parse_args()
    return tell(figures(args.videos, args.repeats), args.json)


if __name__ == "__main__":
    sys.exit(main())
