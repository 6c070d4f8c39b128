"""Memory of decoding a film of hours at one frame per second: `python -m tests.benchmarks.long_video`.

A short 1080p clip is made and its packets are repeated without coding them again. It is a still picture: what is seen
decides how long it takes, not how much memory. Each decoder works in a process of its own without torch; its memory and
that of its children (the ffmpeg program) are sampled while it decodes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.made_video import RATE, make_video
from tests.decoded import decoded
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import plan_frames

MAX_ADDED_MB = 400
CLIP_S = 20
SAMPLE_EVERY_S = 0.02
RESIZE = {"rule": "hero", "size": 224}


def make_film(folder: Path, seconds: int, rate: int) -> Path:
    """Repeat a clip of 1920 x 1080 pixels until the film is long enough, by copying its packets."""
    film = folder / "film.mp4"
    clip = make_video(folder / "clip.mp4", 1920, 1080, CLIP_S, still=True, rate=rate)
    command = [
        ffmpeg_exe(),
        "-hide_banner",
        "-nostdin",
        "-loglevel",
        "error",
        "-stream_loop",
        str(seconds // CLIP_S - 1),
    ]
    subprocess.run([*command, "-i", str(clip), "-c", "copy", str(film)], check=True)
    return film


def resident_mb(pid: int | str = "self") -> float:
    """Return the resident memory of a process and its children; of this one's children are those of all threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    children = [
        child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    for child in children:
        try:
            own += resident_mb(child)
        except (OSError, StopIteration):
            continue  # it has ended meanwhile
    return own


def decode_all(film: Path, decoder: str) -> dict[str, float]:
    """Decode at one frame per second in this process and return what it took."""
    # What the first pass loads (libraries, the program's pages) is not what a long film adds.
    before, peak, done = resident_mb(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(SAMPLE_EVERY_S):
            peak = max(peak, resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, n_frames = time.perf_counter(), 0
    plan = plan_frames({"rule": "ffmpeg_fps", "rate": 1}, frame_times(film))
    for _ in decoded(film, plan.frame_idx, RESIZE, decoder=decoder):
        n_frames += 1
    seconds = time.perf_counter() - started
    done.set()
    watcher.join()
    return {"frames": n_frames, "seconds": seconds, "added_mb": peak - before, "torch": float("torch" in sys.modules)}


def measured(seconds: int, rate: int, decoders: list[str]) -> Iterator[Figure]:
    """Yield the memory that a film adds, of every decoder.

    Raises
    ------
    SystemExit
        a decoder's process has loaded torch, whose memory is counted too
    """
    with tempfile.TemporaryDirectory() as temporary:
        film = make_film(Path(temporary), seconds, rate)
        for decoder in decoders:
            command = [sys.executable, "-m", "tests.benchmarks.long_video", "--film", str(film), "--decoders", decoder]
            took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            if took["torch"]:
                sys.exit(f"decoder {decoder}: torch is loaded")
            print(f"decoder {decoder}: {took['frames']:.0f} frames in {took['seconds']:.0f} s", flush=True)
            what = f"decoding {seconds / 3600:g} h of 1080p ({rate} frames per second) at 1 fps, decoder {decoder}"
            yield Figure(f"{what}: memory added, its programs included", took["added_mb"], "MB", asked=MAX_ADDED_MB)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--seconds", type=int, default=7200, help="length of the film (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=RATE, help="frames per second of the film (default: %(default)s)")
    parser.add_argument("--decoders", nargs="+", default=["auto", "pyav"], help="whom to measure (default: auto pyav)")
    parser.add_argument("--film", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.film:
        print(json.dumps(decode_all(args.film, args.decoders[0])))
        return 0
    return tell(measured(args.seconds, args.rate, args.decoders), args.json)


if __name__ == "__main__":
    sys.exit(main())
