"""The figures of `short_clips` for the table: `python -m tests.benchmarks.clip_figures`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.benchmarks.short_clips import SECONDS, SIZE, measure

MAX_OPENS = 3


def measured(n_clips: int) -> Iterator[Figure]:
    """Yield what a clip costs from the probe to the rows."""
    with tempfile.TemporaryDirectory() as folder:
        seconds, counts = measure(Path(folder), n_clips)
    what = f"clips of {SECONDS} s ({SIZE[0]}x{SIZE[1]}) through probe, plan and decoding"
    for name, (_, used_s) in seconds.items():
        print(f"{name}: {1000 * used_s / n_clips:.1f} ms of the processor per clip")
    used_s = sum(used for _, used in seconds.values())
    yield Figure(f"{what}: processor time per clip", 1000 * used_s / n_clips, "ms")
    yield Figure(f"{what}: opens per clip", sum(counts.values()) / n_clips, asked=MAX_OPENS)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--clips", type=int, default=100, help="number of clips (default: %(default)s)")
    args = parser.parse_args()
    return tell(measured(args.clips), args.json)


if __name__ == "__main__":
    sys.exit(main())
