"""Times encoders beside the plainest correct implementation: `python -m tests.benchmarks.encoders [NAME ...]`.

Plain is the library as shipped, one video at a time; ours is what an extraction job calls, batches across videos. Both
run in turns in one process, with the same weights on the same inputs; the shortest of some runs counts, and the table
also says how far the rows are apart. To add an encoder, write a function that returns a `Bench` and put it into
`BENCHES`.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

N_VIDEOS = 4


class Bench(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    ours, plain : run everything once and return the rows (n, D), in the same order
    n_units, unit : what they encode, for the rate
    note : what makes the difference
    """

    ours: Callable[[], np.ndarray]
    plain: Callable[[], np.ndarray]
    n_units: int
    unit: str
    note: str


def random_frames(n: int, size: int = 224) -> np.ndarray:
    """Return uint8 (n, size, size, 3)."""
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)


def videos(inputs: Any) -> list[Any]:
    """Cut a batch into `N_VIDEOS` equal videos."""
    length = len(inputs) // N_VIDEOS
    return [inputs[i : i + length] for i in range(0, N_VIDEOS * length, length)]


def clip_b32() -> Bench:
    """CLIP ViT-B/32 image tower beside open_clip."""
    import open_clip

    from models.encoders import clip

    state = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).state_dict()
    plain = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    plain.load_state_dict(state)
    encoder, frames = clip.load(clip.Config(), state, "cpu"), random_frames(16 * N_VIDEOS)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (clip.PIXEL_MEAN, clip.PIXEL_STD))

    @torch.no_grad()
    def one_by_one() -> np.ndarray:
        pixels = (((torch.from_numpy(v).permute(0, 3, 1, 2).float() / 255) - mean) / std for v in videos(frames))
        return np.concatenate([plain.encode_image(batch).numpy() for batch in pixels])

    return Bench(
        lambda: np.stack(encoder.encode(frames)), one_by_one, len(frames), "frames", "one batch for all videos"
    )


BENCHES: dict[str, Callable[[], Bench]] = {
    "clip_b32": clip_b32,
}


def shortest(functions: list[Callable[[], Any]], n_runs: int) -> tuple[list[float], list[np.ndarray]]:
    """Return the shortest time of every function in seconds, run in turns, and what it returned."""
    times = [float("inf")] * len(functions)
    rows = [function() for function in functions]
    for _ in range(n_runs):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - start)
    return times, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all if none is given: {', '.join(BENCHES)}")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the shortest counts (default: 3)")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(BENCHES))
    if unknown:
        parser.error(f"unknown encoder {unknown[0]!r}; known: {', '.join(BENCHES)}")
    if args.threads:
        torch.set_num_threads(args.threads)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, shortest of {args.runs}")
    print("encoder | ours | plain | ratio | largest difference in deviations | note")
    for name in args.names or BENCHES:
        bench = BENCHES[name]()
        (ours_s, plain_s), (ours, plain) = shortest([bench.ours, bench.plain], args.runs)
        gap = np.abs(ours - plain).max() / plain.std()
        rates = [f"{bench.n_units / seconds:.1f} {bench.unit}/s" for seconds in (ours_s, plain_s)]
        print(f"{name} | {rates[0]} | {rates[1]} | {plain_s / ours_s:.2f} x | {gap:.1e} | {bench.note}", flush=True)


if __name__ == "__main__":
    main()
