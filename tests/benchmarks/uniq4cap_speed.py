"""Times UniQ4Cap's captioner at full size with random weights: python -m tests.benchmarks.uniq4cap_speed.

Greedy captions of 30 words from 2,649 tokens per video, one video alone and several together, with the bridges folded
into the Q-Former and without; the captions are compared. Then a training step with all three losses. One thread;
seconds are those of the processor, so that other work on the machine counts less.
"""

import argparse
import random
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from models.systems.interface import Annotated, FeatureRows, Item
from models.systems.uniq4cap.config import Config
from models.systems.uniq4cap.folding import FoldedBridges
from models.systems.uniq4cap.system import System

WIDTH, SEEN, HEARD = 1024, 2056, 593
VOCABULARY = 28_996
"""Of bert-base-cased."""
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CAPTION = "a dog runs into the water while somebody laughs"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--together", type=int, default=8, help="videos that are captioned together")
    parser.add_argument("--batch", type=int, default=4, help="videos of a training step; 0: no training")
    args = parser.parse_args()
    torch.set_num_threads(1)
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
        captioning(system, network, batch, n_videos)
    if args.batch:
        training(system, network.train(), args.batch)
    print(f"memory at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")


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


def captioning(system: System, network: Any, batch: dict[str, Any], n_videos: int) -> None:
    """Time the captions of videos, and compare both ways."""

    def ask() -> list[str]:
        with torch.inference_mode():
            return [caption.text for caption in system.predict(network, batch, None, "captions")]

    pays = FoldedBridges.pays
    FoldedBridges.pays = staticmethod(lambda network: False)
    plain, plain_seconds = timed(ask)
    FoldedBridges.pays = staticmethod(pays)
    _, first_seconds = timed(ask)
    texts, seconds = timed(ask)
    print(
        f"{n_videos} together: {seconds / n_videos:.2f} s per caption, unfolded {plain_seconds / n_videos:.2f} s, "
        f"folding {max(0.0, first_seconds - seconds):.2f} s once; {'equal' if texts == plain else 'OTHER'} captions",
        flush=True,
    )


def training(system: System, network: Any, n_videos: int) -> None:
    """Time a step of training."""
    optimiser = system.optimiser(system.parameter_groups(network))
    batch = system.collate([system.sample(unit, random.Random(0)) for unit in system.units(videos(n_videos))])

    def step() -> None:
        system.loss(network, batch, 0)["total"].backward()
        optimiser.step()
        optimiser.zero_grad()

    seconds = min(timed(step)[1] for _ in range(2))
    print(f"training step of {n_videos}: {seconds:.1f} s", flush=True)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the processor's seconds for it."""
    started = time.process_time()
    result = run()
    return result, time.process_time() - started


if __name__ == "__main__":
    main()
