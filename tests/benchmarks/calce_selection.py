"""Times CALCE's choice of frames beside a plain loop with equal results: python -m tests.benchmarks.calce_selection.

The window of the first stage is the whole video, so that every frame passes the filter and has to be thinned out.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from models.systems.calce.compression import compress
from models.systems.calce.events import SecondStage, second_stage_frames
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.plain_calce import plain_compress, plain_second_stage

OPTIONS = SecondStage()


MIN_RATIO = 100


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--frames", type=int, default=150)
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args.rounds, args.frames), args.json)


def measured(rounds: int, n_frames: int) -> Iterator[Figure]:
    """Yield how much faster ours is."""
    turns = torch.arange(n_frames) % 2 == 0
    yield compared(
        f"compression of {n_frames} key and other frames in turn",
        lambda: compress(turns, ~turns, n_frames // 2, torch.Generator().manual_seed(0)),
        lambda: plain_compress(turns, ~turns, n_frames // 2, torch.Generator().manual_seed(0)),
        rounds,
    )
    # Distances of wide features come from the same call on both sides; those of narrow ones cost next to nothing.
    for name, width in (("narrow features", 8), ("full width", 768)):
        ours, plain = choosers(n_frames, width)
        yield compared(f"choice and compression of {n_frames} frames, {name}", ours, plain, rounds)


def choosers(n_frames: int, width: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return both ways to choose and compress the frames of one video with 13 events and 32 vectors a frame."""
    generator = torch.Generator().manual_seed(0)
    events = 3 * torch.randn(13, 32, width, generator=generator)
    rows = torch.randn(n_frames, 32, width, generator=generator) + events[torch.arange(n_frames) * 13 // n_frames]
    first, second = torch.rand(2, n_frames, generator=generator)
    times_s, whole = torch.arange(n_frames).float(), [[0, n_frames]]

    def ours() -> Any:
        masks = second_stage_frames(rows, times_s, whole, "a dog", [], n_frames, OPTIONS, (first, second))
        return compress(*masks, n_frames // 2, torch.Generator().manual_seed(0))

    def plain() -> Any:
        masks = plain_second_stage(rows, times_s, whole, (first, second), OPTIONS)
        return plain_compress(*masks, n_frames // 2, torch.Generator().manual_seed(0))

    return ours, plain


def compared(name: str, ours: Callable[[], Any], plain: Callable[[], Any], rounds: int) -> Figure:
    """Print the times of both and return their ratio; results that differ end the benchmark."""
    seconds, found = zip(*(timed(run, rounds) for run in (ours, plain)), strict=True)
    if not all(torch.equal(a, b) for a, b in zip(*found, strict=True)):
        raise SystemExit(f"{name}: the results differ")
    print(f"{name}: {1000 * seconds[0]:.2f} ms, plain {1000 * seconds[1]:.0f} ms")
    return Figure(f"CALCE, {name}: a plain loop over ours", seconds[1] / seconds[0], "x", "larger", MIN_RATIO)


def timed(run: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the processor's seconds of the fastest round and its result."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.process_time()
        found = run()
        fastest = min(fastest, time.process_time() - started)
    return fastest, found


if __name__ == "__main__":
    sys.exit(main())
