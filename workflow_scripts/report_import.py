"""Join the import reports of all shards and say how much of a feature was found."""

import argparse
import logging
from collections import Counter
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.atomic import write_text

log = logging.getLogger(__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path, help="reports of the shards")
    parser.add_argument("--out", required=True, type=Path, help="the joint report")
    args = parser.parse_args()
    parts = [path.read_text(encoding="utf-8").splitlines() for path in args.shards]
    lines = sorted(line for part in parts for line in part[1:])
    write_text(args.out, "\n".join([parts[0][0], *lines]) + "\n")
    counts = Counter(line.split("\t")[2] for line in lines)
    log.info("%s: %s", args.out, ", ".join(f"{count} {found}" for found, count in sorted(counts.items())))


if __name__ == "__main__":
    run_entry_point(main)
