"""Times CALCE's choice of frames beside a plain loop with equal results: python -m tests.benchmarks.calce_selection.

The window of the first stage is the whole video, so that every frame passes the filter and has to be thinned out.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from models.systems.calce.compression import compress
from models.systems.calce.events import SecondStage, second_stage_frames
from tests.unit.plain_calce import plain_compress, plain_second_stage

OPTIONS = SecondStage()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="repetitions; the fastest counts")
    parser.add_argument("--frames", type=int, default=150)
    args = parser.parse_args()
    torch.set_num_threads(1)
    turns = torch.arange(args.frames) % 2 == 0
    compare(
        "compression of key and other frames in turn",
        lambda: compress(turns, ~turns, args.frames // 2, torch.Generator().manual_seed(0)),
        lambda: plain_compress(turns, ~turns, args.frames // 2, torch.Generator().manual_seed(0)),
        args.rounds,
    )
    # Distances of wide features come from the same call on both sides; those of narrow ones cost next to nothing.
    for name, width in (("narrow features", 8), ("full width", 768)):
        ours, plain = choosers(args.frames, width)
        compare(f"choice and compression, {name}", ours, plain, args.rounds)


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


def compare(name: str, ours: Callable[[], Any], plain: Callable[[], Any], rounds: int) -> None:
    """Print the times of both and their ratio; results that differ end the benchmark."""
    seconds, found = zip(*(timed(run, rounds) for run in (ours, plain)), strict=True)
    if not all(torch.equal(a, b) for a, b in zip(*found, strict=True)):
        raise SystemExit(f"{name}: the results differ")
    print(f"{name}: {1000 * seconds[0]:.2f} ms, plain {1000 * seconds[1]:.0f} ms, ratio {seconds[1] / seconds[0]:.0f}")


def timed(run: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Return the seconds of the fastest round and its result."""
    fastest = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        found = run()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, found


if __name__ == "__main__":
    main()
