"""Times the message before the first job: python -m tests.benchmarks.preflight [--videos 10148].

Empty video files and made annotations of QVHighlights in a folder of their own; weights are missing. What is timed is
a dry call, from its start to the end of the message.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell

ROOT = Path(__file__).resolve().parents[2]
MAX_SECONDS = 15
TARGET = "results/qvh/calce/metrics.json"
SPLITS = {"train": "highlight_train_release", "val": "highlight_val_release", "test": "highlight_test_with_gt"}


def make_dataset(folder: Path, n_videos: int) -> None:
    """Write annotations of as many videos, and all files but every tenth."""
    (folder / "data/qvh/videos").mkdir(parents=True)
    (folder / "data/qvh/annotations").mkdir()
    for place, name in enumerate(SPLITS.values()):
        with (folder / f"data/qvh/annotations/{name}.jsonl").open("w") as file:
            for number in range(place, n_videos, len(SPLITS)):
                video = f"{number:011d}_0.0_150.0"
                row = {"qid": number, "query": "a man opens a door", "duration": 150, "vid": video}
                file.write(json.dumps(row | {"relevant_windows": [[0, 10]]}) + "\n")
                if number % 10:
                    (folder / f"data/qvh/videos/{video}.mp4").touch()


def seconds_to_message(folder: Path, *options: str) -> float:
    """Return how long a call takes until its message is complete."""
    program, place = Path(sys.executable).with_name("snakemake"), ("--directory", folder)
    command = [program, *options, "--snakefile", ROOT / "Snakefile", "--cores", "1", *place, TARGET]
    started = time.monotonic()
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in process.stdout:
        # The last line of the message, or the first of what comes after it.
        if "starts them all the same" in line or line.startswith("preflight: extraction"):
            break
    seconds = time.monotonic() - started
    process.kill()
    process.wait()
    return seconds


def measured(n_videos: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_dataset(folder, n_videos)
        for call in ("first", "second"):
            what = f"message before the first job, {n_videos:,} videos, {call} call: from the call to its end"
            yield Figure(what, seconds_to_message(folder, "-n"), "s", asked=MAX_SECONDS, is_compared=False)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--videos", type=int, default=10_148, help="annotated videos (QVHighlights: 10,148)")
    args = parser.parse_args()
    return tell(measured(args.videos), args.json)


if __name__ == "__main__":
    sys.exit(main())
