"""Train MRNet, small, on Charades-STA with planted features: python -m tests.benchmarks.mrnet_planted DIR.

Annotations and features are those of `img_planted`; width and map are reduced, so that a CPU will do.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.img_planted import read_charades, train_on_planted

STREAMS = ("visual", "text")
NETWORK = {
    "dim": 64,
    "feature_dim": 64,
    "pre_clips": 32,
    "clips": 32,
    "pool_kernel": 1,
    "pooling_counts": [15, 8],
    "conv_kernel": 5,
    "conv_layers": 2,
    "conv_dim": 64,
    "input_dropout": 0.1,
    "retention": {"layers": 2, "heads": 4, "ffn_dim": 128},
}


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, help="folder of the annotation files of Charades-STA, plain or .gz")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--queries", type=int, help="take only so many of either split")
    parser.add_argument("--context", default="independent", help="data.query_context")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    own = {
        "network": NETWORK,
        "loss": {"sparse_floor": 0, "all_losses_epochs": args.epochs},
        "data": {"query_context": args.context},
        "train": {"epochs": args.epochs, "batch_size": 32, "learning_rate": 0.002, "milestones": [args.epochs - 1]},
    }
    return train_on_planted(read_charades(args.annotations, args.queries), "mrnet", STREAMS, own)


if __name__ == "__main__":
    main()
