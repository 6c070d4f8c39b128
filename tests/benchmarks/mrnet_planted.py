"""Train MRNet, small, on Charades-STA with planted features: python -m tests.benchmarks.mrnet_planted DIR.

Annotations and features are those of `img_planted`; width and map are reduced, so that a CPU will do.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.img_planted import DIMS, NAMES, made_settings, planted_items
from workflow_scripts.lib.configuration.layers import merge
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.training.loop import Training
from workflow_scripts.lib.training.reader import Split
from workflow_scripts.lib.training.state import StateFolder

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
    plain = {name: args.annotations / file for name, file in NAMES.items()}
    files = {name: path if path.is_file() else path.with_name(f"{path.name}.gz") for name, path in plain.items()}
    annotations = read_annotations("charades_txt", files, "charades")
    train, test = (Split(planted_items(annotations, split, args.queries)) for split in ("train", "test"))
    own = {
        "network": NETWORK,
        "loss": {"sparse_floor": 0, "all_losses_epochs": args.epochs},
        "data": {"query_context": args.context},
        "train": {"epochs": args.epochs, "batch_size": 32, "learning_rate": 0.002, "milestones": [args.epochs - 1]},
    }
    settings = merge(made_settings(args.epochs), {"name": "mrnet", "config": {"system": "mrnet"}})
    settings["config"] |= {
        "settings": own,
        "streams": {stream: {"names": [stream], "standardise": False} for stream in STREAMS},
    }
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        state = StateFolder(Path(folder) / "state", "planted")
        dims = {stream: DIMS[stream] for stream in STREAMS}
        training = Training(settings, train, test, dims, Path(folder), state, seed=0)
        training.run()
    for row in training.progress.history:
        print(f"epoch {row['epoch']}: R1@0.5 {row['R1@0.5']:.1f}, mIoU {row['mIoU']:.1f}, loss {row['total']:.2f}")
    print(f"{len(train.items)} training queries, {len(test.items)} tested; {time.monotonic() - started:.0f} s")
    return training.progress.history


if __name__ == "__main__":
    main()
