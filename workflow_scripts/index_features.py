"""Tie the shards of a feature together: which shard and rows hold each video."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.batches import stores_named
from workflow_scripts.lib.store.feature_store import write_index
from workflow_scripts.lib.store.lost_shards import add_lost_options, write_times_lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "shards",
        nargs="+",
        type=Path,
        help="shard stores (.zarr folders, or the zarr.json in them), or batches of them",
    )
    parser.add_argument("--out", required=True, type=Path, help="index.parquet to write")
    add_lost_options(parser)
    args = parser.parse_args()
    write_index([store for path in args.shards for store in stores_named(path, args.out.parent)], args.out)
    write_times_lost(args.lost, args.times_lost)


if __name__ == "__main__":
    run_entry_point(main)
