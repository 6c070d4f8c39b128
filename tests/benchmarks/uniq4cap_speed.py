"""Times UniQ4Cap's captioner at full size with random weights: python -m tests.benchmarks.uniq4cap_speed.

Greedy captions of 30 words from 2,649 tokens per video, one video alone and several together, with the bridges folded
into the Q-Former and without; the captions are compared. Then a training step with all three losses. One thread;
seconds are those of the processor, so that other work on the machine counts less.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.uniq4cap.config import Config
from models.systems.uniq4cap.folding import FoldedBridges
from models.systems.uniq4cap.system import System
from tests.benchmarks.figures import Figure, benchmark_parser, tell

WIDTH, SEEN, HEARD = 1024, 2056, 593
VOCABULARY = 28_996
"""Of bert-base-cased."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CAPTION = "a dog runs into the water while somebody laughs"
MAX_SECONDS = 1.5
"""Per caption."""


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--together", type=int, default=8, help="videos that are captioned together")
    parser.add_argument("--batch", type=int, default=4, help="videos of a training step; 0: no training")
    args = parser.parse_args()
    torch.set_num_threads(1)
    return tell(measured(args), args.json)


def measured(args: argparse.Namespace) -> Iterator[Figure]:
    torch.manual_seed(0)
    words = [*SPECIAL, *dict.fromkeys(CAPTION.split())]
    words += [f"w{number}" for number in range(VOCABULARY - len(words))]
    config = Config.model_validate(
        {"network": {"start": "random"}, "decoding": {"mode": "greedy", "min_length": 30, "max_length": 30}}
    )
    system = System(config, {"words": words}, {"visual": [WIDTH], "audio": [WIDTH]})
    network = system.network().eval()
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{n_parameters / 1e6:.0f} M parameters, {SEEN + HEARD} tokens per video", flush=True)
    for n_videos in (1, args.together):
        batch = system.collate([system.sample(unit, None) for unit in system.units(videos(n_videos), "captions")])
        yield captioning(system, network, batch, n_videos)
    yield Figure("UniQ4Cap, captions: memory", peak_gib(), "GiB")
    if args.batch:
        yield training(system, network.train(), args.batch)
        yield Figure("UniQ4Cap, captions and training step: memory", peak_gib(), "GiB")


def peak_gib() -> float:
    """Return the largest memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def videos(n: int) -> list[Item]:
    """Return videos with random tokens and one caption."""
    found = []
    for number in range(n):
        rng = np.random.default_rng(number)
        streams = {
            name: [FeatureRows(rng.standard_normal((rows, WIDTH), np.float32), np.zeros((rows, 2), np.float32))]
            for name, rows in (("visual", SEEN), ("audio", HEARD))
        }
        found.append(Item(f"v{number}", f"v{number}", "", 10.0, streams, Annotated(captions=(CAPTION,)), is_video=True))
    return found


def captioning(system: System, network: Any, batch: dict[str, Any], n_videos: int) -> Figure:
    """Time the captions of videos, and compare both ways; captions that differ end the benchmark."""

    def ask() -> list[str]:
        with torch.inference_mode():
            return [caption.text for caption in system.predict(network, batch, None, "captions")]

    pays = FoldedBridges.pays
    FoldedBridges.pays = staticmethod(lambda network: False)
    plain, plain_seconds = timed(ask)
    FoldedBridges.pays = staticmethod(pays)
    _, first_seconds = timed(ask)
    texts, seconds = timed(ask)
    if texts != plain:
        raise SystemExit(f"{n_videos} together: other captions than without folding")
    print(
        f"unfolded {plain_seconds / n_videos:.2f} s, folding {max(0.0, first_seconds - seconds):.2f} s once", flush=True
    )
    what = f"UniQ4Cap at full width, a caption of 30 words, videos together: {n_videos}, one CPU thread: processor time"
    return Figure(what, seconds / n_videos, "s", asked=MAX_SECONDS)


def training(system: System, network: Any, n_videos: int) -> Figure:
    """Time a step of training."""
    optimiser = system.optimiser(system.parameter_groups(network))
    batch = system.collate([system.sample(unit, random.Random(0)) for unit in system.units(videos(n_videos))])

    def step() -> None:
        system.loss(network, batch, 0)["total"].backward()
        optimiser.step()
        optimiser.zero_grad()

    seconds = min(timed(step)[1] for _ in range(2))
    return Figure(f"UniQ4Cap at full width, training step of {n_videos} videos: processor time", seconds, "s")


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the processor's seconds for it."""
    started = time.process_time()
    result = run()
    return result, time.process_time() - started


if __name__ == "__main__":
    sys.exit(main())
